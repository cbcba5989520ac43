"""Rules about two principles: near-duplicates and contradictions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import product

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting.amounts import Bound, bounds, directions, numbers
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.reading import GENERIC, REVERSERS, Demand, demands, sequence, stem, stems
from cai_lite.linting.themes import OPPOSITES

_LANGUAGE = re.compile(
    r"\bin (english|spanish|french|german|italian|portuguese|dutch|polish|russian|turkish|arabic|hindi|chinese|"
    r"japanese|korean)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|never|no|nobody|nothing|none|cannot|without)\b|n't\b", re.IGNORECASE)
ALIKE = 0.7  # threshold for near-duplicates: share of the shorter text's content words that the longer one has too
NEARLY = 0.5  # the same threshold for pairs whose demands are compared
_NAME = re.compile(r"(?<![.!?:;] )(?<!^)\b[A-Z][\w&-]+")
_QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|“([^”]+)”|`([^`]+)`")
_OPPOSITES = tuple(
    (re.compile(rf"\b(?:{a})\b", re.I), re.compile(rf"\b(?:{b})\b", re.I), stems(f"{a} {b}".replace("|", " ")))
    for a, b in OPPOSITES
)


_BOUND_WORDS = stems(
    "exactly precisely between limit limited most least maximum max minimum min up under below within fewer "
    "less more longer  shorter later greater  higher earlier exceed exceeding over above keep long length "
    "latest business calendar full two three four five six  seven eight nine ten eleven twelve fifteen twenty "
    "thirty forty fifty sixty hundred "
)


def near_duplicate(subject: Subject) -> Iterator[Finding]:
    """Report each principle that says nearly the same as an earlier one; only the first such pair is reported."""
    reported: set[str] = set()
    for earlier, later, shared in _similar(subject.constitution, ALIKE):
        if later.id not in reported and _same_demand(earlier.text, later.text):
            reported.add(later.id)
            yield found(
                later,
                "near-duplicate",
                "warning",
                f"says nearly the same as '{earlier.id}' (line {earlier.line}): {_named(later.text, shared)}",
                "keep one of them; together they count twice in the weighted score",
            )


def contradiction(subject: Subject) -> Iterator[Finding]:
    """Report pairs of principles that cannot both be kept.

    An error: the same is demanded and forbidden under the same condition, or two bounds exclude each other. A note: a
    principle demands for some prompts the opposite of what another demands for all, and neither names the other.
    """
    decided = decided_pairs(subject.constitution)
    for earlier, later, shared in _similar(subject.constitution, NEARLY):
        if frozenset((earlier.id, later.id)) in decided:
            continue
        kind, pair = _bounds_clash(earlier.text, later.text)
        kind = kind or _clash(earlier.text, later.text)
        if kind == "same" and pair:
            yield found(
                later,
                "contradiction",
                "error",
                f"'{pair[1].phrase}' excludes '{pair[0].phrase}' of '{earlier.id}' (line {earlier.line})",
                "correct one of the numbers, give them different applies_to, or decide it under 'conflicts'",
            )
        elif kind == "same":
            yield found(
                later,
                "contradiction",
                "error",
                f"demands the opposite of '{earlier.id}' (line {earlier.line}) about {_named(later.text, shared)}",
                "remove one, give them different applies_to, or decide it under 'conflicts'",
            )
        elif kind == "narrower":
            yield found(
                later,
                "contradiction",
                "note",
                f"demands the opposite of '{earlier.id}' (line {earlier.line}) in some cases, and nothing says "
                "which of the two goes first there",
                "name the exception in the general one ('unless ...'), or decide it under 'conflicts'",
            )


def decided_pairs(constitution: Constitution) -> set[frozenset[str]]:
    """Return the pairs of principles about which the constitution decides under `conflicts`."""
    return {frozenset(conflict.between) for conflict in constitution.conflicts}


def overlap(first: Principle, second: Principle) -> bool:
    """Return True if two principles can apply to the same prompt."""
    return not first.applies_to or not second.applies_to or not set(first.applies_to).isdisjoint(second.applies_to)


def _similar(constitution: Constitution, share: float) -> Iterator[tuple[Principle, Principle, frozenset[str]]]:
    """Yield pairs of principles, the earlier first, that share at least `share` of the shorter one's content words.

    The pairs are found through an index of words, so that a long policy is not compared pair by pair. In a long policy,
    words that occur in more than every tenth principle are not looked up. Two texts that both set bounds are yielded
    however few words they share.
    """
    principles = constitution.principles
    words = [(said := stems(principle.text)) - GENERIC - REVERSERS or said for principle in principles]
    holders: dict[str, list[int]] = {}
    limit = max(30, len(principles) // 10)
    for number, mine in enumerate(words):
        for word in mine:
            holders.setdefault(word, []).append(number)
    bounded: dict[str, list[int]] = {}
    for number, principle in enumerate(principles):
        for unit in {bound.unit for bound in bounds(principle.text)}:
            bounded.setdefault(unit, []).append(number)
    for number, mine in enumerate(words):
        met = Counter(
            other for word in mine if len(holders[word]) <= limit for other in holders[word] if other > number
        )
        for unit in {bound.unit for bound in bounds(principles[number].text)}:
            if len(bounded[unit]) <= limit:
                met.update({other: 2 for other in bounded[unit] if other > number})
        for other, count in sorted(met.items()):
            least = min(len(mine), len(words[other]))
            if count < 2 and least > 2:
                continue
            shared = mine & words[other]
            both_bounded = bool(bounds(principles[number].text) and bounds(principles[other].text))
            if (len(shared) >= share * least or both_bounded) and overlap(principles[number], principles[other]):
                yield principles[number], principles[other], shared


def _same_demand(first: str, second: str) -> bool:
    """Return True if neither text has a number, a name, a state, a negation or a word in place of the other's."""
    if sequence(first) == sequence(second):
        return _forbids(first) == _forbids(second) and _marks(first) == _marks(second)
    if _numbers(first) != _numbers(second) or _forbids(first) != _forbids(second) or _marks(first) != _marks(second):
        return False
    one, other = stems(first), stems(second)
    if len(one & other) < ALIKE * min(len(one), len(other)) or _against(first, second):
        return False
    if len(one & other) < 0.5 * max(len(one), len(other)):  # the longer one says much more
        return False
    return not _replaced(sequence(first), sequence(second))


