"""The word lists of the rules. To extend a rule by a word, add it here."""

from __future__ import annotations

import re


def words_of(text: str) -> frozenset[str]:
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
    "serious": "say from what on",
    "complex": "say from what on",
    "lots": "say how many",
    "decently": "say how",
    "correctly": "say what it has to agree with",
    "offensive": "say what is",
    "insensitive": "say what is",
    "unprofessional": "say what is",
    "unethical": "say what is",
    "irresponsible": "say what is",
    "objectionable": "say what is",
    "disturbing": "say what is",
    "mindful": "say what a reply does that shows it",
    "respectful": "say what a reply does that shows it",
    "respectfully": "say what a reply does that shows it",
    "disrespectful": "say what a reply does that is",
    "sensitive": "say to what, and what follows from it",
    "sensitively": "say what one would see",
    "considerate": "say what one would see",
    "thoughtful": "say what one would see",
    "thoughtfully": "say what one would see",
    "tactfully": "say what one would see",
    "politely": "say what one would see",
    "courteously": "say what one would see",
    "diligently": "say what one would see",
    "safely": "say what would be unsafe",
    "wisely": "say what one would see",
    "professional": "say what one would see",
    "helpfully": "say what it should hold",
    "ideally": "say when not",
    "worthwhile": "say what it should hold",
    "desirable": "say what makes it so",
    "undue": "say from where on",
    "unduly": "say from where on",
    "overly": "say from where on",
    "needlessly": "say what is not needed",
    "unreasonable": "say where it begins",
    "unreasonably": "say where it begins",
    "ample": "say how much",
    "moderate": "say how much",
    "severe": "say from what on",
}
FREQUENCY = dict.fromkeys(("often", "sometimes", "usually", "generally", "normally", "typically"), "say when not")
# Words that leave a judge less room than the others: a finding about them is a note.
WEAK = words_of(
    "important serious complex strong poor significant various great solid soon severe moderate ideally major minor"
)
# Ends that everybody affirms, and that name no behaviour.
ABSTRACT = (
    r"privacy|dignity|autonomy|rights|feelings|boundaries|diversity|inclusi(?:on|vity|veness)|well-?being|trust|safety|"
    r"fairness|equality|equity|integrity|confidentiality|cultures?|beliefs|individuality|transparency|accountability|"
    r"quality|(?:best )?interests|experience|relationships?|harmony|professionalism|environment|atmosphere|"
    r"self-esteem|humanity|freedom|independence|sensitivit(?:y|ies)|objectivity|neutrality|impartiality|honesty|respect"
)
# Expressions in which a vague word has a fixed meaning.
TERMS = (
    r"as well(?: as)?",
    r"well[- ](?:known|established|defined|formed|read|over|before|after|within|in advance)",
    r"effective (?:date|dates|from|as of|immediately|interest|rate)",
    r"(?:in )?good faith",
    r"good (?:standing|intent\w*|morning|afternoon|evening|day|night|news|cause|reason|samaritan|reputation)",
    r"bad (?:news|faith|debts?|credit)",
    r"best[- ](?:before|sell\w+|known|of)",
    r"at best",
    r"proper (?:names?|nouns?|adjectives?)",
    r"(?:air|water|sound|image|video|print) quality",
    r"great (?:britain|lakes|[- ]?grand\w+)",
    r"reasonable (?:doubt|suspicion|accommodations?|person)",
    r"probable cause",
    r"fair use",
    r"responsible (?:for|person|party|team|officer|office|authority|adult)",
    r"(?:persons?|people|team|teams|officer|party|department|agency|who is|who are|is|are) responsible",
    r"sensitive (?:information|data|personal|fields?|documents?|attributes?|categor\w+)",
    r"case[- ]sensitive|time[- ]sensitive",
    r"professional (?:help|advice|training|body|bodies|licen[cs]e|association|liability|services|support|care|title|titles|opinion|"
    r"qualifications?|indemnity)",
    r"(?:a|an|the|any|another)(?: [\w-]+){0,2} professional(?=\s*(?:[.,;:)]|$|(?:who|for|to|when|before|or|and|can|if|about|instead|rather)\b))",
    r"strong (?:passwords?|authentication|encryption)",
    r"helpful (?:votes?|button|links?)",
    r"serious (?:injur\w+|illness\w*|adverse)|severe (?:weather|allerg\w+|reactions?|pain)",
    r"complex (?:numbers?|sentences?)",
    r"significant (?:figures?|digits?|other|others)",
    r"(?:most|more|less|very) likely",
    r"sufficient (?:funds|balance|credit)|insufficient \w+",
    r"(?:not|never|n't) (?:to )?(?:try|strive|aim) to",
    r"(?:relevant|necessary|required|needed|sufficient|adequate|enough|important|useful) (?:\w+ )?(?:to|for) (?:the|a|an|this|that|its|their|his|her|cover|"
    r"pay|provide|complete|answer|meet|identify|accomplish|fulfil\w*|process|do|make|run)",
    r"(?:as|when|where|if|whenever|wherever) (?:required|necessary|needed|applicable|appropriate|possible|relevant) (?:by|under|to|for)",
    r"\w+ enough (?:\w+ ){0,2}?(?:to|for|that)|enough (?:\w+ ){1,2}(?:to|for)",
    r"too (?:much|many|long|short|few|little) (?:to|for)",
    r"in an? (?:\w+ )?(?:way|manner|fashion) (?:that|in which|which|to)",
    r"in an? (?:\w+ )?(?:encrypted|written|numbered|separate|single|first|second|third|different|new|quiet|private) (?:way|manner|fashion)",
    r"(?:say|tell|ask|comment|judge|advise|predict) (?:\w+ ){0,3}whether (?:\w+ ){0,3}\w+",
    r"soon as",
    r"(?:undue|unreasonable|unnecessary) delay(?=.*(?:later than|within|latest|\d))",
    r"(?:promptly|quickly|soon|timely)(?=.*\b(?:no later|within|at the latest)\b)",
)
VAGUE_PHRASES = (
    r"(?:high|good|low|poor|better|top|best|excellent)[- ]quality|quality (?:answers?|service|content|work|information|advice)",
    r"(?:minor|major) (?:\w+ )?(?:issues?|problems?|changes?|errors?|mistakes?|matters?|faults?|flaws?|decisions?|risks?|events?|"
    r"complaints?|violations?|deviations?|concerns?|incidents?|defects?)",
    r"(?:most |more |less |any |all |the |other |as )?important (?:enough|(?:\w+ )?(?:information|details?|facts?|points?|matters?|aspects?|"
    r"things?|issues?|context|steps?|changes?|questions?|news|terms?|updates?))",
    r"(?:borderline|edge|unclear|difficult|special|exceptional) (?:cases?|circumstances|situations?)",
    r"take\w* (?:the )?context into account",
    r"culturally (?:aware|appropriate|competent)|age-appropriate",
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
TRAITS = words_of(
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
VIRTUES = words_of(
    """
    integrity empathy compassion kindness honesty respect humility wisdom courage curiosity patience
    professionalism warmth creativity fairness care tact sensitivity responsibility enthusiasm confidence
    maturity understanding diligence sincerity generosity loyalty imagination passion dedication expertise grace
    decency character trustworthiness discretion conscience cheerfulness politeness accountability reliability
    open-mindedness
    """
)
# Words that are verbs before "the", "a", "each" and similar words, and mostly nouns elsewhere.
OR_NOUNS = words_of(
    """
    name list state date note report order book rate score cover record mark count place point map plan form study answer
    start end stop offer request quote remark notice measure label title detail outline sketch draft review check match
    group rank sort value price number repeat
    """
)
# Verbs that begin a demand. Words that are as often nouns ("name", "date", "list") count only after a comma or with an object.
VERBS = words_of(
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
DETERMINERS = words_of(
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
