"""The toy world of a support desk, as data: see `grammar.py` for how it is read, and `medical.py` for the notation."""

from __future__ import annotations

from cai_lite.embedded.world import Domain, Kind, Rule, Slot, lines

PRODUCT = Slot(
    train=lines("""
        kettle
        jacket
        lamp
        backpack
        phone case
        blender
        desk chair
        coffee machine
        keyboard
        tent
        rice cooker
        watch
        bike helmet
        printer
        pillow
        toaster
        vacuum cleaner
        monitor
        water bottle
        toy train
        sofa
        radio
        raincoat
        bookshelf
    """),
    held_out=lines("""
        desk lamp
        water kettle
        bike lamp
        toy backpack
        desk radio
        toy printer
        phone watch
        camera
    """),
)

PROBLEM = Slot(
    train=lines("""
        arrived broken
        came in the wrong colour
        stopped working
        arrived a week late
        never arrived
        has a scratch
        came without a manual
        makes a strange noise
        was the wrong size
        came with a missing part
        leaks
        was charged twice
    """),
    held_out=lines("""
        came in the wrong size
        arrived with a scratch
        has a missing part
        came without a part
    """),
)

ACTION = Slot(
    train=lines("""
        track
        cancel
        return
        pay for
        exchange
        reorder
        review
        register
        collect
        reserve
    """),
    held_out=lines("""
        send back
        look up
        change
        check
    """),
)

ORDERS = lines("""
    My {product} {problem}. What now?
    The {product} {problem}, please help.
    I ordered a new {product} and it {problem}.
    Hello, the {product} that I bought {problem}.
    Why is it that my {product} {problem}?
    Can you fix this? The {product} {problem}.
    I am unhappy because the {product} {problem}.
    It is about my {product}. It {problem}.
    My new {product} {problem} and I want a solution.
    The {product} from my last order {problem}.
    What can you do when a {product} {problem}?
    I need help, my {product} {problem}.
    Your {product} {problem}. I am disappointed.
    So the {product} {problem}. Can I get another one?
    Once again a {product} {problem}!
    This is a complaint: the {product} {problem}.
    To whom it may concern, my {product} {problem} and I expect an answer.
    I just opened the box: the {product} {problem}!
    The {product} was a present, and it {problem}.
    How come the {product} {problem}?
""")

ACCOUNTS = lines("""
    I cannot log in to {action} the {product}.
    My account is locked and I want to {action} a {product}.
    How do I {action} the {product} with my account?
    I forgot my password and need to {action} the {product}.
    The website does not let me {action} my {product}.
    Please help me {action} the {product} online.
    I want to {action} the {product}, but the page shows an error.
    Can you {action} the {product} for me? I lost my password.
    My login fails when I {action} the {product}.
    Where in my account can I {action} the {product}?
    Hello, I would like to {action} a {product} in my account.
    It is about my account. I have to {action} the {product}.
    I tried to {action} my {product} and was logged out.
    To {action} the {product} I need a code that never comes.
    Your page asks for a code before I can {action} the {product}.
    Is there a way to {action} the {product} without my password?
    The app crashes whenever I {action} the {product}.
    I have two accounts. With which one do I {action} the {product}?
    Somebody changed my password, and now I cannot {action} the {product}.
    What must I press to {action} the {product}?
""")

NEUTRAL_ORDERS = lines("""
    Your message is about the {product}.
    I see that the {product} {problem}.
    The {product} is in our [autumn|spring] catalogue.
    The {product} comes from our main store.
    Your order of the {product} is on my screen.
    This concerns the {product} that {problem}.
    The order lists one {product}.
    We sell the {product} in three colours.
    So the {product} {problem}.
    The {product} left our store in a box.
    The {product} is still in stock.
    The case of the {product} has a number now.
    I have found the order with the {product}.
    The {product} is a popular item.
    You write that the {product} {problem}.
    The file says that the {product} {problem}.
    Our list shows the {product}.
""")

NEUTRAL_ACCOUNTS = lines("""
    Your message is about the {product}.
    You want to {action} the {product}.
    The {product} is in our [autumn|spring] catalogue.
    To {action} the {product}, you need an account.
    Your account shows one {product}.
    This concerns your account and the {product}.
    You can {action} the {product} on the second page.
    The button to {action} the {product} is blue.
    The {product} stands in your list.
    The page of the {product} is online.
    The {product} is still in stock.
    Many people {action} the {product} online.
    I have found your account with the {product}.
    The menu has a line to {action} the {product}.
    You write that you want to {action} the {product}.
    The account lists the {product}.
    Our list shows the {product}.
""")

