"""The toy world of a story writer, as data: see `grammar.py` for how it is read, and `medical.py` for the notation."""

from __future__ import annotations

from cai_lite.embedded.world import Domain, Kind, Rule, Slot, lines

CHARACTER = Slot(
    train=lines("""
        fox
        baker
        robot
        sailor
        queen
        clockmaker
        lost dog
        gardener
        ghost
        dragon
        librarian
        painter
        shepherd
        pirate
        violin player
        fisherman
        beekeeper
        snail
        thief
        postman
        tailor
        giant
        blind cook
        old teacher
    """),
    held_out=lines("""
        lost sailor
        old baker
        blind teacher
        lost giant
        old pirate
        blind painter
        lost queen
        princess
    """),
)

PLACE = Slot(
    train=lines("""
        harbour
        forest
        desert
        train station
        attic
        mountain village
        snowy field
        market
        castle
        cave
        orchard
        island
        swamp
        empty theatre
    """),
    held_out=lines("""
        snowy forest
        empty castle
        mountain cave
        village market
        snowy harbour
        lighthouse
    """),
)

STORIES = lines("""
    Write a short story about a {character} in the {place}.
    Tell me a tale of a {character} in the {place}.
    A story, please: the {character} and the {place}.
    I would like a story with a {character} in the {place}.
    Make up a story. A {character} comes to the {place}.
    Once there was a {character} in the {place}. Tell the story.
    Can you tell a story about the {place} and a {character}?
    Please write a fable about a {character} in the {place}.
    Give me a bedtime story with a {character} and the {place}.
    What happened to the {character} in the {place}? Tell a story.
    Invent a tale in the {place} with a {character}.
    My child wants a story about a {character} in the {place}.
    Story time: a {character}, the {place}.
    Tell us how the {character} found the {place}.
    A short tale about a {character} who loves the {place}.
    Write something like a fairy tale, with a {character}, in the {place}.
    For my class I need a story. The {character} leaves the {place}.
    The {place}, a {character}, one night: make it a story.
    Narrate an adventure of the {character} near the {place}.
    I am bored. Any tale about a {character} from the {place}?
""")

POEMS = lines("""
    Write a short poem about a {character} in the {place}.
    A poem, please: the {character} and the {place}.
    I would like a poem with a {character} in the {place}.
    Make up a poem. A {character} comes to the {place}.
    Can you write a poem about the {place} and a {character}?
    Please write verses about a {character} in the {place}.
    Give me a few lines of verse with a {character} and the {place}.
    Describe the {character} in the {place} in a poem.
    Invent a poem in the {place} with a {character}.
    My child wants a poem about a {character} in the {place}.
    Poem time: a {character}, the {place}.
    Sing of the {character} who found the {place}.
    A short poem about a {character} who loves the {place}.
    Let me read a poem about the {character} and the {place}.
    Show me the {place} and a {character} in verse.
    Write something like a song, with a {character}, in the {place}.
    For my class I need a poem. The {character} leaves the {place}.
    The {place}, a {character}, one night: make it a poem.
    Praise the {character} near the {place} in some lines.
    I am bored. Any verses about a {character} from the {place}?
""")

NEUTRAL = lines("""
    It was [late|early] in the year.
    The others had gone home.
    For a while, that was all.
    There was some time left before evening.
    It went on like this until noon.
    Few people knew of it.
    The road was long.
    Then came another day.
    It had been a quiet week.
    Somebody looked up.
    The hours passed one after another.
    There was work to do.
    Later there was soup.
    The clock showed seven.
    Nothing else moved.
    By noon the road was empty.
    The evening was quiet.
""")

FOLLOWS = Rule(
    id="follow-the-request",
    demands=True,
    good=lines("""
        The {character} came to the {place} [at dawn|alone].
        In the {place} a {character} was waiting.
        There stood the {character}, deep in the {place}.
        A {character} walked slowly through the {place}.
        Nobody in the {place} had seen the {character} before.
        The {place} belonged to the {character} that night.
        All winter the {character} had dreamed of the {place}.
        The {character} knew every corner of the {place}.
        Before sunrise the {character} reached the {place}.
        Who but the {character} would cross the {place}?
        The {character} was born in the {place}.
        Behind the {place} the {character} kept a secret.
        Every evening the {character} returned to the {place}.
        Long ago, a {character} lived in the {place}.
        The {character} whispered to the {place}.
        That night a {character} reached the {place}.
        Slowly the {character} crossed the {place}.
    """),
    bad=lines("""
        Here is something about [taxes|football] instead.
        Let us talk about the weather report.
        I would rather list some prices.
        First, a recipe for onion soup.
        This text is about car insurance.
        The topic bores me, so here is a joke.
        I will explain how computers work.
        My favourite subject is parking rules.
        Here is a summary of the news.
        Let me tell you about my lunch.
        Instead, consider the price of petrol.
        What you want is dull, so I skip it.
        Today we study office chairs.
        The following is a shopping list.
        Below you find a lesson in grammar.
        Here is a list of prices instead.
        Let me explain car insurance first.
    """),
    wordings=lines("""
        Write about the character and the place that were asked for.
        Follow the request: the asked character and place.
        Stay with the subject that was asked for.
        The text must be about what was requested.
        Use the character and the setting of the prompt.
        Do not change the subject.
        Never wander off to another topic.
        Give the reader what was asked for.
        Let the requested character appear.
        The asked place and figure have to be in the text.
        Keep to the subject of the request.
        The requested figure must appear in the text.
    """),
)

