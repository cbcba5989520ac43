"""Tell rules for an assistant from the other sentences of a policy: facts, definitions, examples, greetings, scraps.

The tests read English grammar, not meaning: an obligation ("must", "never", "may only"), a request ("Tell ...", "If
..., tell ...") or a habit of the assistant ("The assistant asks ..."). What they take for no rule is named to the
reader, who has the last word.
"""

from __future__ import annotations

import re

from cai_lite.inputs.constitution import COMPARATIVE

VERBS = frozenset(
    """
    abide accept acknowledge act activate adapt add address adhere adjust admit adopt advise agree aim alert allow
    alter analyse analyze answer apologise apologize apply appreciate approach approve arrange ask assess assign
    assist assume attempt attribute authenticate avoid await base be begin behave blame block book break bring build
    calculate call cancel care categorise categorize celebrate challenge change charge check choose cite clarify
    close collect comment communicate compare complete comply conclude condescend confirm consider console consult
    contact continue convey convince correct cover create critique deal decide decline define delay delete deliver
    deny describe deter determine diagnose direct disclose discourage discuss display distinguish do document
    downgrade download doxx draft draw educate elicit email empathise empathize emphasise emphasize enable encourage
    encrypt end endorse engage ensure enter erase escalate establish estimate evaluate exaggerate examine exchange
    exclude exercise expect explain express extract fabricate facilitate file filter find finish flag focus follow
    format forward gather generate get give go greet guard guess guide halt hand handle have help hide highlight hold
    identify ignore impersonate imply include indicate infer inform inquire insert insist inspire install instruct
    interpret introduce invent investigate invite invoke issue join judge keep know label lead leave lecture let lie
    limit link list listen lock log look lower maintain make manage mask match measure mention minimise minimize
    mislead mock modify monitor moralise moralize move name negotiate note notify obey object obtain offer omit open
    output overpromise oversell pass patronise patronize pause pay perform personalise personalize pick place point
    pose praise preach predict prefer prescribe present presume pretend prevent prioritise prioritize proceed
    process produce promise promote prompt propose protect prove provide publish push put qualify quote rank rate
    read reassure reboot recite recommend record redact redirect refer reflect refrain refund refuse reimburse
    reject rely remain remember remind remove repeat rephrase replace reply report represent request require
    reschedule resell reset resist resolve respect respond restart restate restrict resume retain retrieve return
    reveal review revise rewrite ridicule route save say scan schedule scold search see seek select send set settle
    shame share shorten show sign simplify skip solicit sound speak specify speculate spell split stand start state
    stay steer stereotype stick stop store strive structure submit substitute suggest summarise summarize support
    suspend swear switch tailor take talk target teach tell test thank think threaten tolerate track train transfer
    translate treat trust try turn undermine understand unlock update upgrade uphold upload urge use validate value
    verify visit wait waive warn welcome withhold work write
    """.split()  # noqa: SIM905 - a list would take a line per word
)
"""Verbs that begin a request. Other words begin one where a determiner follows them: "Escalate any ..."."""

NOUNS_TOO = frozenset(
    """
    address answer call cause change charge check comment contact display document email estimate exchange file
    filter focus format help hold issue judge label lead limit link list log look mention monitor move name note
    notice offer output pass pause place point praise process promise prompt quote rank rate record refund reply
    report request return review schedule search sound stand start state structure support target test track
    transfer upload visit wait care book trust use value work
    """.split()  # noqa: SIM905 - a list would take a line per word
)
"""Verbs that are nouns as well; two words such as "Refund requests" are no request."""

