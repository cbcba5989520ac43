"""Read the sentences of a principle as demands: main verb, polarity, objects, and the conditions they are bound to.

The reading is shallow: it knows function words, modal verbs and a few word classes, and no grammar beyond the clause.
Rules that compare two principles therefore only speak where both readings are plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from cai_lite.linting.classes import (
    GENERAL_VERBS,
    IRREGULAR,
    NEGATORS,
    OUTPUT,
    REVERSING_VERBS,
    SAME,
    UNIMPORTANT,
)
from cai_lite.linting.words import OR_NOUNS, VERBS, words_of

_CURLY = "\u2019"  # the typographic apostrophe
_TOKEN = re.compile(r"[A-Za-z][\w'\u2019-]*|\d[\d,.]*\d|\d")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\s*;\s*|\s*\n\s*")
_LEADING = re.compile(
    r"^\W*(?:(?:always|never|please|but|and|so|also|then),? )?((?:if|when(?:ever)?|where(?:ver)?|in case|once|after|"
    r"before|during|for|in|at|on|while|as soon as|upon|under(?! no\b)|with|within|until|since|given|unless|except|"
    r"as)\b[^,]{2,200}),",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"[ ,](?:(?:only |even |especially |and )?(?:if|when(?:ever)?|where(?:ver)?|unless|except|until|once|provided|"
    r"as long as|"
    r"after|before|while|because|since|in case|during|who|whose|whom|so that|in order to|rather than|instead of|"
    r"other than|regardless of|beyond)\b).*$",
    re.IGNORECASE,
)
_EXCEPTED = re.compile(
    r"\b(?:unless|except(?:ion\w*|ing)?|only|otherwise|other than|apart from|rather than|instead of|provided that|"
    r"until|but|"
    r"though|however|even if|regardless|exclusively|without the|without their|need not|not required|"
    r"(?:do|does|did)(?: not|n't) (?:need|have) to|no need|"
    r"not have to)\b",
    re.IGNORECASE,
)
_WITHOUT = re.compile(r"\b(?:without|free (?:of|from))\s+", re.IGNORECASE)
_MODAL = re.compile(
    r"\b(?:must|should|shall|may|can|cannot|can't|will|has to|have to|needs? to|ought to|is to|are to|could|might)\b",
    re.I,
)
_NEGATED = re.compile(r"\b(?:not|never|no|unless|except|without|cannot)\b|n't\b", re.IGNORECASE)
_OWNED = re.compile(r"\w(?:'s|s') ([\w-]+)")
_AUXILIARY = words_of(
    "be is are was were been being get gets has have had do does did to always also please first then"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One demand of a principle.

    `verb`: the stem of its main verb, "" where the reading found none. `negated`: it forbids. `content`: stems of the
    words that the verb is about. `when`: stems of the conditions it is bound to. `excepted`: it names an exception or
    is exclusive ("unless", "only"). `owned`: stems of words right after a genitive, such as "employer" in
    "the patient's employer", which is another object than the patient.
    """

    verb: str
    negated: bool
    content: frozenset[str]
    when: frozenset[str]
    excepted: bool
    owned: frozenset[str] = frozenset()

    @property
    def generic(self) -> bool:
        """Whether the main verb says no more than that something is in the reply, or is not."""
        return not self.verb or self.verb in GENERIC