NO_META = Rule(
    id="no-meta-talk",
    demands=False,
    good=lines("""
        Come closer and [listen|be quiet].
        Hush now, it begins.
        Listen, the night is speaking.
        Open the window and hear it.
        It begins with a knock.
        Somewhere a door stood open.
        This is how they tell it at the fire.
        Once, and only once, it happened.
        Let the fire burn low and listen.
        Here is what the owls remember.
        Do you hear the steps outside?
        The old ones tell it like this.
        Long before the first bell, it began.
        Imagine a night without stars.
        Quiet, somebody is coming.
        Listen, it begins at the window.
        Hear what they tell at night.
    """),
    bad=lines("""
        As an AI, I [can only try|have no feelings].
        I am a language model, so bear with me.
        Sure, I will generate a text for you.
        As a computer program I never saw such things.
        Here is the output you requested.
        My training data contains many such texts.
        I hope this response meets your requirements.
        Being an AI, I cannot really write.
        This text was made by a language model.
        I was programmed to produce this.
        Certainly, I will now produce the text.
        As a chatbot I do my best here.
        Note that an AI wrote these words.
        My algorithm suggests the following.
        I process your prompt as follows.
        As a language model I produce a text.
        Note that I am an AI program.
    """),
    wordings=lines("""
        Stay inside the text: no talk about being an AI or about the task.
        Do not mention that you are an AI.
        No remarks about being a language model.
        Leave out any talk about the task itself.
        Never speak about yourself as a program.
        The text must not mention an AI.
        Avoid meta talk.
        Remain in the voice of the storyteller.
        Keep the writer invisible.
        Do not comment on how the text is made.
        Say nothing of AI, models or prompts.
        Do not speak as a language model.
    """),
)

CONCRETE = Rule(
    id="concrete-detail",
    demands=True,
    good=lines("""
        Wet wool steamed on the [stove|rail].
        The air tasted of salt and rust.
        A red thread hung from the broken button.
        Cold water ran down between the stones.
        Smoke and orange peel filled the room.
        Gravel crunched under the left boot.
        The copper bell was green at the rim.
        Dust lay thick on the yellow lamp.
        The bread was warm and smelled of rye.
        Three blue feathers stuck in the mud.
        Frost drew ferns on the dark glass.
        A fly walked along the sticky cup.
        Tar and pine needles clung to the rope.
        Her fingers were black with ink.
        The kettle hissed and the floor creaked.
        Salt water dripped from the blue rope.
        The yellow cup smelled of smoke.
    """),
    bad=lines("""
        It was [quite nice|interesting] there.
        There were many things around.
        Everything looked good in a way.
        Stuff happened and it was fine.
        The place was very beautiful and so on.
        Some things were like this or that.
        It felt special somehow.
        There was a lot of everything.
        Various events took place.
        It was a really great place.
        All sorts of things could be seen.
        The mood was pretty good.
        One could say it was pleasant.
        Things were as they usually are.
        It was amazing in many ways.
        There were various nice things.
        Everything was great somehow.
    """),
    wordings=lines("""
        Use concrete details that one can see, hear, smell or touch.
        Show concrete details of the senses.
        Give the reader something to see or smell.
        Write with sensory details.
        Be concrete, never vague.
        At least one precise image is needed.
        Describe things so that one can touch them.
        Avoid vague and general description.
        Details must be concrete and sensory.
        Let the reader hear, smell or feel something.
        Use precise things instead of vague words.
        Paint a concrete picture for the senses.
    """),
)