def _numbers(text: str) -> tuple[frozenset[float], frozenset[tuple[float, bool]]]:
    return numbers(text), directions(text)


def _replaced(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Return True if a word stands where the other text has another one, as "return" for "cancel" in the same frame."""
    a, b = [w for w in first if w not in GENERIC], [w for w in second if w not in GENERIC]
    one, other = set(a), set(b)
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "replace":
            gone, new = [w for w in a[i:j] if w not in other], [w for w in b[k:m] if w not in one]
            if gone and new:
                return True
    return False


@lru_cache(maxsize=65536)
def _marks(text: str) -> frozenset[str]:
    """Return what tells apart cases that are worded alike: proper names, and short texts in quotation marks."""
    names = {stem(name) for name in _NAME.findall(text)}
    quoted = {"".join(groups).lower() for groups in _QUOTED.findall(text)}
    return frozenset(names | {q for q in quoted if len(q.split()) <= 4})


@lru_cache(maxsize=65536)
def _forbids(text: str) -> tuple[bool, bool]:
    """Return whether a text has a negation anywhere, also in a condition, and whether it forbids something."""
    return bool(_NEGATION.search(text)), any(demand.negated for demand in demands(text))


def _clash(first: str, second: str) -> str:
    """Return "same" if two texts cannot both be kept, "narrower" if one of them is for some cases only, or ""."""
    if len(demands(first)) == len(demands(second)) == 1 and _opposite_values(first, second):
        return "same"
    if _numbers(first) != _numbers(second) or _marks(first) != _marks(second):
        return ""
    kinds = {_opposed(a, b) for a, b in product(demands(first), demands(second))}
    return "same" if "same" in kinds else "narrower" if "narrower" in kinds else ""


def _opposed(first: Demand, second: Demand) -> str:
    if first.negated == second.negated or first.excepted or second.excepted:
        return ""
    if not (first.content and second.content) and not (first.content == second.content and first.verb == second.verb):
        return ""
    if not _verbs_meet(first, second):
        return ""
    one = first.content | ({first.verb} if not first.generic else frozenset())
    other = second.content | ({second.verb} if not second.generic else frozenset())
    all_first, all_second = one | first.when, other | second.when
    gone, new = one - all_second - GENERIC, other - all_first - GENERIC
    shared = (one & other) or (first.content & all_second)
    if (gone and new) or not shared or len(gone | new) > len(shared) or (gone & first.owned) or (new & second.owned):
        return ""
    bound, other_bound = first.when - all_second - GENERIC, second.when - all_first - GENERIC
    if (bound and other_bound) or ("not" in bound | other_bound and first.when and second.when):
        return ""  # bound to cases of their own
    if bound or other_bound or (gone | new and len(gone | new) * 4 > len(shared)):
        return "narrower"
    return "same"


def _verbs_meet(first: Demand, second: Demand) -> bool:
    if first.verb == second.verb:
        return True
    if first.generic and second.generic:
        return True
    if first.generic:
        return second.verb in first.content | first.when or not first.verb
    if second.generic:
        return first.verb in second.content | second.when or not second.verb
    return False


def _opposite_values(first: str, second: str) -> bool:
    """Return True if two texts differ in nothing but opposite values, such as metric and imperial."""
    if _forbids(first) != _forbids(second):
        return False
    one, other = _language(first), _language(second)
    if one and other and one != other:
        return _LANGUAGE.sub("", first).split() == _LANGUAGE.sub("", second).split()
    return any(
        stems(first) - either - GENERIC == stems(second) - either - GENERIC
        for either in (_OPPOSITES[number][2] for number in _against(first, second))
    )


def _against(first: str, second: str) -> frozenset[int]:
    """Return the numbers of the pairs of opposite values of which one text has one and the other the other."""
    one, other = _values(first), _values(second)
    return frozenset(number for number, side in one if (number, not side) in other)


@lru_cache(maxsize=65536)
def _values(text: str) -> frozenset[tuple[int, bool]]:
    """Return the opposite values in a text: the number of the pair and its side; a text with both sides has none."""
    sides = ((bool(a.search(text)), bool(b.search(text))) for a, b, _ in _OPPOSITES)
    return frozenset((number, first) for number, (first, second) in enumerate(sides) if first != second)


@lru_cache(maxsize=65536)
def _language(text: str) -> str:
    """Return the only language that a text asks for, or ""."""
    named = {name.lower() for name in _LANGUAGE.findall(text)}
    return named.pop() if len(named) == 1 else ""


def _bounds_clash(first: str, second: str) -> tuple[str, tuple[Bound, Bound] | None]:
    """Return two bounds that exclude each other: "same" if on the same thing, "narrower" if one is for all replies."""
    kind = ""
    for a, b in product(bounds(first), bounds(second)):
        if a.unit != b.unit or not _excludes(a, b):
            continue
        one, other = _scope(first, a), _scope(second, b)
        if one == other or _one_is_general(one, other):
            return "same", (a, b)
        if not one or not other:
            kind = "narrower"
    return kind, None


def _one_is_general(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return True if the smaller scope lies in the larger, and both name something of it."""
    small, large = sorted((first, second), key=len)
    return bool(small) and small <= large and len(large) - len(small) <= len(small)


def _excludes(a: Bound, b: Bound) -> bool:
    """Return True if no number keeps both bounds."""
    return any(
        upper.most is not None and lower.least is not None and lower.least > upper.most
        for upper, lower in ((a, b), (b, a))
    )


@lru_cache(maxsize=65536)
def _scope(text: str, bound: Bound) -> frozenset[str]:
    """Return the stems of what a bound is about: the text without the bound and without verbs that say nothing."""
    said = stems(re.sub(r"\d[\d,.]*", " ", text)) - GENERIC - _BOUND_WORDS
    return frozenset(said - stems(bound.phrase) | (stems(bound.phrase) & said - {bound.unit} - _BOUND_WORDS))


def _named(text: str, shared: frozenset[str], most: int = 5) -> str:
    """Return the words of a text whose stems are shared, in their order."""
    said = [word for word in re.findall(r"[A-Za-z][\w'-]*|\d+", text) if stem(word) in shared]
    return ", ".join(list(dict.fromkeys(word.lower() for word in said))[:most])