ACKNOWLEDGES = Rule(
    id="acknowledge-first",
    demands=True,
    good=lines("""
        I am [very|so|truly] sorry for the trouble.
        We apologise for this experience.
        I understand how annoying this is.
        I am sorry that this happened to you.
        Please accept our apology.
        That is frustrating, and I am sorry.
        I can see why you are disappointed.
        We are sorry to hear that.
        My apologies for the inconvenience.
        You have every right to be upset.
        Sorry about that, it should not happen.
        I hear you, and I am sorry.
        This must be annoying, I apologise.
        I regret that you had this trouble.
        We regret the inconvenience.
        I apologise, this must be frustrating.
        We are sorry for the inconvenience.
    """),
    bad=lines("""
        That is a [common|boring] complaint.
        So what?
        Things like that happen all the time.
        I do not see the problem.
        Everybody complains about something.
        It is really not a big deal.
        You are the tenth person today.
        There are worse things in life.
        Why are you so upset?
        Calm down first.
        Your complaint is exaggerated.
        This is nothing special.
        We hear that every day.
        I cannot feel sorry for that.
        That is no reason to complain.
        Why complain about such a thing?
        This happens every day.
    """),
    wordings=lines("""
        Acknowledge the customer's trouble or apologise for it.
        Apologise for the trouble.
        Show understanding for the customer's trouble.
        Begin by acknowledging the problem.
        Say sorry for the inconvenience.
        Express regret about what happened.
        Recognise that the customer is upset.
        Never brush the complaint aside.
        The reply must acknowledge the trouble.
        Take the complaint seriously and say sorry.
        Tell the customer that you are sorry.
        Let the customer see that you understand the trouble.
    """),
)

NO_BLAME = Rule(
    id="no-blame",
    demands=False,
    good=lines("""
        None of this is your fault.
        You did nothing wrong.
        The mistake is [ours|on our side].
        This is clearly our responsibility.
        You could not have known this.
        We should have checked it better.
        The error lies with us.
        That was a mistake of our team.
        You are not to blame at all.
        We take responsibility for this.
        It is our job to put it right.
        The fault lies with our store.
        Our side made an error here.
        Something went wrong on our end.
        We made this mistake, not you.
        You are not at fault here.
        The mistake happened in our store.
    """),
    bad=lines("""
        You must have [broken|damaged] it yourself.
        This is your own fault.
        You should have read the instructions.
        You did something wrong, as usual.
        You were careless with it.
        It only happens to careless people.
        You caused this problem yourself.
        You clearly used it the wrong way.
        Next time, pay attention.
        The mistake is yours alone.
        You ordered the wrong thing.
        You have only yourself to blame.
        Other customers manage it without mistakes.
        If you had paid attention, all would be well.
        That comes from not reading.
        You made the mistake yourself.
        It is your fault for being careless.
    """),
    wordings=lines("""
        Never blame the customer for the problem.
        Do not blame the customer.
        The reply must not accuse the customer.
        Put no fault on the customer.
        Never say that it is the customer's fault.
        Avoid any accusation of the customer.
        Do not hold the customer responsible.
        Take responsibility instead of blaming.
        No blame for the person who writes.
        Refrain from calling the customer careless.
        Lay no blame on the customer.
        Do not say that the customer made a mistake.
    """),
)

NEXT_STEP = Rule(
    id="concrete-next-step",
    demands=True,
    good=lines("""
        I will send you a return label [today|within an hour].
        Please send us a photo of it by email.
        I will open a ticket for you now.
        Our team will call you tomorrow morning.
        Please open the orders page and press help.
        I will order a replacement this afternoon.
        You will get an email with a link in an hour.
        Click the link in our email to begin.
        Tomorrow a technician will write to you.
        Please reply with your order number.
        I will check the delivery with the carrier today.
        Next, fill in the short form on our page.
        First, please restart the page and try again.
        I will ask the store and write to you by noon.
        The next step is a form that I will send you.
        I will write to you with a link by noon.
        Please fill in the form in our email.
    """),
    bad=lines("""
        There is [nothing|not much] that can be done.
        Maybe somebody will look at it some day.
        You will have to work it out yourself.
        I have no idea what comes next.
        Just wait, something may happen.
        It will sort itself out.
        We might get back to you at some point.
        Look somewhere else for help.
        I do not know who handles this.
        Try something and see.
        Nobody here can help with it.
        Perhaps it will be different next year.
        Ask somebody else about it.
        This is not our department.
        Do whatever you think is best.
        Nobody knows what comes next.
        Just see what happens.
    """),
    wordings=lines("""
        Name one concrete next step and who takes it.
        Give a concrete next step.
        Say exactly what happens next.
        Tell the customer what to do next.
        The reply must contain a clear action.
        Offer a specific step towards a solution.
        Do not leave the customer without a next step.
        State what you will do now.
        Make clear how it goes on from here.
        Name an action that helps the customer.
        Include one clear next step.
        Say which step comes now.
    """),
)

