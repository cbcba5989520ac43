"""Decide how a reply says a phrase: as its own statement, denied, quoted, reported, or left open.

The rules are those of NegEx: a cue such as "not" or "rather than" governs what follows it in its clause, up to a word
that ends its scope, such as "but"; some phrases only look like a cue ("not only", "don't hesitate to"), and two cues
cancel each other out ("never without"). They know English alone. Quotation marks are read in any language.

Source: Chapman et al. 2001, "A simple algorithm for identifying negated findings and diseases in discharge summaries".
"""

from __future__ import annotations

import re
from typing import Literal

Said = Literal["asserted", "denied", "quoted", "reported", "open"]
"""`open`: the phrase stands in a question, or in a condition that is denied ("if you do not ...")."""

BEFORE = 400  # characters that are read before a phrase
AFTER = 160  # and behind it
PARAGRAPH = 4_000  # characters of a paragraph in which quotation marks are paired
LEAD_IN = 2_000  # characters above an item of a list in which its lead-in is looked for
QUOTES = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb", "\u00bb": "\u00ab"}
QUOTES |= {"\u2018": "\u2019", "'": "'", "\u201a": "\u2018\u2019", "`": "`", "\u300c": "\u300d"}
_MARK = re.compile(f"[{''.join(sorted({*QUOTES, *''.join(QUOTES.values())}))}]")
_APOSTROPHE = "\u2019"
_ELISION = re.compile(r"(?:tis|twas|em|til|cause|n|\d\ds)\b", re.IGNORECASE)
_LIST = re.compile(r"[ \t]*(?:[-*\u2022+]|\d{1,3}[.)])[ \t]+")
_ABBREVIATED = re.compile(r"\b(?:dr|mr|mrs|ms|prof|st|vs|approx|e\.g|i\.e|max|min|no)\.\s*$", re.IGNORECASE)
_BOUNDARY = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019)\]*_]*(?:\s+|$)|;\s*|\n(?=\s*(?:\n|[^a-z\s]))"
    r"|\n(?=[ \t]*(?:[-*\u2022+]|\d{1,3}[.)])[ \t])"
)

