"""Rules about the text of a single principle."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from cai_lite.linting.classes import OUTPUT
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.vagueness import QUOTED
from cai_lite.linting.words import (
    DETERMINERS,
    NEGATIONS,
    NEGATIVE_START,
    OR_NOUNS,
    PERSON,
    TRAITS,
    VERBS,
    VIRTUES,
    words_of,
)

LONGEST = (
    35  # limit of words in a principle, without what stands in brackets, so that a judge can keep all of it in mind
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_SUBJECT = (
    r"(?:(?:the |an? |your |all |every )?(?:\w+ )?(?:assistant|model|ai|system|bot|repl(?:y|ies)|responses?|"
    r"answers?|you|we|agents?|chatbot|tutor|writer|author|text|tone|story|stories|messages?|it)\s+"
    r"(?:should|must|shall|will|needs? to|has to|have to|ought to|is to|are to)?\s*(?:always )?)?"
)
_OPENING = r"^\W*(?:(?:please|always|at all times|above all|in all cases|and|but),? ){0,2}"
_BE = re.compile(
    rf"{_OPENING}{_SUBJECT}(?:be|is|are|stay|remain|act|behave|sound|feel|come across as|appear)\s+(.*)$", re.IGNORECASE
)
_BEAR = re.compile(
    rf"{_OPENING}{_SUBJECT}(?:show|shows|display|displays|demonstrate|demonstrates|embody|embodies|exhibit|"
    rf"exhibits|have|has|"
    r"possess|possesses|act with|acts with|exude|exudes|radiate|radiates|value|values|uphold|respond with|"
    r"responds with|speak with|lead with|practi[cs]e|practi[cs]es)\s+(?:\w+ ){0,2}?(\w[\w-]*)",
    re.IGNORECASE,
)
_SHOWN = re.compile(
    r"\b(?:by \w+ing|:|such as|for example|that is|in that|at most|so that|with one|in the first)\b|:", re.I
)
_BESIDE = re.compile(
    rf"(?:,|\band|\bbut) (?:do not|don't|never|(?:{'|'.join(sorted(VERBS))}) (?:the|an?|each|every|any|all|its)\b)",
    re.I,
)
_AND = re.compile(
    r"(?:[,;]\s*(?:and|but|then|plus)?|\band\b(?: also| then)?|\bas well as\b|\bwhile also\b|\bplus\b)\s+", re.I
)
_MODAL = re.compile(
    r"^(?:(?:it|they|the \w+|you|the assistant) )?(?:should|must|shall|has to|have to|needs? to|do not|don't|never|"
    r"always|also|may not|can not|cannot)\b",
    re.IGNORECASE,
)
_THEN = re.compile(r"^\W*(?:then|also|next|finally|afterwards|please)\b", re.IGNORECASE)
_LISTED = re.compile(r",? (?:show|display|demonstrate|exhibit) (?:\w+ )?([\w-]+)", re.IGNORECASE)
_CHARACTER = re.compile(r"\w-(?:hearted|minded|spirited|natured|tempered)$")
_OBJECTS = words_of("it them him her me us")
_ARTICLES = words_of("the a an their its his your")
# A word before an article that no list has: a verb ("reset the password"), unless it is a function word or an adverb.
_UNKNOWN_VERB = re.compile(
    r"(?!(?:the|a|an|all|both|not|only|in|on|at|of|to|for|by|with|from|after|before|when|where|if|that|which|who|"
    r"what|how|"
    r"why|while|than|then|as|under|over|into|about|during|until|because|against|between|through|also|even|just|is|are|"
    r"was|were|be|has|have|had|every|each|any|no|so|or|nor|but|half|such|quite|without|within|upon|per|via|whether)$)"
    r"[a-z]{3,}(?<!ly)(?<!ing)(?<!ed)(?<!s)",
    re.IGNORECASE,
)
_BEING = re.compile(r"(?:\band|[:,]|\bthen) (?:be|stay|remain|act) ([\w-]+)", re.IGNORECASE)
_FILLERS = words_of("like as and always very both truly genuinely a an at all times or in too so")
_ABILITY = re.compile(
    r"\b(?:cannot|can't|can not|does not|doesn't|do not|don't|will not|won't|is not|are not)$", re.IGNORECASE
)
_NOUN_PHRASE = re.compile(r"^\w+ (?:[\w'-]+ ){0,3}?(?:may|must|should|can|shall|will|is|are|has|have)\b", re.IGNORECASE)
_DEONTIC = re.compile(
    r"\b(?:must|should|shall|may|can|cannot|has to|have to|needs? to|ought to|never|always|do not|don't|required|"
    r"only)\b",
    re.IGNORECASE,
)
_THIRD = re.compile(r"(?:es|s)$")


def trait(subject: Subject) -> Iterator[Finding]:
    """Report principles that name a trait of character; a judge can only see behaviour."""
    for principle in subject.constitution.principles:
        sentences = re.split(r"(?<=[.!?;])\s+", principle.text)
        if named := next((name for sentence in sentences if (name := _trait(sentence))), ""):
            yield found(
                principle,
                "trait",
                "warning",
                f"'{named}' is a trait of character, which a judge cannot see",
                "say what a reply does that shows it",
            )


def _trait(sentence: str) -> str:
    """Return the trait of character that a sentence demands, or ""."""
    if (also := _BEING.search(sentence)) and also[1].lower() in TRAITS:
        return also[1].lower()
    if _SHOWN.search(sentence) or _BESIDE.search(sentence):
        return ""
    if (bearing := _BEAR.match(sentence)) and bearing[1].lower() in VIRTUES:
        return bearing[1].lower()
    if being := _BE.match(sentence):
        words = [word.lower() for word in _WORD.findall(being[1])]
        first = next((word for word in words if word not in _FILLERS), "")
        if first in TRAITS or first.removesuffix("ly") in TRAITS or _CHARACTER.search(first):
            return first
        if len(words) <= 4 and (named := next((word for word in words if word in TRAITS), "")):
            return named
        if first == "with" or (person := PERSON.search(sentence)) is None:
            return ""
        return next((word.lower() for word in _WORD.findall(person[1]) if word.lower() in TRAITS), "")
    if (person := PERSON.search(sentence)) and re.search(
        r"\b(?:like|as|from|be|is|are|were|sound|act)\b", sentence[: person.start()], re.IGNORECASE
    ):
        return next((word.lower() for word in _WORD.findall(person[1]) if word.lower() in TRAITS), "")
    return next((word.lower() for word in _LISTED.findall(sentence) if word.lower() in VIRTUES), "")


def compound(subject: Subject) -> Iterator[Finding]:
    """Report principles with two demands; a reply that meets only one of them cannot be judged."""
    for principle in subject.constitution.principles:
        if second := _second_demand(principle.text):
            yield found(
                principle,
                "compound",
                "warning",
                f"contains two demands; the second is '{second}'",
                "split it into two principles, each with its own priority",
            )


def too_long(subject: Subject) -> Iterator[Finding]:
    """Report principles of more than `LONGEST` words."""
    for principle in subject.constitution.principles:
        if (words := len(re.sub(r"\([^)]*\)", " ", principle.text).split())) > LONGEST and _asks(principle.text):
            yield found(
                principle,
                "too-long",
                "warning",
                f"has {words} words, more than a judge can keep in mind",
                f"use at most {LONGEST} words; put reasons into the examples",
            )


def negative(subject: Subject) -> Iterator[Finding]:
    """Report principles that only forbid something. This is a note, since some things can only be forbidden."""
    for principle in subject.constitution.principles:
        text = QUOTED.sub(" ", principle.text)
        start = NEGATIVE_START.match(text)
        rest = re.split(r"[;:.]|\b(?:instead|but|rather)\b", text[start.end() :], maxsplit=1) if start else []
        positive = len(rest) > 1 and len(rest[1].split()) > 2 and not NEGATIONS.search(rest[1])
        if start and not positive and not _entitlement(start[0]):
            yield found(
                principle,
                "negative",
                "note",
                "says only what a reply should not do",
                "if there is something to do instead, say so",
            )


def _entitlement(start: str) -> bool:
    """Return True if the words up to a negation tell what is so, or first say what may be done.

    "Tickets cannot be refunded" describes the service and "the user can add but not remove bags" permits something;
    neither only forbids a reply something. What the assistant or a reply "does not" do is a prohibition.
    """
    if re.search(r"\w\b.*\b(?:but|and|while)\b", start, re.IGNORECASE):
        return True
    words = [word.lower() for word in _WORD.findall(start)]
    return len(words) > 2 and bool(_ABILITY.search(start.strip())) and OUTPUT.isdisjoint(words)


def _second_demand(text: str) -> str:
    """Return the beginning of a second demand, or ""."""
    plain = re.sub(r"\([^)]*\)", " ", QUOTED.sub("x", text)).strip()
    sentences = [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", plain) if part]
    for before, sentence in itertools.pairwise(sentences):
        if NEGATIVE_START.match(before) and re.search(r"\b(?:instead|rather)\b", sentence, re.I):
            return ""  # "Do not give the answer. Ask a question instead.": one demand, said from both sides
        if _is_demand(sentence, alone=True):
            return _short(sentence)
    while (condition := re.match(r"[^,;.]{4,160},\s+", plain)) and not _demands(plain):
        plain = plain[condition.end() :]
    parts = _AND.split(plain)
    seps = _AND.findall(plain)
    first_forbids = bool(NEGATIVE_START.match(plain))
    for number, part in enumerate(parts[1:]):
        if number == 0 and "and" not in seps[0] and first_forbids != bool(NEGATIVE_START.match(part)):
            continue  # "do not promise it; say that ...": one demand, said from both sides
        if any(re.match(r"or\b", later, re.I) for later in parts[number + 1 :]):
            continue  # "cancel, return, or exchange": a choice
        if (
            _NOUN_PHRASE.match(part)
            and not _MODAL.match(part)
            and not re.search(r"\b(?:must|should|may|can|shall|will)\b", parts[0])
        ):
            continue  # "grades and contact details may be discussed": a subject of two parts
        if (
            _is_demand(
                part, alone="," in seps[number] or ";" in seps[number], joined=bool(re.search("and|well", seps[number]))
            )
            and _demands(parts[0])
            and _asks(" ".join(parts[: number + 1]))
        ):
            return _short(part)
    return ""


def _asks(text: str) -> bool:
    """Return True if a text asks for something; a policy also describes its world ("orders have a status")."""
    words = [word.lower() for word in _WORD.findall(text)]
    return bool(words) and (
        _DEONTIC.search(text) is not None
        or not OUTPUT.isdisjoint(set(words) - {"it", "they"})
        or any(_is_demand(part, alone=True) for part in re.split(r"(?<=[.!?,;:])\s+", text))
        or words[0] in VERBS | OR_NOUNS
        or (len(words) > 1 and words[1] in _OBJECTS and _UNKNOWN_VERB.fullmatch(words[0]) is not None)
    )


def _demands(text: str) -> bool:
    """Return True if the first part is a demand of its own, and not the condition of the second."""
    return not re.match(
        r"^\W*(?:if|when|whenever|where|at|for|in|after|before|on|once|while|unless|during|with|to|instead|rather|"
        r"as|by|given|upon|"
        r"because|under|until|provided)\b",
        text,
        re.I,
    )


def _is_demand(text: str, *, alone: bool, joined: bool = False) -> bool:
    """Return True if a part begins with an imperative or a modal verb.

    `alone`: a comma or a full stop precedes it. `joined`: an "and" precedes it, after which a gerund is a demand too.
    """
    if _MODAL.match(text):
        return True
    if re.match(r"thank you\b", text, re.I):
        return False  # what is said, and no demand to say it
    words = _WORD.findall(_THEN.sub("", text))
    if not words:
        return False
    first = words[0].lower()
    if first in OR_NOUNS and len(words) > 1 and words[1].lower() in DETERMINERS | _OBJECTS:
        return True
    if joined and len(words) > 1 and words[1].lower() in _ARTICLES | _OBJECTS and _UNKNOWN_VERB.fullmatch(first):
        return True
    if first in VERBS or (joined and first.endswith("ing") and _bare(first) in VERBS):
        return True
    singular = _THIRD.sub("", first)
    return first != singular and singular in VERBS and (alone or len(words) > 3)


def _bare(gerund: str) -> str:
    """Return the verb of a gerund, or "": quote for quoting, ask for asking, stop for stopping."""
    stem = gerund.removesuffix("ing")
    doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
    return next((verb for verb in (stem, f"{stem}e", doubled) if verb in VERBS), "")


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:6]) + (" ..." if len(words) > 6 else "")
