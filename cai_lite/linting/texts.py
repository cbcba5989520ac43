"""Rules about the text of a single principle."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.words import (
    DETERMINERS,
    NEGATIONS,
    NEGATIVE_START,
    OR_NOUNS,
    PERSON,
    TRAITS,
    VAGUE,
    VAGUE_PHRASES,
    VERBS,
    VIRTUES,
)

LONGEST = 32  # limit of words in a principle, so that a judge can keep all of it in mind
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_PHRASES = re.compile(rf"\b(?:{'|'.join(VAGUE_PHRASES)})\b", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']{3,}'(?!\w)|“[^”]*”|`[^`]*`")
_SUBJECT = (
    r"(?:(?:the |an? |your |all |every )?(?:\w+ )?(?:assistant|model|ai|system|bot|repl(?:y|ies)|responses?|"
    r"answers?|you|we|agents?|chatbot|tutor|writer|author|text|tone|story|stories|messages?|it)\s+"
    r"(?:should|must|shall|will|needs? to|has to|have to|ought to|is to|are to)?\s*(?:always )?)?"
)
_BE = re.compile(
    rf"^\W*{_SUBJECT}(?:be|is|are|stay|remain|act|behave|sound|feel|come across as|appear)\s+(.*)$", re.IGNORECASE
)
_BEAR = re.compile(
    rf"^\W*{_SUBJECT}(?:show|shows|display|displays|demonstrate|demonstrates|embody|embodies|exhibit|exhibits|have|has|"
    r"possess|possesses|act with|acts with|exude|exudes|radiate|radiates|value|values|uphold|respond with|"
    r"responds with|speak with|lead with|practi[cs]e|practi[cs]es)\s+(?:\w+ ){0,2}?(\w[\w-]*)",
    re.IGNORECASE,
)
_SHOWN = re.compile(
    r"\b(?:by \w+ing|:|such as|for example|that is|in that|at most|so that|with one|in the first)\b|:", re.I
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
_THIRD = re.compile(r"(?:es|s)$")


def vague(subject: Subject) -> Iterator[Finding]:
    """Report words that people understand differently; words in quotation marks do not count."""
    for principle in subject.constitution.principles:
        text = "" if principle.comparative else _QUOTED.sub(" ", principle.text)  # two replies can be compared on it
        phrase = _PHRASES.search(text)
        words = [word.lower() for word in _WORD.findall(text)]
        hit = next((word for word in words if word in VAGUE), "")
        if phrase or hit:
            term = phrase[0].lower() if phrase else hit
            mend = "say when, and how a reader would recognise it" if phrase else VAGUE[hit]
            yield found(principle, "vague", "warning", f"'{term}' means different things to different people", mend)


def trait(subject: Subject) -> Iterator[Finding]:
    """Report principles that name a trait of character; a judge can only see behaviour."""
    for principle in subject.constitution.principles:
        if _SHOWN.search(principle.text):
            continue
        trait_ = ""
        if being := _BE.match(principle.text):
            words = [word.lower() for word in _WORD.findall(being[1])]
            skip = {
                "like",
                "as",
                "and",
                "always",
                "very",
                "both",
                "truly",
                "genuinely",
                "a",
                "an",
                "at",
                "all",
                "times",
                "or",
                "in",
            }
            first = next((word for word in words if word not in skip), "")
            trait_ = first if first in TRAITS or first.removesuffix("ly") in TRAITS else ""
            if not trait_ and len(words) <= 4 and any(word in TRAITS for word in words):
                trait_ = next(word for word in words if word in TRAITS)
        elif (bearing := _BEAR.match(principle.text)) and bearing[1].lower() in VIRTUES:
            trait_ = bearing[1].lower()
        elif (person := PERSON.search(principle.text)) and re.search(
            r"\b(?:like|as|from|be|is|are|were|sound|act)\b", principle.text[: person.start()], re.IGNORECASE
        ):
            trait_ = next((word.lower() for word in _WORD.findall(person[1]) if word.lower() in TRAITS), "")
        if trait_:
            yield found(
                principle,
                "trait",
                "warning",
                f"'{trait_}' is a trait of character, which a judge cannot see",
                "say what a reply does that shows it",
            )


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
        if (words := len(principle.text.split())) > LONGEST:
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
        text = _QUOTED.sub(" ", principle.text)
        start = NEGATIVE_START.match(text)
        rest = re.split(r"[;:.]|\b(?:instead|but|rather)\b", text[start.end() :], maxsplit=1) if start else []
        positive = len(rest) > 1 and len(rest[1].split()) > 2 and not NEGATIONS.search(rest[1])
        if start and not positive:
            yield found(
                principle,
                "negative",
                "note",
                "says only what a reply should not do",
                "if there is something to do instead, say so",
            )


def _second_demand(text: str) -> str:
    """Return the beginning of a second demand, or ""."""
    plain = re.sub(r"\([^)]*\)", " ", _QUOTED.sub("x", text)).strip()
    sentences = [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", plain) if part]
    if len(sentences) > 1 and any(_is_demand(sentence, alone=True) for sentence in sentences[1:]):
        return _short(next(sentence for sentence in sentences[1:] if _is_demand(sentence, alone=True)))
    parts = _AND.split(plain)
    seps = _AND.findall(plain)
    for number, part in enumerate(parts[1:]):
        if _is_demand(
            part, alone="," in seps[number] or ";" in seps[number], joined=bool(re.search("and|well", seps[number]))
        ) and _demands(parts[0]):
            return _short(part)
    return ""


def _demands(text: str) -> bool:
    """Return True if the first part is a demand of its own, and not the condition of the second."""
    return not re.match(
        r"^\W*(?:if|when|where|at|for|in|after|before|on|once|while|unless|during|with|to)\b", text, re.I
    )


def _is_demand(text: str, *, alone: bool, joined: bool = False) -> bool:
    """Return True if a part begins with an imperative or a modal verb.

    `alone`: a comma or a full stop precedes it. `joined`: an "and" precedes it, after which a gerund is a demand too.
    """
    if _MODAL.match(text):
        return True
    words = _WORD.findall(_THEN.sub("", text))
    if not words:
        return False
    first = words[0].lower()
    if first in OR_NOUNS and len(words) > 1 and words[1].lower() in DETERMINERS:
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