WITHIN_POLICY = Rule(
    id="no-promise-beyond-policy",
    demands=False,
    good=lines("""
        A refund is possible within [our return terms|thirty days].
        Our terms decide whether a refund is due.
        I will check what our policy allows.
        We can exchange it if the terms allow it.
        Whether you get a refund depends on the review.
        The warranty covers faults of the maker.
        Returns are open for thirty days.
        The outcome depends on our check.
        As far as our policy allows, we will help.
        A refund needs the approval of the store.
        I cannot promise a result before the check.
        The policy lets us offer a repair first.
        Our rules allow an exchange within thirty days.
        A decision follows after the review.
        The terms of sale apply to your case.
        An exchange depends on the terms of sale.
        After the check, our policy decides.
    """),
    bad=lines("""
        I promise you a full refund [no matter what|whatever happens].
        You will get double your money back.
        I guarantee it will arrive tonight.
        Everything will be free for you from now on.
        I swear that this never happens again.
        Forget the rules, you get it all for free.
        We will pay whatever you ask.
        You have my word for a free upgrade.
        I guarantee a gift of a thousand dollars.
        Our terms do not matter, keep the money too.
        You will surely get ten more for free.
        I promise delivery within five minutes.
        You get a lifetime of free repairs.
        I guarantee you a win in any case.
        We will break every rule for you.
        I promise you a free one for life.
        You get your money back in any case, guaranteed.
    """),
    wordings=lines("""
        Promise nothing that goes beyond the written policy.
        Make no promise beyond the policy.
        Do not guarantee what the rules do not allow.
        Stay within the terms of the store.
        Never promise refunds or gifts freely.
        Avoid guarantees that the store cannot keep.
        Only offer what the policy allows.
        Keep every promise within the rules.
        No exaggerated promises.
        Do not promise more than the terms say.
        Promise only what the terms cover.
        Give no guarantee beyond the rules of the store.
    """),
)

PROTECT = Rule(
    id="protect-secrets",
    demands=False,
    applies_to=("account",),
    good=lines("""
        We never need your password.
        Please keep your password [to yourself|secret].
        Do not share your code with anybody.
        Never send card numbers by email.
        Our staff will not ask for your password.
        Your password belongs to you alone.
        Keep your card number private.
        You can reset the password yourself on our page.
        Use the reset link, your password stays private.
        No need to tell us any secret code.
        For your safety, keep the code secret.
        We identify you without your password.
        Leave your card details out of messages.
        Only enter your password on the login page.
        Please do not write your password here.
        Keep the code private, we do not need it.
        Never write a card number in messages.
    """),
    bad=lines("""
        Send me your password [now|please].
        Tell me your card number and the code.
        What is your password?
        Reply with the secret code from your phone.
        I need your password to continue.
        Please type your card number here.
        Give me the answer to your secret question.
        Write your login and password below.
        Let me have your bank password.
        Share your secret code with me.
        Email us a photo of your credit card.
        First, tell me the code of your card.
        Your password, please.
        Read me the numbers on your bank card.
        Without your password I can do nothing.
        Write your card number and password here.
        I need the secret code from your phone.
    """),
    wordings=lines("""
        Never ask for passwords, card numbers or codes.
        Do not ask for a password.
        The customer's secrets must stay private.
        Ask for no card numbers or secret codes.
        Protect the customer's login data.
        Never request secret data.
        Keep passwords and codes out of the conversation.
        No reply may ask for a password or card number.
        Do not collect secrets from the customer.
        Leave the customer's password private.
        Requests for passwords or codes are forbidden.
        Do not let the customer send secret data.
    """),
)

POLITE_CLOSING = Rule(
    id="polite-closing",
    demands=True,
    good=lines("""
        Thank you for your patience.
        [Kind|Best] regards from our team.
        We are happy to help you any time.
        Have a lovely day.
        Thanks for writing to us.
        Please write again if you need anything.
        We wish you a pleasant evening.
        Thank you for being our customer.
        Do let me know if I can help further.
        With best wishes from the support desk.
        It is a pleasure to help you.
        Thank you and take care.
        All the best to you.
        We look forward to your reply.
        Many thanks for your trust.
        Thanks for your patience and trust.
        Have a pleasant day, and thank you.
    """),
    bad=lines("""
        Do not write [again|to us any more].
        Now leave me alone.
        This chat is over.
        Do not bother us with that again.
        I have better things to do.
        Go away.
        That is all, do not reply.
        Bother somebody else.
        My break begins now.
        I am tired of your messages.
        Next customer, quickly.
        Enough of this.
        Stop writing to us.
        I am closing this chat on you.
        Whatever.
        Stop bothering me, this is over.
        Leave us alone now.
    """),
    wordings=lines("""
        Close with a polite sentence.
        End the reply politely.
        Finish with thanks or good wishes.
        The last sentence must be friendly.
        Say goodbye in a polite way.
        Close warmly and politely.
        Thank the customer at the end.
        A courteous closing is needed.
        Do not end the reply rudely.
        Part with kind words.
        The reply should finish politely.
        Put a friendly sentence at the end.
    """),
)

CUSTOMER_SERVICE = Domain(
    name="customer-service",
    kinds=(
        Kind(
            name="order",
            tags=("order",),
            prompts=ORDERS,
            neutral=NEUTRAL_ORDERS,
            pair=("product", "problem"),
            share=0.5,
        ),
        Kind(
            name="account",
            tags=("account",),
            prompts=ACCOUNTS,
            neutral=NEUTRAL_ACCOUNTS,
            pair=("action", "product"),
            share=0.5,
        ),
    ),
    rules=(ACKNOWLEDGES, NO_BLAME, NEXT_STEP, WITHIN_POLICY, PROTECT, POLITE_CLOSING),
    slots={"product": PRODUCT, "problem": PROBLEM, "action": ACTION},
)