_HELP = r"call|dial|ring|phone|see|contact|seek|ask|talk|speak|visit|reach|please"
_WHO = r"i|you|we|he|she|they|it"
_MODAL = r"should|must|can|need|needs|will|would|may|might|have to|has to|ought|could|'ll|'d"
_MEANING = re.compile(
    r"\b(?:think|believe|say|said|saying|mean|means|suggest|recommend|imply|claim|true|case|certain|sure|know|tell|"
    r"promise|whether|reason|sign|proof|evidence|position)\b"
)
# Phrases with the look of a cue that deny nothing of what follows.
_SEEMING = re.compile(
    r"\b(?:not|n't)\s+(?:only|just|merely|simply|solely|least|to mention|even)\b"
    r"|\bno (?:matter|doubt|problem|worries|question|harm|shame|hurt|sooner|better time|time to lose)\b"
    r"|^\W*no(?=\s*[,.!:\u2014-])"
    r"|\bwithout (?:a |any |further )?(?:doubt|delay|fail|hesitation|hesitating|waiting|ado|question)\b"
    r"|(?:\bcannot|\bcan not|n't|\bnever)\s+(?:\w+\s+){0,4}?"
    r"(?:enough|overstate|overstated|overemphasi[sz]e|too (?:strongly|often))\b"
    r"|(?:\bcannot|\bcan not|n't)\s+(?:help but|wait to)\b"
    r"|(?:\bnot|n't|\bnever)\s+(?:be|feel)\s+(?:too\s+)?(?:afraid|ashamed|shy|embarrassed|scared|reluctant|guilty|bad|silly)\b"
    r"|(?:\bnot|n't|\bnever)\s+(?:wait to|worry|panic|think twice)\b"
    r"|(?:\bnot|n't|\bnever|\bno)\s+(?:\w+\s+){0,4}?(?:more|less|fewer|longer|later|other) than\b"
    r"|(?:\bnot|n't|\bnever)\s+(?:\w+\s+){0,2}?exceed\b"
    r"|\b(?:nothing|nobody|no one|none|no \w+)\b[^,;.]{0,60}?\b(?:more|better|[a-z]{2,}er)\b[^,;.]{0,40}?\bthan\b"
    r"|\bnothing (?:but|beats)\b|\bif not\b|\bwhether or not\b|\bwhy (?:not|don't|doesn't)\b"
    r"|\bnot (?:just |only )?(?:a|an|the) (?:\w+ )?(?:myth|misconception|rumou?r|lie)\b"
)
_ASKED_POLITELY = re.compile(r"^\W*(?:is|are|should|could|ca|wo|would|do|does|did|have|has)n't\b")
_ASIDE = re.compile(r"(?:(?<=\bnot)|(?<=\bnever)|(?<=n't)|(?<=\bnobody)|(?<=\bno one)),[^,]{1,80},")
_CUE = re.compile(
    r"n't\b|\b(?:not|cannot|never|no|none|nobody|nothing|neither|nor|without|hardly|scarcely|barely"
    r"|rather than|instead of|far from|unable to|needn't|unlikely|impossible"
    r"|(?:advise|recommend|warn|caution|decide)(?:d|s|ing)? (?:\w+ ){0,2}against|against (?:our|the|my|company) \w+ to"
    r"|(?:wrong|dangerous|unsafe|risky|irresponsible|harmful|unwise|foolish|illegal|unnecessary|(?:bad idea|mistake))"
    r"(?: (?:of|for) \w+)? to|too (?:early|soon|late|risky|dangerous) to"
    r"|prohibited|forbidden|banned|barred|prevent(?:s|ed)?)\b"
)
# Verbs that deny what they govern; under another cue they recommend it ("don't forget to call").
_TURNING = re.compile(
    r"\b(?:avoid(?:s|ed|ing)?|refrain(?:s|ed|ing)? from|skip(?:s|ped|ping)?|delay(?:s|ed|ing)?|postpon(?:e|es|ed|ing)"
    r"|put(?:ting)? off|neglect(?:s|ed|ing)?|forget(?:s|ting)?|forgot|hesitat(?:e|es|ed|ing)|refus(?:e|es|ed|ing) to"
    r"|declin(?:e|es|ed|ing) to|fail(?:s|ed|ing)? to|ignor(?:e|es|ed|ing)|doubt(?:s|ed)?|stop(?:s|ped)? \w+ing)\b"
)
_TURNED_OFF = re.compile(r",|\bor\b|\band\b")
_CONDITION = re.compile(r"\b(?:if|unless|in case|whether)\b")
_END = re.compile(
    r"\b(?:but|however|although|though|because|since|until|till|unless|before|except|therefore|otherwise|while|whereas"
    r"|when|in case|if)\b"
    r"|\bas (?:it|this|that|they|you|we|i|he|she|the)\b"
    rf"|,\s*(?:so|yet|still)\b|\bso (?=(?:please|the|{_WHO}|{_HELP}|go|get)\b)|\band (?:yet|then)\b"
    rf"|(?<!\bgo )(?<!\btry )(?<!\bcome )\band\s+(?=(?:{_HELP}|{_WHO}|instead|do|would|will|can|could|must|should"
    r"|make sure|be sure|remember|encourage|recommend|suggest|urge|strongly|there)\b)"
    r"|\s[-\u2013\u2014]\s|\u2014|\("
)
_CLAUSE = re.compile(rf"\b(?:{_WHO})(?: (?:{_MODAL})|'ll|'d)\b")
_COLON = re.compile(r":\s")
_LEADING = re.compile(
    r"(?:\bnot|n't|\bnever|\bavoid)"
    r"(?:\s+(?:do|to do|ever|say|write|the following|this|that|these|any of (?:this|these)))*\W*$"
)
# A line above a list that denies its items, unless it explains: "how to avoid this", "if you cannot reach them".
_DENYING = re.compile(
    r"(?:\b(?:do|should|must|may|can|shall) not|\b(?:do|should|must|ca|sha)n't|\bcannot|\bnever|\bnot to"
    r"|^\W*(?:\w+ ){0,2}?(?:to )?avoid)(?:\s+[\w']+){0,4}\W*$|^\W*(?:don'ts?|not|no)\W*$"
)
_EXPLAINING = re.compile(r"\b(?:if|when|since|because|why|reasons?|how|ways|tips|steps|help|helps|here)\b")
_LISTED = re.compile(r"\s*(?:or|nor|not|much less|let alone)\b")
_NEW_CLAUSE = re.compile(
    rf"\s*(?:and|{_HELP}|{_WHO}|this|that|there|here|just|instead|rather|(?:would|could|can|do|did|will) you)\b"
)
_OR = re.compile(r"\b(?:or|nor)\b")

