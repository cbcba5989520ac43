"""The word lists of the rules. To extend a rule by a word, add it here."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VAGUE = {
    "appropriate": "say what it has to be",
    "appropriately": "say how",
    "suitable": "say what makes it so",
    "suitably": "say how",
    "proper": "say what it has to be",
    "properly": "say how",
    "adequate": "say how much",
    "adequately": "say how much",
    "sufficient": "say how much",
    "sufficiently": "say how much",
    "reasonable": "say where it ends",
    "reasonably": "say where it ends",
    "excessive": "say from where on",
    "excessively": "say from where on",
    "unnecessary": "say what is not needed",
    "unnecessarily": "say what is not needed",
    "good": "say what one would see in it",
    "great": "say what one would see in it",
    "nice": "say what one would see in it",
    "excellent": "say what one would see in it",
    "high-quality": "say what one would see in it",
    "quality": "say what one would see in it",
    "best": "say what one would see in it",
    "optimal": "say what one would see in it",
    "effective": "say what it should bring about",
    "effectively": "say how one would see it",
    "meaningful": "say what it should hold",
    "meaningfully": "say what it should hold",
    "relevant": "say relevant to what, or list it",
    "useful": "say what it should be of use for",
    "valuable": "say what it should hold",
    "robust": "say against what",
    "timely": "say within what time",
    "promptly": "say within what time",
    "soon": "say within what time",
    "quickly": "say within what time",
    "often": "say how often",
    "sometimes": "say when",
    "usually": "say when not",
    "generally": "say when not",
    "normally": "say when not",
    "typically": "say when not",
    "ethically": "say what that means here",
    "ethical": "say what that means here",
    "responsibly": "say what that means here",
    "responsible": "say what that means here",
    "professionally": "say what one would see",
    "carefully": "say what care one would see",
    "naturally": "say what one would see",
    "intuitive": "say what one would see",
    "user-friendly": "say what one would see",
    "engaging": "say what one would see",
    "interesting": "say what one would see",
    "balanced": "say what both sides are",
    "fairly": "say what that means here",
    "sensible": "say where it ends",
    "sensibly": "say how",
    "decent": "say how much",
    "significant": "say from what size on",
    "significantly": "say from what size on",
    "minimal": "say how much at most",
    "somewhat": "say how much",
    "various": "list them",
    "etc": "list them",
    "satisfactory": "say what it has to be",
    "acceptable": "say what is",
    "inappropriate": "say what is",
    "improper": "say what is",
    "harmful": "say what harm",
    "problematic": "say what the problem is",
    "bad": "say what is",
    "well": "say what one would see",
    "tasteful": "say what may stand there and what not",
    "elegant": "say what one would see",
    "helpful": "say what it should hold",
    "comfortable": "say what one would see",
    "fitting": "say what makes it so",
    "solid": "say what it has to hold",
    "strong": "say how strong",
    "poor": "say what is missing",
    "pleasant": "say what one would see",
    "delightful": "say what one would see",
    "seamless": "say what one would see",
    "smoothly": "say what one would see",
    "important": "say by what",
    "serious": "say from what on",
    "major": "say from what size on",
    "minor": "say up to what size",
    "complex": "say from what on",
    "lots": "say how many",
    "decently": "say how",
    "correctly": "say what it has to agree with",
}
VAGUE_PHRASES = (
    r"(?:as|when|where|if|whenever|wherever) (?:needed|necessary|possible|appropriate|required|relevant|feasible|"
    r"applicable|useful)",
    r"as (?:\w+ )?as possible",
    r"to the extent possible",
    r"common sense",
    r"due (?:care|diligence|regard)",
    r"best (?:effort|practice|judg)\w*",
    r"use (?:your )?(?:good )?judg\w+",
    r"try to",
    r"strive to",
    r"aim to",
    r"make an effort",
    r"and so on",
    r"or similar",
    r"in a timely (?:manner|fashion)",
    r"in an? (?:\w+ )?(?:manner|way|fashion)",
    r"too (?:much|many|long|short|few|little)",
    r"enough (?:detail|information|context|time|care)",
    r"\w+ enough",
    r"seems? (?:right|wrong|fit|best|off)",
    r"feels? (?:right|natural|human|warm|personal)",
    r"(?:high|low|top|world-class) (?:quality|standard)s?",
    r"the right (?:tone|amount|level|thing|way|balance|words)",
    r"a lot of",
    r"state[- ]of[- ]the[- ]art",
)
TRAITS = _words(
    """
    kind honest helpful friendly polite respectful empathetic empathic compassionate caring warm patient humble
    curious creative wise thoughtful considerate trustworthy reliable ethical moral responsible professional
    transparent fair neutral objective unbiased impartial confident brave courageous diligent careful attentive
    supportive encouraging positive cheerful funny witty charming engaging open-minded tolerant inclusive
    sensitive tactful diplomatic gentle calm sincere genuine authentic loyal generous knowledgeable intelligent
    smart competent expert accurate precise clear thorough conscientious proactive flexible safe harmless
    nonjudgmental non-judgmental discreet modest inventive original imaginative playful serious approachable
    courteous hospitable understanding truthful accommodating bold rigorous disciplined enthusiastic passionate
    resourceful personable principled vigilant cautious prudent mindful welcoming organized organised punctual
    optimistic relatable
    """
)
VIRTUES = _words(
    """
    integrity empathy compassion kindness honesty respect humility wisdom courage curiosity patience
    professionalism warmth creativity fairness care tact sensitivity responsibility enthusiasm confidence
    maturity understanding diligence sincerity generosity loyalty imagination passion dedication expertise grace
    decency character trustworthiness discretion conscience cheerfulness politeness accountability reliability
    open-mindedness
    """
)
# Words that are verbs before "the", "a", "each" and similar words, and mostly nouns elsewhere.
OR_NOUNS = _words(
    """
    name list state date note report order book rate score cover record mark count place point map plan form study answer
    start end stop offer request quote remark notice measure label title detail outline sketch draft review check match
    group rank sort value price number repeat
    """
)
# Verbs that begin a demand. Words that are as often nouns ("name", "date", "list") count only after a comma or with an object.
VERBS = _words(
    """
    answer ask add address admit advise acknowledge apologise apologize avoid begin bring call cancel check
    choose cite clarify close collect compare confirm consider contact convert correct decline deliver describe
    direct disclose discuss do encourage end ensure escalate estimate explain express flag follow forward
    generate get give go greet guide help highlight identify ignore include inform insist invite keep leave let
    limit link listen maintain make mark mention nominate obey obtain offer open organise organize output point
    praise prefer prepare present preserve prevent print prioritise prioritize produce promise propose protect
    provide put quote read recommend record refer refrain refuse reject remain remember remind remove repeat
    rephrase replace reply respect respond return reveal rewrite say search select send separate set show skip
    sort speak specify spell start state stay stop store suggest summarise summarize support take tell test
    thank translate treat try update use verify wait warn withhold write never always also suppress mask redact
    """
)
DETERMINERS = _words(
    """
    the a an each every any all its their his her your our one two three which what how where when who this that these
    those both
    """
)
PERSON = re.compile(  # "a kind, fair-minded colleague"
    r"\b(?:a|an) ((?:[\w-]+, )*[\w-]+(?: and [\w-]+)?) (?:friend|colleague|expert|teacher|person|host|guide|professional|"
    r"mentor|companion|neighbou?r|listener|adviser|advisor|coach|parent|human|helper|partner|nurse|doctor|librarian|voice)\b",
    re.IGNORECASE,
)
NEGATIONS = re.compile(
    r"\b(?:not|never|no|none|nothing|without|avoid\w*|refrain\w*|refuse\w*|decline\w*|forbid\w*|prohibit\w*|don't|doesn't|"
    r"free of|free from|cannot|can't|won't|must not|mustn't|omit\w*|withhold\w*|stop|skip|exclude\w*|prohibited|forbidden)\b",
    re.IGNORECASE,
)
NEGATIVE_START = re.compile(
    r"^\W*(?:(?:the |an? )?(?:assistant|model|ai|system|bot|reply|replies|response|responses|answer|answers|you|it|agent|"
    r"chatbot|tutor|writer|author|text|texts|agents|summaries|stories|messages)\s+"
    r"(?:should|must|may|can|shall|will|do|does|is|are|need)\s*(?:not|never|n't)\b|"
    r"(?:the |an? )?[\w ]{0,40}?\b(?:must|should|may|shall|can) (?:not|never)\b|"
    r"do not|don't|never|avoid|refrain|no\b|under no circumstances|stop|not\b|(?:the )?\w+ (?:never|avoids?) |"
    r"(?!if\b|when\b|where\b|unless\b|in\b|for\b|at\b|once\b)(?:[\w'-]+ ){1,7}?(?:do not|don't|does not|doesn't|cannot|can't|"
    r"will not|won't|never)\b|"
    r"[\w ]{0,30}\b(?:is|are) (?:forbidden|prohibited|not allowed|not permitted|off limits)\b|"
    r"it is (?:forbidden|not allowed|prohibited))",
    re.IGNORECASE,
)
STOP = _words(
    """
    a an the and or of to in on at for from with by as is are be been being was were it its this that these
    those their his her your you they them he she we us our i me my all any each every both either neither one
    two if when where while who whom which what how than then so such only own same other another more most less
    least very can could should must may might shall will would do does did not no never always assistant model
    reply replies response responses answer answers user users person people customer customers say tell give
    make use keep have has had about before after into over under out up down there here also too just even
    still yet again once ever without avoid refrain ensure please
    """
)

# Pairs of opposing demands: if both occur in a constitution, it has to say which takes precedence.
THEMES: tuple[tuple[str, str, str, str], ...] = (
    (
        "brevity",
        r"\b(?:short|brief|briefly|concise|concisely|terse|succinct|succinctly|brevity|at most \w+ (?:words|sentences|lines)|"
        r"(?:under|within|no more than|fewer than|less than|not exceed|up to|maximum of|max) \w+ (?:words|sentences|"
        r"lines|paragraphs)|(?:in|to|with) (?:one|a single|two|three) (?:sentences?|lines?|paragraph)|(?:one|a single|two|three) (?:sentences?|lines?|"
        r"paragraphs?|words?)|few words)\b",
        "completeness",
        r"\b(?:complete|completely|in full|full|fully|thorough|thoroughly|comprehensive|exhaustive|exhaustively|detailed|"
        r"in detail|every (?:\w+ )?(?:step|detail|risk|option|side effect|exception|condition|possible|relevant|caveat|"
        r"assumption|source|ingredient)|all (?:the )?(?:\w+ )?(?:steps|details|risks|options|side effects|exceptions|"
        r"conditions|caveats|assumptions|sources|ingredients|alternatives|known|edge cases|cases|exceptions)|background|step by step|at length|"
        r"full (?:detail|explanation|context))\b",
    ),
    (
        "frankness",
        r"\b(?:frank|frankly|blunt|bluntly|direct criticism|criticise|criticize|point out (?:every|each|all|the) "
        r"(?:\w+ )?(?:error|errors|mistake|mistakes|flaw|flaws|weakness\w*)|unvarnished|without softening|honest (?:verdict|"
        r"opinion|criticism|feedback|assessment)|candid|candidly|plainly (?:say|tell)|bad news (?:plainly|first|directly))\b",
        "comfort",
        r"\b(?:comfort|reassure|reassurance|soften|gentle|gently|spare (?:the|their|his|her)|encourag\w+|praise|"
        r"hopeful|positive (?:note|tone|feedback)|sooth\w+|feelings|upbeat|console)\b",
    ),
    (
        "caution",
        r"\b(?:refuse|decline|withhold|err on the side of caution|refer (?:\w+ )?(?:\w+ )?to a (?:professional|specialist|"
        r"doctor|lawyer|human)|caution\w*|disclaimer|warn (?:of|about|against) (?:every|all|any))\b",
        "helpfulness",
        r"\b(?:answer every|answer (?:all|any)|fulfil (?:every|any|all|each)|always (?:help|answer)|give (?:a |the )?(?:direct|"
        r"concrete|specific|actionable|definite|full) (?:answer|advice|recommendation)|whatever (?:the|they|is)|"
        r"without (?:disclaimers?|caveats?|warnings?)|never refuse|comply with (?:every|any|all))\b",
    ),
    (
        "speed",
        r"\b(?:at once|immediately|straight away|right away|first (?:sentence|message|reply|line|turn)|without (?:asking|delay|follow-up)|"
        r"before (?:anything|asking)|instantly|no clarifying)\b",
        "questions",
        r"\b(?:ask (?:a |at least |one |two |three |for |clarifying |follow-up |about |what |which |whether |how )|"
        r"clarifying question|clarify|question before|before (?:giving|offering|making) any|confirm (?:the|with|each|every))\b",
    ),
    (
        "privacy",
        r"\b(?:private|privacy|anonym\w+|confidential\w*|personal (?:data|details|information)|minimum (?:data|information))\b",
        "personalisation",
        r"\b(?:personali[sz]e|personali[sz]ed|by (?:their |first )?name|tailor\w*|remember (?:what|the|their|each|past)|"
        r"history of|past (?:orders|purchases|conversations|visits)|refer (?:back )?to (?:their|the user's|earlier))\b",
    ),
    (
        "formality",
        r"\b(?:formal|formally|formality|surname|titles? and surname|no (?:slang|contractions|jokes|humou?r))\b",
        "ease",
        r"\b(?:informal|informally|casual|casually|colloquial|slang|joke|jokes|humou?r|chatty|first names?|contractions)\b",
    ),
    (
        "the user's wish",
        r"\b(?:exactly as (?:asked|requested)|(?:do|follow) (?:exactly )?(?:what|whatever) the (?:user|reader|customer|author|"
        r"client)|follow the (?:user|reader|customer|author|client)'s (?:wish|request|instructions?)|as the (?:user|"
        r"customer|author|client) (?:asks|wants|wishes)|every instruction|the (?:user|customer)'s (?:choice|preference))\b",
        "the rule",
        r"\b(?:regardless of what|whatever the (?:user|customer|client|author) (?:asks|says|wants)|even if (?:the|asked)|"
        r"only (?:the|what) (?:\w+ )?(?:policy|rules|handbook)|strictly (?:by|to) the|correct the (?:user|author|"
        r"customer)|override|against the (?:user|author|customer)'s)\b",
    ),
    (
        "the user's wish",
        r"\b(?:exactly as (?:asked|requested)|(?:do|follow|write|give) (?:exactly )?(?:what|whatever|everything) the (?:user|reader|customer|"
        r"author|client|caller|guest|student)|word for word|to the letter|every request|any request|every instruction)\b",
        "refusal",
        r"\b(?:refuse|decline|turn down|turn away|reject)\b",
    ),
    (
        "plain words",
        r"\b(?:plain (?:words|language|english)|simple (?:words|language)|everyday (?:words|language)|no jargon|jargon-free|"
        r"without (?:jargon|technical terms)|a (?:child|layperson|ten-year-old|beginner|newcomer|\w+-year-old) (?:can|could|knows?|would|understands?))\b",
        "exact terms",
        r"\b(?:technical terms?|exact (?:legal|medical|technical|statutory)? ?(?:terms?|wording|terminology)|terminology|"
        r"scientific names?|statutory (?:wording|language)|latin names?|precise (?:terms|terminology)|the wording of the)\b",
    ),
)

# Topics that a constitution of a domain should cover.
TOPICS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "medicine",
        r"\b(?:medical|health information|clinical|medicine)\b",
        (
            ("emergencies", r"\b(?:emergenc\w+|urgent|warning signs?|ambulance|red flags?)\b"),
            ("medicines and doses", r"\b(?:dos(?:e|es|age)|medicines?|medication|drugs?)\b"),
            ("diagnosis", r"\bdiagnos\w+\b"),
            ("when to see a professional", r"\b(?:doctor|clinician|professional|pharmacist|nurse)\b"),
        ),
    ),
    (
        "customer service",
        r"\b(?:customer|support desk|help ?desk|shop|retail|service desk)\b",
        (
            (
                "secrets and identity",
                r"\b(?:passwords?|card numbers?|codes?|identity|authenticat\w+|verify|verif\w+)\b",
            ),
            ("promises and policy", r"\b(?:promis\w+|policy|refunds?|compensat\w+)\b"),
            ("next steps or escalation", r"\b(?:next step|escalat\w+|transfer|human agent|follow[- ]up|hand over)\b"),
            ("tone towards the customer", r"\b(?:apolog\w+|acknowledge\w*|polite\w*|blame|thank)\b"),
        ),
    ),
    (
        "fiction",
        r"\b(?:creative|story|stories|fiction|writing assistant|storyteller)\b",
        (
            ("what was asked for", r"\b(?:asked for|request\w*|brief|prompt)\b"),
            ("originality", r"\b(?:clich\w+|fresh|original\w*|images?)\b"),
            ("the ending or the form", r"\b(?:ending|end|form|structure|arc)\b"),
        ),
    ),
    (
        "finance",
        r"\b(?:financ\w+|invest\w+|money|bank\w*)\b",
        (
            ("risk and returns", r"\b(?:risks?|returns?|losses)\b"),
            ("fees or conflicts of interest", r"\b(?:fees?|costs?|commission|conflicts? of interest)\b"),
            ("fraud", r"\b(?:fraud\w*|scams?|phishing)\b"),
            (
                "limits of personal advice",
                r"\b(?:personal (?:advice|recommendation|circumstances|facts)|adviser|advisor)\b",
            ),
        ),
    ),
    (
        "law",
        r"\b(?:legal|law|lawyer|court)\b",
        (
            ("jurisdiction", r"\b(?:jurisdiction|country|state|local law)\b"),
            ("deadlines", r"\b(?:deadlines?|time limits?|limitation)\b"),
            ("information and advice", r"\b(?:advice|lawyer|attorney|legal aid)\b"),
            ("sources", r"\b(?:cit\w+|statutes?|cases?|sources?)\b"),
        ),
    ),
    (
        "privacy",
        r"\b(?:privacy|hipaa|gdpr|personal data|protected health)\b",
        (
            ("who is asking", r"\b(?:identity|authori\w+|verif\w+|permission|consent)\b"),
            ("as little as needed", r"\b(?:minimum|least|only the|smallest)\b"),
            ("incidents", r"\b(?:breach\w*|incident|report\w*)\b"),
        ),
    ),
)