@lru_cache(maxsize=65536)
def demands(text: str) -> tuple[Demand, ...]:
    """Return the demands that a text contains, in their order."""
    found: list[Demand] = []
    for sentence in _SENTENCE.split(plain(text)):
        if sentence and stems(sentence):
            found.extend(_clause(sentence))
    return tuple(found)


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """Return a text without brackets and quotation marks; what stood in quotation marks stays."""
    return re.sub(r"\([^)]*\)", " ", re.sub(r"[\"“”`]|(?<!\w)'|'(?!\w)", "", text.replace(_CURLY, "'"))).strip()


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return what the forms of a word share, and one word for each class of synonyms."""
    low = word.lower().replace(_CURLY, "'")
    low = low.removesuffix("'s").rstrip("'")
    low = IRREGULAR.get(low, low)
    low = SAME.get(low, low)
    bare = low
    if len(bare) > 3 and bare.endswith("ies"):
        bare = bare[:-3] + "y"
    elif len(bare) > 4 and re.search(r"(?:ss|sh|ch|x|z)es$", bare):
        bare = bare[:-2]
    elif len(bare) > 3 and bare.endswith("s") and not bare.endswith(("ss", "us", "is")):
        bare = bare[:-1]
    bare = SAME.get(IRREGULAR.get(bare, bare), bare)
    if len(bare) > 5:
        bare = re.sub(r"(?:ations?|ization|isation)$", "ate" if bare.endswith("ation") else "", bare)
    if len(bare) > 4:
        bare = re.sub(r"(?:ments?|ings?|edly|ed|ly)$", "", bare)
    bare = re.sub(r"(?:ied|y)$", "i", bare) if len(bare) > 3 else bare
    bare = re.sub(r"([bdglmnprt])\1$", r"\1", bare) if len(bare) > 4 else bare
    bare = bare.removesuffix("e") if len(bare) > 3 else bare
    return SAME.get(bare, bare)


GENERIC = frozenset(map(stem, GENERAL_VERBS))
REVERSERS = frozenset(map(stem, REVERSING_VERBS))


def stems(text: str) -> frozenset[str]:
    """Return the stems of the words of a text that carry meaning."""
    return frozenset(sequence(text))


@lru_cache(maxsize=65536)
def sequence(text: str) -> tuple[str, ...]:
    """Return the stems of the words of a text that carry meaning, in their order."""
    return tuple(
        stem(word)
        for word in _TOKEN.findall(plain(text))
        if word.lower() not in UNIMPORTANT and word.lower().removesuffix("'s") not in UNIMPORTANT
    )


def _clause(sentence: str) -> list[Demand]:
    """Return the demand of a sentence, and that of a "without" in it."""
    excepted = bool(_EXCEPTED.search(sentence))
    when: set[str] = set()
    while leading := _LEADING.match(sentence):
        when |= _condition(leading[1])
        sentence = sentence[leading.end() :].strip()
    if trailing := _TRAILING.search(sentence):
        when |= _condition(trailing[0])
        sentence = sentence[: trailing.start()]
    found = []
    if without := _WITHOUT.search(sentence):
        before, after = sentence[: without.start()], sentence[without.end() :]
        first = after.split()[0] if after.split() else ""
        if first.endswith("ing"):
            rest = frozenset(stems(after[len(first) :]))
            found.append(
                Demand(
                    verb=stem(first),
                    negated=True,
                    content=rest,
                    when=frozenset(when) | stems(before),
                    excepted=excepted,
                )
            )
        else:
            content = stems(f"{before} {after}")
            found.append(Demand(verb="", negated=True, content=content, when=frozenset(when), excepted=excepted))
            return found
        sentence = before
    if main := _main(sentence):
        verb, negated, content = main
        owned = frozenset(stem(word) for word in _OWNED.findall(sentence))
        found.append(
            Demand(verb=verb, negated=negated, content=content, when=frozenset(when), excepted=excepted, owned=owned)
        )
    return found


def _condition(text: str) -> frozenset[str]:
    """Return the stems of a condition, with "not" where it is negated: "if logged in" is not "if not logged in"."""
    return stems(text) | ({"not"} if _NEGATED.search(text) else frozenset())


def _main(sentence: str) -> tuple[str, bool, frozenset[str]] | None:
    """Return main verb, polarity and content of a clause without its conditions."""
    tokens = [token.lower().replace(_CURLY, "'") for token in _TOKEN.findall(sentence)]
    if not tokens:
        return None
    modal = _MODAL.search(sentence)
    start = len(_TOKEN.findall(sentence[: modal.start()])) if modal else 0
    if not modal:
        start = _output_subject(tokens) or _other_subject(tokens)
    negated, position = False, start
    for position in range(start, len(tokens)):
        word = tokens[position]
        if word in NEGATORS or word.endswith("n't"):
            negated = True
        elif word in _AUXILIARY or (word in UNIMPORTANT and word not in GENERIC) or _MODAL.fullmatch(word):
            continue
        else:
            break
    before = set(tokens[:start])
    negated = negated or bool(before & {"never", "no", "nobody", "nothing", "none", "neither"}) or "no" in tokens
    verb = tokens[position]
    if verb == "leave" and "out" in tokens:
        verb, tokens = "omit", [token for token in tokens if token != "out"]
    if verb == "under" and "circumstances" in tokens:  # "under no circumstances should the assistant request"
        negated = True
    if stem(verb) in REVERSERS:
        negated, main = not negated, ""
    else:
        main = stem(verb)
    rest = " ".join(token for number, token in enumerate(tokens) if number != position)
    return main, negated, stems(rest)


def _other_subject(tokens: list[str]) -> int:
    """Return the place of the verb after a short subject of another kind ("tutors never give"), or 0."""
    if tokens[0] in VERBS | OR_NOUNS | GENERAL_VERBS | REVERSING_VERBS | NEGATORS:
        return 0
    for number, token in enumerate(tokens[1:4], 1):
        if token in NEGATORS or token in {"always", "do", "does"} or token.endswith("n't"):
            return number
        if token in VERBS | GENERAL_VERBS | REVERSING_VERBS and tokens[number - 1].endswith("s"):
            return number
    return 0


def _output_subject(tokens: list[str]) -> int:
    """Return the place of the verb after a subject such as "replies" or "the assistant", or 0."""
    for number, token in enumerate(tokens[:4]):
        if token in OUTPUT:
            following = tokens[number + 1 : number + 2]
            if following and following[0] in {"to", "on", "about", "for", "in", "of", "with"}:
                for later in range(number + 2, min(len(tokens), number + 9)):
                    if (
                        tokens[later] in NEGATORS
                        or tokens[later] in {"always", "do", "does"}
                        or (stem(tokens[later]) in GENERIC | REVERSERS | {stem("leave")})
                    ):
                        return later
                return 0
            return number + 1 if len(tokens) > number + 1 else 0
        if token not in {"the", "a", "an", "each", "every", "all", "any", "your", "our"}:
            return 0
    return 0