_AUXILIARY = r"(?:should|already|ever|do|did|want to|are|am|is|can|could|must|would|really|just|not|don't|didn't)"
_SUPPOSED = re.compile(
    rf"\b(?:if|whether|unless|in case)\s+(?:{_WHO})(?:\s+{_AUXILIARY}){{0,3}}\s*$|\bwhether\b[^,;:]*$"
)
_ASKED = re.compile(
    r"(?:^|[,:\u2014])\W*(?:(?:and|so|but|or|then|also|well|first)\b,?\s*)?"
    r"(?:(?:did|do|does|have|has|had|are|is|was|were)\s+(?:you|he|she|they|it|there|the|this|that|anyone|we|your|his|her)\b"
    r"|how (?:much|many|often|long)\b|when (?:did|do|have|was|were)\b)"
)
_SPEAKER = (
    r"(?:people|folks|friends?|forums?|websites?|sites?|blogs?|posts?|ads?|adverts?|advertisements?|neighbou?rs?|colleagues?"
    r"|scammers?|fraudsters?|criminals?|thieves|sellers?|strangers?|callers?|influencers?|videos?|articles?|e?mails?"
    r"|messages?|texts?|someone|somebody|others|critics|rumou?rs?|myths?|sister|brother|mother|father|mom|mum|dad"
    r"|wife|husband|partner|son|daughter|aunt|uncle|grandmother|grandfather)"
)
_SAYS = (
    r"(?:say|says|said|saying|claim|claims|claimed|claiming|think|thinks|thought|believe|believes|believed|write|writes"
    r"|wrote|insist|insists|argue|argues|swear|swears|promise|promises|pretend|pretends"
    r"|(?:tell|tells|told|telling|ask|asks|asked|asking|advise|advises|advised|urge|urges|urged)"
    r" (?:you|him|her|them|us|people|me))"
)
_REPORTED = re.compile(
    rf"\b{_SPEAKER}\b(?:\s+(?!should\b|must\b|can\b|please\b|need)[\w']+){{0,4}}?\s+{_SAYS}\b"
    r"|\b(?:your|a|an|the|his|her|some|that|this)\s+(?:\w+\s+){0,2}?(?:told|tells|telling)\s+(?:you|him|her|them|people)\b"
    r"|(?<!\bas )\byou\s+(?:\w+ly\s+|also\s+|just\s+|have\s+|had\s+|may have\s+)?"
    r"(?:say|said|wrote|write|mention|mentioned|told (?:me|us)|asked|claim|claimed|describe|described|reported|stated"
    r"|quoted)\b"
    r"|\byou\s+(?:(?:may|might|will|can|could|have|probably|often|'ve)\s+)*"
    r"(?:hear|heard|been told|be told|read that|read online|see (?:claims|posts|people|ads|advice))\b"
    r"|\byou\s+(?:may|might|could|probably)\s+(?:\w+ly\s+|still\s+)?(?:think|believe|feel|fear|assume|worry)\b"
    rf"|\b(?:some|many|most|other)\s+\w+\s+(?:(?:may|might|will|would|often|still)\s+)?{_SAYS}\b"
    r"|\b(?:myth|misconception|rumou?r|fallacy|fairy tale|lie|idea|claim|belief|notion|superstition)s? that\b"
    r"|\baccording to (?:some|your friend|the post|a forum|him|her|them|the seller|the ad)\b"
    r"|\b(?:supposedly|allegedly|so-called|pretend(?:s|ing)? (?:that|to)|claiming (?:that|to))\b"
)
_REPORT_ENDS = re.compile(
    r"\b(?:but|however|yet|although|though)\b|,\s*(?:please|do not|don't|never|call|contact|hang up|you should)\b"
)
_DENIED_AFTER = re.compile(
    r"^(?:\s+(?!if\b|when\b|that\b|who\b|because\b|and\b|but\b|which\b|until\b|unless\b|so\b|as\b)[\w']+){0,3}?\s*(?:"
    r"(?:(?:is|are|was|were|would|will|should|does|do|did|be|seems?)(?:n't| not)|(?:is|are|would be) never)"
    r" (?:\w+ ){0,2}?(?:needed|necessary|required|recommended|advised|advisable|safe|true|appropriate|right|possible"
    r"|allowed|an option|a good idea|worth|called for|warranted|indicated|useful|helpful|urgent|helps?|work"
    r"|apply|exist|make sense|be needed|be necessary)"
    r"|(?:is|are|was|were|would be|will be|seems?|sounds?) (?:\w+ )?(?:unnecessary|overkill|pointless|useless|excessive"
    r"|wrong|false|untrue|unsafe|dangerous|a (?:bad|terrible) idea|a mistake|a waste|out of the question))\b"
)
_REPORTED_AFTER = re.compile(
    r"^[^.;!?\n]{0,60}?\b(?:(?:is|are|was) (?:just |only |simply )?(?:a|an|the|one|another) (?:\w+ )?"
    rf"(?:myth|misconception|rumou?r|fairy tale|lie)\b|(?:is|are) what (?:\w+ ){{1,4}}?{_SAYS}\b)"
)


