"""Read a principle as a set of concepts: its words, with the synonyms of the thesaurus taken for one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from cai_lite.linting.amounts import NUMBER_WORDS, Bound, bounds, numbers
from cai_lite.linting.classes import NEGATORS, UNIMPORTANT
from cai_lite.linting.reading import conditions, plain, stem
from cai_lite.linting.thesaurus import (
    CHANNELS,
    DIMENSIONS,
    IRREGULAR_FORMS,
    LIGHT,
    NOUN_CLASSES,
    QUALITY_CLASSES,
    REVERSALS,
    SPLIT_VERBS,
    VERB_CLASSES,
)

_TOKEN = re.compile(r"\d+-[a-z]+|[a-z][\w'&-]*|\d[\d,.]*\d|\d")
_IRREGULAR = dict(pair.split() for pair in " ".join(IRREGULAR_FORMS.split()).split(","))
_ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("es", ""), ("es", "e"), ("s", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"),
    ("ly", ""), ("ily", "y"),
)  # fmt: skip
_FUNCTION = (UNIMPORTANT | NEGATORS | {"only", "before", "own", "same"}) - {
    "same", "before", "after", "customer", "customers", "client", "clients", "caller", "callers", "user", "users",
    "reply",
    "replies", "response", "responses", "answer", "answers", "person", "staff", "already",
}  # fmt: skip
_EMPTY = frozenset({"customer", "human being", "already", "single", "itself", "themselves", "themself"})
_NEGATIVE = re.compile(
    r"\b(?:not|never|no|nobody|nothing|none|neither|nor|cannot|without|no one|under no|at no time)\b|n't\b"
)
_EXCEPT = re.compile(
    r"\b(?:unless|except(?:ion\w*|ing)?|otherwise|other than|apart from|provided that|until|even if|regardless|"
    r"need not|not required|no need|(?:do|does|did)(?: not|n't) (?:need|have) to|not have to)\b"
)
_OWNED = re.compile(r"\w(?:'s|s') ([\w-]+)")
_WHATEVER = re.compile(
    r"\b(?:whatever|no matter|irrespective of|regardless of|however)(?: \w+){1,3}(?=,|$)|\bof any (?:size|amount|"
    r"kind)\b"
)
_BEING = frozenset(
    ["is", "are", "be", "been", "being", "was", "were", "get", "gets", "got", "have", "has", "to", "and", "or"]
)
# What a question asks for: "say when it expires" is "give the date".
_ASKED = {"when": "date", "where": "place", "why": "reason", "who": "name", "how many": "number", "how much": "price"}
_QUESTION = re.compile(
    r"\b((?:say|state|tell|name|give|show|explain|ask|mention|indicate|specify|know|inform)s?(?: [\w']+){0,3}?) "
    r"(when|where|why|who|how many|how much)\b"
)
_ONLY = re.compile(r"\b(?:only|solely|exclusively|nothing but|no one but|nobody but|none but|alone)\b")
_ALL = re.compile(r"\b(?:all|every|each|any|always|whatever|without exception|invariably|everyone|everybody)\b")
_WORDS_OF_BOUNDS = NUMBER_WORDS | frozenset(
    [
        "aware",
        "most",
        "least",
        "maximum",
        "minimum",
        "limit",
        "limited",
        "cap",
        "up",
        "under",
        "within",
        "more",
        "less",
        "fewer",
        "than",
        "younger",
        "older",
        "higher",
        "lower",
        "larger",
        "smaller",
        "above",
        "below",
        "over",
    ]
)


def _parse(table: str) -> dict[str, str]:
    """Return the class of each member of a table of the thesaurus; a line that is indented continues the one before."""
    classes: dict[str, str] = {}
    for line in re.sub(r"\n +", " ", table.strip()).split("\n"):
        name, _, members = line.partition(":")
        for member in members.split(","):
            classes.setdefault(" ".join(member.split()), name.strip())
    return classes


def _lines(table: str) -> list[list[str]]:
    return [
        [" ".join(member.split()) for member in line.split(",") if member.strip()]
        for line in re.sub(r"\n +", " ", table.strip()).split("\n")
    ]


_LIGHT = frozenset(_parse(LIGHT))
VERBS_NAMED = frozenset(_parse(VERB_CLASSES).values())
_CLASSES = {
    word: name
    for word, name in {**_parse(QUALITY_CLASSES), **_parse(NOUN_CLASSES), **_parse(VERB_CLASSES)}.items()
    if word not in _LIGHT
}
_REVERSALS = frozenset(word for line in _lines(REVERSALS.replace("\n", " ")) for word in line)
_VALUES: dict[str, tuple[int, int]] = {}
for _number, _line in enumerate(_lines(DIMENSIONS)):
    for _side, _names in enumerate(_line):
        for _name in _names.split("|"):
            _VALUES.setdefault(_name.strip(), (_number, _side))
_CHANNELS = {
    name.strip(): (number, side)
    for number, line in enumerate(_lines(CHANNELS))
    for side, names in enumerate(line)
    for name in names.split("|")
}
_SPLIT: dict[str, list[tuple[list[str], str]]] = {}
for _entry in " ".join(SPLIT_VERBS.split()).split(","):
    _split, _, _said = _entry.partition(":")
    _SPLIT.setdefault(_split.split()[0], []).append((_split.split()[1:], _said.strip()))
_GAP = 6  # words that may stand inside of a split verb
_KNOWN = _CLASSES.keys() | _LIGHT | _REVERSALS | _VALUES.keys() | _CHANNELS.keys()
_LONGEST = 4  # words in an expression of the thesaurus
_UNTOLD = _EMPTY | _WORDS_OF_BOUNDS  # they tell nothing about what is demanded
_FIRST = frozenset(expression.split()[0] for expression in _KNOWN if " " in expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a principle says, as far as its words tell.

    `core`: the concepts of its main clause. `case`: those of its conditions. `negated`: it forbids; `case_negated`:
    its condition is negated. `excepted`: it names
    an exception. `only`, `every`: it says so. `values`: its values of the dimensions of the thesaurus. `channels`: the
    ways of sending it names. `amounts`: its bounds, as (stem of the unit, least, most). `figures`: its other numbers.
    `owned`: what a genitive makes another thing, such as "employer" in "the patient's employer". `said`: core and case
    without light verbs. `told`: with them.
    """

    core: frozenset[str]
    case: frozenset[str]
    negated: bool
    case_negated: bool
    excepted: bool
    only: bool
    every: bool
    values: frozenset[tuple[int, int]]
    channels: frozenset[tuple[int, int]]
    amounts: frozenset[tuple[str, float | None, float | None]]
    figures: frozenset[float]
    owned: frozenset[str]
    said: frozenset[str]
    told: frozenset[str]