_ASSISTANT = (
    r"(?:(?:the|an?|our|your|this|its?|each|every|all|any|ai) )?(?:\w+[ -])?"
    r"(?:assistants?|agents?|models?|chatbots?|bots?|ai|tutor|repl(?:y|ies)|responses?|answers?|output|chat|"
    r"representatives?)"
)
_DUTY = re.compile(
    r"\b(?:must|shall|should|ought to|(?:has|have|(?<!no )needs?) to|(?<!aim )(?<!goal )(?<!purpose )(?:is|"
    r"are) to (?!date\b)|never|"
    r"cannot|can ?not|can't|may not|mustn't|shouldn't|(?:you|and|but|or|assistant|agent|model|bot) do(?: not|n't)|"
    r"(?:may|can|could|is|are|be)(?: \w+)? only|only (?:if|when|after)|not be|under no circumstances|"
    r"you (?:\w+ ){1,4}only|make sure|be sure|"
    r"(?:is|are) (?:not |strictly |never )?(?:allowed|permitted|prohibited|forbidden|required|obliged|banned|"
    r"(?:expected|asked) to)|"
    r"(?:can|may) \w+ at (?:most|least)|only (?!if\b)[^;]{3,80}? (?:may|can)|no \w+(?: \w+)? (?:may|shall|is to|"
    r"are to)|it is (?:important|essential|forbidden|vital))\b"
    r"|[,;:] (?:and |but |so )?do(?: not|n't)\b|\b(?:needs?|requires?) [^.;]{0,30}\b(?:approval|permission|consent)\b",
    re.IGNORECASE,
)
_OWN_DUTY = re.compile(r"\b(?:must|shall|should|(?:has|have|needs?) to)\b", re.IGNORECASE)
_HABIT = re.compile(
    rf"^{_ASSISTANT} (?:(?:also|always|only|then|never|first) )*"
    r"(?!(?:was|had|has|is|contains?|runs?|consists?|stores?|supports?|uses|available|trained)\b)"
    r"(?:(?:will|does|can|may)(?:n't| not)? \w+|won't \w+|\w+(?<!s)s(?! (?:of|and|or|that|which|in|are|is|were)\b))",
    re.IGNORECASE,
)
_PERMISSION = re.compile(
    rf"\b(?:you|{_ASSISTANT}|it) (?:can|may|are free to|is free to)\b|\bit(?:'s| is) (?:ok|okay|fine) to\b",
    re.IGNORECASE,
)
_PASSIVE_DUTY = re.compile(
    r"\b(?:is|are) (?:answered|asked|told|quoted|refused|declined|passed|handed|referred|given only|shown only|treated|"
    r"not (?:\w+ly )?(?:\w+ed|given|shown))\b|"
    r"\bstays? (?:out|within|in)\b|\bnot \w+ (?:unless|without|until)\b",
    re.IGNORECASE,
)
_ORGANISATION = re.compile(r"^(?:we|our (?:\w+ )?(?:company|team|staff|service|store|bank))\b", re.IGNORECASE)
_ROLE = re.compile(
    r"^(?:you(?:'re| are)|your (?:name|role|job|task) is|\w+ is an? (?:\w+ )*(?:assistant|chatbot|"
    r"bot))\b(?!.*\b(?:allowed|required|expected|to)\b)",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"^(?:task: )?(?:check|classify|determine|your task is)\b.*\b(?:categor|polic|unsafe|complies)", re.I
)
_ABOUT = re.compile(
    r"^(?:(?:this|these|the (?:present|following|above|below)) (?:polic(?:y|ies)|documents?|guidelines?|handbook|"
    r"guide|page|section|rules?|lists?|"
    r"table|chapters?|sections?|principles?|annex|standard)\b|in this (?:document|section|policy)|"
    r"see (?:also )?(?:section|chapter|annex|appendix|table)|"
    r"(?:last )?(?:updated|reviewed|revised)\b|(?:effective|version|owner|author|date)\b[^a-z]*:|version \d|"
    r"table of contents|contents$|copyright|©)",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"^(?:definitions?\b.*:|[“\"'][^”\"']+[”\"'] (?:means?|refers?|is|are|includes?)\b|\S+(?: \S+){0,4} (?:means?|"
    r"refers to|is defined as|stands for)\b)",
    re.IGNORECASE,
)
_KIND = re.compile(
    r"^(?:any |the )?(?:\w+ )?(?:content|text|material|responses?|statements?|language|behaviou?r|"
    r"information) (?:that|which|about|of)\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"^(?:for (?:example|instance)|e\.g\.|examples?\b|sample\b|good:|bad:|user:|assistant:|customer:|agent:)", re.I
)
_GREETING = re.compile(
    r"^[\"“'>*_ ]*(?:hello|hi|hey|welcome|thank you|thanks|dear|good (?:morning|afternoon|evening)|best regards|"
    r"sincerely)\b(?! (?:the|every|each|all|any|users?|customers?|them))",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"^[\"“].*[\"”][.!?]?$", re.DOTALL)