def how_said(text: str, start: int, end: int) -> Said:
    """Return how `text` says the phrase from `start` to `end`. A negation inside of it belongs to it."""
    if _quoted(text, start, end):
        return "quoted"
    window = plain(text[max(0, start - BEFORE) : end + AFTER]).lower()
    at = min(start, BEFORE)
    before, phrase, after = window[:at], window[at : at + end - start], window[at + end - start :]
    before, after = before[_last_boundary(before) :], _first_sentence(after)
    asks = after.endswith("?") and "?" not in phrase
    denied, supposed = _denied(before, phrase, after, asks=asks)
    if supposed:
        return "open"
    reports = [report.end() for report in _REPORTED.finditer(before)]
    if reports and not _REPORT_ENDS.search(before, reports[-1]):
        return "reported"
    if _REPORTED_AFTER.search(after):
        return "reported"
    denied ^= bool(_DENIED_AFTER.search(after))
    denied ^= _denies_items(_lead_in(text, start))
    if denied:
        return "denied"
    return "open" if _SUPPOSED.search(before) or (asks and _ASKED.search(before)) else "asserted"


def plain(text: str) -> str:
    """Return the text with typographic apostrophes as plain ones; its length stays."""
    return text.replace(_APOSTROPHE, "'")


def _denied(before: str, phrase: str, after: str, *, asks: bool) -> tuple[bool, bool]:
    """Return whether a cue before the phrase denies it, and whether it only does so in a condition."""
    if asks:
        before = _ASKED_POLITELY.sub(" ", before)
    before = _ASIDE.sub(" ", re.sub(r"\([^()]*\)", " ", before))
    sentence = before + phrase[:40]
    cut = condition = 0
    for end in _END.finditer(sentence):
        if end.end() <= len(before):
            cut, condition = end.end(), end.end() if _CONDITION.search(end[0]) else condition
    for clause in _CLAUSE.finditer(sentence, cut):
        if clause.start() <= len(before) and not _MEANING.search(before, cut, clause.start()):
            cut = max(cut, min(clause.start(), len(before)))
    for colon in _COLON.finditer(before, cut):
        if not _LEADING.search(before[cut : colon.start()]):
            cut = colon.end()
    commas = [comma.start() for comma in re.finditer(",", before[cut:])]
    if commas and not _LISTED.match(sentence, cut + commas[-1] + 1):
        rest = sentence + after
        for comma in (cut + place for place in commas):
            if _NEW_CLAUSE.match(rest, comma + 1) or not _OR.search(rest, comma + 1, comma + 80):
                cut = comma + 1
    scope = _SEEMING.sub(" ", before[cut:])
    cues = list(_CUE.finditer(scope))
    number = sum(cue[0] != "nor" for cue in cues) or len(cues)
    number += sum(not _TURNED_OFF.search(scope, verb.end()) for verb in _TURNING.finditer(scope))
    denied = number % 2 == 1
    if denied and condition == cut and condition:
        return (False, len(scope[cues[-1].end() :].split()) <= 3) if cues else (False, True)
    return denied, False