@lru_cache(maxsize=65536)
def base(word: str) -> str:
    """Return the base form of a word: of "paid" "pay", of "policies" "policy"."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _KNOWN:
        return word
    for ending, new in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) > 1:
            bare = word[: -len(ending)] + new
            doubled = bare[:-1] if not new and len(bare) > 3 and bare[-1] == bare[-2] else bare
            for candidate in (bare, doubled):
                if candidate in _KNOWN:
                    return candidate
    return word


@lru_cache(maxsize=65536)
def concept(expression: str) -> str:
    """Return the class of a word or expression in its base form, or the stem of a word that has none."""
    return _CLASSES.get(expression) or (expression if expression in _KNOWN else stem(expression))


@lru_cache(maxsize=65536)
def meaning(text: str) -> Meaning:
    """Return what a principle says, read through the thesaurus."""
    set_bounds = bounds(text)
    text = _QUESTION.sub(_answer, plain(text).lower().replace("a.m.", "am").replace("p.m.", "pm"))
    rest = text
    for bound in set_bounds:
        rest = rest.replace(bound.phrase.lower(), " ")
    main, when = conditions(_WHATEVER.sub(" ", rest))
    core, reversed_, values, channels = _read(main)
    case, case_reversed, _, _ = _read(when, light=True)
    return Meaning(
        core=core,
        case=case,
        negated=bool(_NEGATIVE.search(main)) != reversed_,
        case_negated=bool(_NEGATIVE.search(when)) or case_reversed,
        excepted=bool(_EXCEPT.search(text)),
        only=bool(_ONLY.search(text)),
        every=bool(_ALL.search(main)),
        values=values,
        channels=channels,
        amounts=frozenset(_amount(bound) for bound in set_bounds),
        figures=numbers(re.sub(r"\b\d+-[a-z]+", " ", rest)),
        said=core | _read(when)[0],
        told=core | case,
        owned=frozenset(concept(base(word)) for word in _OWNED.findall(text)),
    )


def _split_verb(words: list[str], bases: list[str], at: int) -> tuple[str, int] | None:
    """Return what a split verb says, and the place of its particle: of "put the caller through" "transfer" and 3."""
    for particles, said in _SPLIT.get(bases[at], ()):
        for place in range(at + 1, min(len(words), at + _GAP)):
            if words[place : place + len(particles)] == particles:
                return said, place
    return None


def _answer(question: re.Match[str]) -> str:
    return f"{question[1]} {_ASKED[question[2]]}"


def _denied(word: str) -> str:
    """Return what a word with a negating prefix denies, if the thesaurus has it: of "ungraded" "grade", or ""."""
    for prefix in ("un", "non-", "non"):
        if word.startswith(prefix) and (rest := base(word[len(prefix) :])) in _CLASSES:
            return rest
    return ""


def _amount(bound: Bound) -> tuple[str, float | None, float | None]:
    return bound.family, *bound.span


def _read(
    text: str, *, light: bool = False
) -> tuple[frozenset[str], bool, frozenset[tuple[int, int]], frozenset[tuple[int, int]]]:
    """Return the concepts of a text, whether a verb turns it round, its values and its channels.

    `light`: light verbs count, too: "if it is delivered".
    """
    words = [word.removesuffix("'s").rstrip("'") for word in _TOKEN.findall(text.replace("\u2019", "'"))]
    bases = [base(word) for word in words]
    found: set[str] = set()
    values: set[tuple[int, int]] = set()
    channels: set[tuple[int, int]] = set()
    turned, at = False, 0
    while at < len(words):
        step, expression = 1, bases[at]
        if split := _split_verb(words, bases, at):
            expression, place = split
            words[place] = bases[place] = "the"  # the particle has been read
        elif words[at] in _FIRST or bases[at] in _FIRST:
            for size in range(min(_LONGEST, len(words) - at), 1, -1):
                tail = words[at + 1 : at + size]
                options = (
                    " ".join([words[at], *tail]),
                    " ".join([bases[at], *tail]),
                    " ".join([bases[at], *bases[at + 1 : at + size]]),
                )
                if hit := next((option for option in options if option in _KNOWN), ""):
                    step, expression = size, hit
                    break
        if step == 1 and expression not in _KNOWN and (denied := _denied(expression)):
            turned, expression = not turned, denied
        name = concept(expression)
        if expression in _REVERSALS:
            turned = not turned
        elif step > 1 or not (words[at] in _FUNCTION or expression in _FUNCTION or words[at][0].isdigit()):
            state = words[at].endswith("ed") and not (at and words[at - 1] in _BEING)  # "delivered orders"
            if (light or state or expression not in _LIGHT) and not {name, expression, words[at]} & _UNTOLD:
                found.add(name)
        for named in (words[at] if step == 1 else expression, expression, name):
            if named in _VALUES:
                values.add(_VALUES[named])
            if named in _CHANNELS:
                channels.add(_CHANNELS[named])
        at += step
    return frozenset(found), turned, frozenset(values), frozenset(channels)


@lru_cache(maxsize=1024)
def values_named(dimensions: frozenset[int]) -> frozenset[str]:
    """Return the concepts that name a value of one of these dimensions."""
    return frozenset(concept(name) for name, (number, _) in _VALUES.items() if number in dimensions)