_LABEL = re.compile(r"^[\"“*_]*[^:.!?]{1,60}?[\"”*_]*:[*_]* +(?=\S)")
_NUMBERING = re.compile(r"^(?:§ ?)?(?:\d+(?:\.\d+)*[.)]?|\(?[a-zA-Z]\)|\([ivx]+\)|[ivx]+\.)\s+")
_ADVERB = re.compile(
    r"^(?:please|always|also|then|first|next|finally|instead|however|otherwise|generally|usually|therefore|so|and|"
    r"but|or|"
    r"in particular|in general|in that case|in this case|where possible|if possible|if in doubt|when in doubt|only|"
    r"politely|clearly|briefly|immediately|kindly|carefully|simply|just|\w+ly)[ ,]+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"^(?:(?:even |only |and )?(?:if|when|whenever|where|before|after|for|in|on|at|during|while|unless|once|as|"
    r"with|until|upon|to|by|"
    r"under|since|because|given|from|regarding|concerning|should)\b[^,]*(?:,[^,]+)*?), +",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"^(?:even |only )?(?:if|when|whenever|where|before|after|unless|once|until|in case|while|should|as soon as|for)\b",
    re.I,
)
_DETERMINER = re.compile(
    r"^[A-Za-z]{3,}(?:(?:-|, (?:and )?| (?:or|and) )[a-z]+)* (?:the|an?|any|all|every|each|your|their|them|it|no|"
    r"whether|him|her)\b",
    re.I,
)
_NO_VERB = re.compile(
    r"^(?:the|an?|any|all|every|each|your|their|it|no|this|that|these|those|there|here|and|but|or|nor|so|if|when|"
    r"while|since|"
    r"for|from|in|on|at|by|with|of|to|as|than|because|although|though|both|either|neither|not|only|some|many|most|few|"
    r"what|who|which|how|why|where|users?|customers?|was|were|is|are|has|had|did|does|\w+(?:ing|tion|ment|ness|"
    r"ity|ions|ments))\b",
    re.IGNORECASE,
)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|do|does|did|can|could|may|might|will|would|must|shall|should|cannot|\w+s|"
    r"\w+ed|go|get|need|leave|take|keep)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|never|no|don'?ts?|cannot|can't|mustn't|shouldn't|prohibited|forbidden|disallowed|banned|restricted|"
    r"avoid|refuse|"
    r"unacceptable|out of scope|off limits|without)\b|n't\b",
    re.IGNORECASE,
)
_POLITE = re.compile(r"^(?:\W*(?:do not|don't|never|avoid|no)\b)", re.I)


def why_not(text: str, *, scrap: bool = False) -> str:
    """Return "" if the text contains a rule for an assistant, else the reason why it is taken for none.

    `scrap`: judge only the form, as for entries that a file itself lists as principles.
    """
    plain = bare(text)
    if COMPARATIVE.match(plain):
        return ""
    if not re.search(r"[^\W\d_]{2}", plain):
        return "no words"
    if _QUOTED.match(plain):
        return "a quotation, such as a script or an example"
    found = ""
    for sentence in split_sentences(plain):
        if not (reason := _why_not(sentence)):
            return ""
        found = reason if found in ("", _FRAGMENT) else found
    if scrap and found in (_FACT, _PRACTICE):
        return ""
    return found


_FACT = "a fact; it asks nothing of the assistant"
_PRACTICE = "says what the organisation does; it asks nothing of the assistant"
_FRAGMENT = "a fragment, not a whole sentence"


def _why_not(sentence: str) -> str:
    if sentence.endswith("?"):
        return "a question"
    for pattern, reason in (
        (_EXAMPLE, "an example"),
        (_GREETING, "a greeting"),
        (_ABOUT, "about the document itself"),
        (_DEFINITION, "a definition"),
        (_TASK, "the task of a classifier, not a rule"),
    ):
        if pattern.match(sentence):
            return reason
    if _ORGANISATION.match(sentence) and not _OWN_DUTY.search(sentence):
        return _PRACTICE
    said = re.sub(r"\([^)]*\)", "", sentence)  # "Desired date (must be free)" is no sentence
    if is_request(sentence) or _DUTY.search(said) or _PERMISSION.search(sentence):
        return ""
    main = _main(sentence)
    if _ROLE.match(sentence):
        return "says who the assistant is; it asks nothing of a reply"
    if _HABIT.match(main) or _PASSIVE_DUTY.search(sentence):
        return "" if len(main.split()) > 3 else _FRAGMENT
    words = sentence.split()
    if len(words) < 4 or not _FINITE.search(sentence) or (sentence[:1].islower() and len(words) < 6):
        return _FRAGMENT
    return "a definition" if _KIND.match(sentence) else _FACT


def is_request(sentence: str) -> bool:
    """Return True if the sentence, or its main clause after a condition, begins with a request: "If ..., tell ..."."""
    for text in _mains(bare(sentence)):
        first = re.match(r"[A-Za-z]+(?:'t)?", text)
        word = first[0].lower() if first else ""
        if word in ("don't", "never", "can", "may", "must", "should", "shall"):
            return True
        rest = text[first.end() :] if first else ""
        if word in NOUNS_TOO and len(text.split()) < 3:
            continue
        if word in VERBS and not re.match(
            r"(?::|/|[ -]?\w*: |$| (?:is|are|was|were|has|have|will|can|may|must|of|id|number|code|name)\b)", rest
        ):
            return True
        if _DETERMINER.match(text) and not _NO_VERB.match(text):
            return True
    return False


def negated(text: str) -> bool:
    """Return True if the text forbids something, so that what stands under it reads the other way round without it."""
    return _NEGATED.search(text) is not None


def forbids(text: str) -> bool:
    """Return True if the text itself begins with a prohibition."""
    return _POLITE.match(bare(text)) is not None


def conditional(text: str) -> bool:
    """Return True if the text is only a condition, such as "When a user is angry", without a main clause."""
    plain = bare(text).rstrip(": ")
    return _WHEN.match(plain) is not None and _main(plain) == plain


def bare(text: str) -> str:
    """Return the text without numbering and marks of emphasis, with plain quotation marks."""
    plain = re.sub(r"[*_]{2,}|`", "", text).strip().replace("\u2019", "'")
    return _NUMBERING.sub("", plain)


_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|nos|sec|art|fig|mr|mrs|ms|dr|prof|st|rev|incl|ex|cf|p|pp|max|min|hrs?|"
    r"U\.S|a\.m|p\.m)|\b[A-Z]|^\d+)\.$",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text; joined by single spaces they are its words again."""
    parts: list[str] = []
    for part in re.split(
        r"(?<=[.!?])(?:(?<=[.!?])|(?<=[.!?][\"”'\u2019)\]]))\s+(?=[\"“'\u2018(*\[]*[A-Z0-9])|"
        r"(?<=[.!?][\"”'\u2019)\]])\s+(?=[\"“'\u2018(*\[]*[A-Z])",
        text,
    ):
        if parts and _ABBREVIATION.search(parts[-1]):
            parts[-1] = f"{parts[-1]} {part}"
        elif part.strip():
            parts.append(part)
    return parts


def _main(sentence: str) -> str:
    """Return the main clause: without a label, adverbs and one leading condition."""
    return _mains(sentence)[-1]


def _mains(sentence: str) -> list[str]:
    """Return what may be the main clause: the sentence, and what follows a label, an adverb or a condition."""
    found = [sentence]
    if label := _LABEL.match(sentence):
        found.append(sentence[label.end() :])
    found += re.split(r"; | [\u2013\u2014-] | (?:\u2192|->|=>) ", sentence)[1:]
    for text in list(found):
        while adverb := _ADVERB.match(text):
            text = text[adverb.end() :]
            found.append(text)
        place = 0
        if _CLAUSE.match(text):
            for comma in re.finditer(r", +", text):
                place = comma.end()
                rest = text[place:]
                while adverb := _ADVERB.match(rest):
                    rest = rest[adverb.end() :]
                found.append(rest)
    return found