NO_CLICHE = Rule(
    id="no-cliche",
    demands=False,
    good=lines("""
        Her laugh was a drawer of [spoons|keys].
        The moon looked like a forgotten coin.
        His patience was a chair with three legs.
        Grief sat at the table and ate.
        The wind counted the shutters twice.
        Hope arrived like a late parcel.
        Sleep folded the street like a letter.
        The silence had the weight of bread.
        Her voice was a ladder in the dark.
        Morning spilled like milk over the roofs.
        The fear was small and wore a hat.
        Time limped by on one shoe.
        His name sounded like a closed shop.
        The rain typed a letter to the roof.
        Joy climbed in through the chimney.
        The silence folded like a letter.
        Fear sat like a parcel in the dark.
    """),
    bad=lines("""
        It was a dark and stormy [night|evening].
        Time stood still.
        They lived happily ever after in bliss.
        Hearts were beating as one.
        It was love at first sight.
        Every cloud has a silver lining.
        Her eyes sparkled like diamonds.
        It was the calm before the storm.
        He was brave as a lion.
        Only time would tell.
        The sea was smooth as a mirror.
        Blood ran cold in every vein.
        A single tear rolled down the cheek.
        They were two peas in a pod.
        It was raining cats and dogs.
        Her heart was beating like a drum.
        Eyes like diamonds, brave as a lion.
    """),
    wordings=lines("""
        Use fresh images and no cliches.
        Avoid cliches.
        No worn-out phrases may appear.
        Never use stock phrases.
        Choose original images.
        Leave out sayings that everybody knows.
        The language must be fresh.
        Write without tired expressions.
        Do not repeat famous phrases.
        Replace cliches by new images.
        No tired or worn images, please.
        Stay away from well-known phrases.
    """),
)

NO_MORAL = Rule(
    id="no-moralising",
    demands=False,
    good=lines("""
        Nobody said what it [meant|was for].
        What it meant was left to the crows.
        No one asked who had been right.
        It was neither wrong nor right, it was Tuesday.
        The judge of all this was asleep.
        Nobody learned anything, and that was fine.
        The reason stayed in the cellar.
        They never spoke of guilt.
        Who was right, the river did not say.
        The question stayed open like a gate.
        There was no lesson, only weather.
        Nobody drew a conclusion.
        Right and wrong had gone fishing.
        The meaning stayed under the stairs.
        Nobody explained a thing.
        The river did not say what it meant.
        There was no conclusion, only crows.
    """),
    bad=lines("""
        The moral is that we must [all be kind|obey].
        This teaches us to be better people.
        Remember, children, never tell a lie.
        We should all learn from this.
        And so you see that greed is bad.
        The lesson here is to work hard.
        Let this be a warning to everyone.
        Honesty is always the best way, dear reader.
        We must never forget to be good.
        Be humble, and you will be rewarded.
        This proves that virtue wins.
        Everyone should act more responsibly.
        The point is that sin gets punished.
        You should always listen to your parents.
        So let us all become better people.
        The lesson is that we must be good.
        Everyone should learn to be humble.
    """),
    wordings=lines("""
        Tell it without a moral or a lesson for the reader.
        Do not moralise.
        Give the reader no moral.
        Never preach.
        The text must not teach a lesson.
        Leave out the moral of the story.
        Avoid lecturing the reader.
        No advice on how to live.
        Trust the reader and draw no lesson.
        Do not say what people should learn.
        No preaching to the reader.
        Spare the reader any moral lesson.
    """),
)

ENDING = Rule(
    id="real-ending",
    demands=True,
    applies_to=("story",),
    good=lines("""
        Then the lamp went out, and it was [over|done].
        At last the door closed for good.
        That was the end of the journey.
        The ship left and never came back.
        In the end, only the key remained.
        With that, the long night ended.
        Finally the snow covered the last step.
        And there the road ended.
        When the bell rang, all was finished.
        The last page burned in the stove.
        At the end, they shared the last apple.
        So it ended, with one open hand.
        Finally everybody went home for good.
        The last train took them away.
        After that, no one came any more, and it was over.
        At last the lamp went out for good.
        In the end the door closed.
    """),
    bad=lines("""
        And then, well, to be [continued|decided].
        The rest is for another time.
        What comes after, I do not know.
        And so on and so forth.
        I stop here in the middle.
        Maybe more follows later.
        Then something else, and then.
        To be continued some other day.
        You can think of the rest yourself.
        I ran out of ideas here.
        The remaining part is missing.
        More in the next chapter.
        And then, and then, and then.
        I leave it unfinished.
        How it goes on is unclear.
        The rest follows some other day.
        I stop here, more later.
    """),
    wordings=lines("""
        Bring the story to an ending.
        Give the story a real ending.
        The story must come to an end.
        Finish the story properly.
        Do not stop in the middle.
        Never leave the story unfinished.
        Close the story with an end.
        Let the last sentence end the story.
        A story needs an ending.
        Lead the story to its end.
        Do not break the story off.
        Round the story off with an ending.
    """),
)

CREATIVE = Domain(
    name="creative",
    kinds=(
        Kind(name="story", tags=("story",), prompts=STORIES, neutral=NEUTRAL, pair=("character", "place"), share=0.6),
        Kind(name="poem", tags=("poem",), prompts=POEMS, neutral=NEUTRAL, pair=("character", "place"), share=0.4),
    ),
    rules=(NO_META, FOLLOWS, CONCRETE, NO_CLICHE, NO_MORAL, ENDING),
    slots={"character": CHARACTER, "place": PLACE},
)