def _last_boundary(before: str) -> int:
    """Return where the sentence that `before` ends in begins."""
    place = 0
    for boundary in _BOUNDARY.finditer(before):
        if not _ABBREVIATED.search(before, max(0, boundary.start() - 8), boundary.end()):
            place = boundary.end()
    return place


def _first_sentence(after: str) -> str:
    for boundary in _BOUNDARY.finditer(after):
        if not _ABBREVIATED.search(after, max(0, boundary.start() - 8), boundary.end()):
            return after[: boundary.start() + 1]
    return after


def _lead_in(text: str, start: int) -> str:
    """Return the line that introduces the list in whose item the phrase stands, or ""."""
    lines = plain(text[max(0, start - LEAD_IN) : start]).lower().split("\n")
    if not _LIST.match(lines[-1]):
        return ""
    for line in reversed(lines[:-1]):
        if line.strip() and not _LIST.match(line):
            bare = line.strip(" \t*_#")
            heading = line.lstrip().startswith(("#", "**"))
            if not (bare.endswith(":") or heading):
                return ""
            return bare[_last_boundary(bare) :].rstrip(": *_")
    return ""


def _denies_items(lead_in: str) -> bool:
    """Return whether the line above a list denies its items, such as "do not:" or "what not to do"."""
    if not lead_in or _EXPLAINING.search(lead_in) or _TURNING.search(_DENYING.sub(" ", lead_in)):
        return False
    return bool(_DENYING.search(_SEEMING.sub(" ", lead_in)))


def _quoted(text: str, start: int, end: int) -> bool:
    """Return whether the phrase stands in quotation marks, in a quoted line, or in code."""
    line = text.rfind("\n", 0, start) + 1
    if text[line : line + 8].lstrip().startswith(">") or text.count("```", 0, start) % 2:
        return True
    first = max(line, start - PARAGRAPH)
    last = text.find("\n", end, end + PARAGRAPH)
    paragraph = text[first : last if last >= 0 else end + PARAGRAPH]
    inside = paragraph[: start - first]
    if not any(mark in inside for mark in QUOTES):
        return False
    return any(a < start - first and end - first <= b for a, b in _quotations(paragraph))


def _quotations(paragraph: str) -> list[tuple[int, int]]:
    """Return the places of the quotation marks that open and close a quotation.

    An apostrophe between letters, or one that nothing opened, is none.
    """
    found: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    for mark in _MARK.finditer(paragraph):
        place, char = mark.start(), mark[0]
        left = paragraph[place - 1] if place else " "
        right = paragraph[place + 1] if place + 1 < len(paragraph) else " "
        if char in "'\u2019" and left.isalnum() and right.isalnum():
            continue
        closes = next((i for i in range(len(opened) - 1, -1, -1) if char in QUOTES[opened[i][0]]), None)
        if closes is not None and not left.isspace():
            found.append((opened[closes][1], place))
            del opened[closes:]
        elif char not in QUOTES or right.isspace() or left.isalnum():
            continue
        elif char != "'" or not _ELISION.match(paragraph, place + 1):
            opened.append((char, place))
    return found
