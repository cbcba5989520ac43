"""Compare two principles by what their words mean: one that says the other again, or its opposite, in other words."""

from __future__ import annotations

import re

from cai_lite.linting.amounts import durations
from cai_lite.linting.concepts import VERBS_NAMED, Meaning, concept, meaning, values_named
from cai_lite.linting.thesaurus import FAMILIES_OF_ACTS

_HUMAN = (
    r"(?:humans?|persons?|people|staff|employees?|colleagues?|managers?|supervisors?|nurses?|doctors?|physicians?|"
    r"pharmacists?|veterinarians?|vets?|lawyers?|attorneys?|solicitors?|advis[eo]rs?|specialists?|experts?|teachers?|"
    r"officers?|editors?|operators?|clerks?|handlers?|technicians?|engineers?|representatives?|librarians?|"
    r"administrators?|professionals?)"
)
_BY_HUMAN = re.compile(
    rf"\bonly (?:an? |the |our |by an? |by the |by )?(?:[\w-]+ ){{0,2}}?{_HUMAN} (?:may|can|must|should|is|are|"
    rf"\w+s\b)|"
    rf"\bby (?:an? |the |our )?(?:[\w-]+ ){{0,2}}?{_HUMAN}\b(?=.*)",
    re.IGNORECASE,
)
_HUMAN_WORD = re.compile(rf"\b{_HUMAN}\b", re.IGNORECASE)
_BOT = re.compile(
    r"\b(?:bot|chatbot|assistant|model|ai|system)\b(?: itself| alone)?|\bautomatic(?:ally)?\b", re.IGNORECASE
)
_ACTORS = frozenset(
    [
        "human",
        "manager",
        "nurse",
        "doctor",
        "lawyer",
        "expert",
        "staff",
        "teacher",
        "itself",
        "system",
        "automatic",
        "automatical",
        "pharmacist",
        "veterinarian",
        "officer",
        "editor",
        "clerk",
        "handler",
        "technician",
        "engineer",
        "librarian",
        "administrator",
    ]
)
_WHO = _ACTORS | {"answer"}  # who answers: "replies list it" is "list it"
# What a way of sending or of paying brings with it.
_WAYS = frozenset(
    {
        "app", "bank", "call", "card", "cash", "chat", "cheque", "courier", "credit", "discount", "email", "fax",
        "give", "loan", "message", "money", "original", "pay", "person", "post", "seller", "send", "software",
        "store", "store credit", "text message", "voucher", "website",
    }
)  # fmt: skip
# What an opposite value brings with it: "American spelling" beside "British English".
_OF_VALUES = frozenset(
    {"language", "spelling", "order", "tense", "unit", "voice", "quantity", "sequence", "quotation", "text"}
)
# Verbs that are not as often nouns.
_ACTS = VERBS_NAMED - {"book", "number", "photograph", "link", "joke", "limit", "charge", "die", "smoke", "estimate"}
# Verbs that ask for no other act than "give" or "mention" does; any other verb is an act of its own.
_OTHER_ACTS = _ACTS - {
    "share",
    "discuss",
    "explain",
    "recommend",
    "repeat",
    "answer",
    "begin",
    "end",
    "send",
    "confirm",
    "return",
}
# Who is spoken to, and when: not what is demanded.
_AROUND = _ACTORS | frozenset(
    [
        "tenant",
        "patient",
        "pupil",
        "customer",
        "guest",
        "traveller",
        "reader",
        "member",
        "applicant",
        "donor",
        "buyer",
        "parent",
        "relative",
        "citizen",
        "player",
        "begin",
        "end",
        "ahead",
        "after",
        "immediate",
        "always",
    ]
)
_FAMILIES = [
    frozenset(concept(act.strip()) for act in line.split(",")) for line in FAMILIES_OF_ACTS.strip().split("\n")
]


def restates(first: str, second: str) -> bool:
    """Return True if two texts demand the same in other words: same polarity, amounts and values, nothing replaced."""
    a, b = meaning(first), meaning(second)
    if (a.negated, a.case_negated, a.excepted) != (b.negated, b.case_negated, b.excepted):
        return False
    if (
        a.amounts != b.amounts
        or a.figures != b.figures
        or a.only != b.only
        or _clashing(a, b)
        or a.channels != b.channels
    ):
        return False
    shared, gone, new = a.said & b.said, a.said - b.said - _WHO, b.said - a.said - _WHO
    if gone and new:
        return False
    return len(shared) + bool(a.amounts) >= 2 and len(gone | new) <= len(shared) // 2


def denies(first: str, second: str, *, named_alike: bool) -> str:
    """Return "same" if two texts cannot both be kept, "narrower" if one is bound to a condition of its own, or "".

    `named_alike`: the two name the same proper names; without it, only values and actors are compared.
    """
    a, b = meaning(first), meaning(second)
    if (
        len(a.said ^ b.said) > 2 * len(a.said & b.said) + 4
        or a.excepted
        or b.excepted
        or a.case_negated != b.case_negated
    ):
        return ""
    bound, other_bound = a.case - b.told, b.case - a.told
    if bound and other_bound:
        return ""
    if not (
        _opposite(a, b, durations(first), durations(second), named_alike=named_alike)
        or _other_actor(a, b, first, second)
    ):
        return ""
    return "narrower" if bound or other_bound else "same"


def _opposite(a: Meaning, b: Meaning, one: tuple[float, ...], other: tuple[float, ...], *, named_alike: bool) -> bool:
    """Return True if one text denies the other, has another value of a dimension, or sends by another channel only."""
    numbers_agree = a.amounts == b.amounts and a.figures == b.figures
    if a.negated != b.negated:
        return (
            named_alike
            and (numbers_agree or _absolute(a if a.negated else b))
            and not (a.only or b.only or _clashing(a, b))
            and (_meet(a.core, b.core, a, b) or _akin(a, b))
        )
    if a.negated:
        return False
    if dimensions := _clashing(a, b):
        extra = values_named(dimensions) | _OF_VALUES
        rest, other_rest = a.core - extra, b.core - extra
        if rest and other_rest and not _meet(rest, other_rest, a, b):
            return False
        if {"keep", "delete"} <= a.core | b.core:
            kept, gone = (one, other) if "keep" in a.core else (other, one)
            return (not kept and not gone) or bool(kept and gone and max(kept) > min(gone))
        return numbers_agree
    if _parted(a.channels, b.channels) and (a.only or b.only):
        extra = _WAYS
        return _meet(a.core - extra, b.core - extra, a, b)
    same = len(a.said & b.said) >= 2 and not (a.said - b.said or b.said - a.said) and not a.amounts and not b.amounts
    return same and len(a.figures) == len(b.figures) == 1 and a.figures != b.figures and named_alike and not one


def _absolute(forbidding: Meaning) -> bool:
    """Return True if a prohibition names no amount, as "accept no gifts" does: then no amount keeps it."""
    return not forbidding.amounts and not forbidding.figures


def _parted(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]]) -> bool:
    """Return True if two texts name different ways of sending or of paying, and none in common."""
    return one.isdisjoint(other) and bool({number for number, _ in one} & {number for number, _ in other})


def _meet(one: frozenset[str], other: frozenset[str], a: Meaning, b: Meaning) -> bool:
    """Return True if two sets of concepts are about the same, and at most one of them says more."""
    shared, gone, new = one & other, one - b.said, other - a.said
    if gone & a.owned or new & b.owned or ((gone | new) & _OTHER_ACTS and not shared & _ACTS):
        return False
    return bool(shared) and not (gone and new) and len(gone | new) <= len(shared)


def _akin(a: Meaning, b: Meaning) -> bool:
    """Return True if two texts differ in nothing but two verbs of one family, such as "discuss" and "recommend"."""
    gone, new = a.core - b.said - _AROUND, b.core - a.said - _AROUND
    if len(gone) > 1 or len(new) > 1 or not a.core & b.core or gone & a.owned or new & b.owned:
        return False
    return bool(gone and new) and any(gone <= acts and new <= acts for acts in _FAMILIES)


def _clashing(a: Meaning, b: Meaning) -> frozenset[int]:
    """Return the dimensions of which the two have values, and none in common."""
    if not a.values or not b.values:
        return frozenset()
    shared = {number for number, _ in a.values} & {number for number, _ in b.values}
    common = {number for number, _ in a.values & b.values}
    return frozenset(shared - common)


def _other_actor(a: Meaning, b: Meaning, first: str, second: str) -> bool:
    """Return True if one text leaves to people only what the other one has the assistant do."""
    if a.negated or b.negated:
        return False
    for one, other, text, more in ((a, b, first, second), (b, a, second, first)):
        exclusive = _BY_HUMAN.search(text) and (one.only or one.every)
        if exclusive and not _HUMAN_WORD.search(more) and (_BOT.search(more) or not other.only):
            shared = (one.core & other.core) - _ACTORS
            gone, new = one.core - _ACTORS - other.said, other.core - _ACTORS - one.said
            return len(shared) >= 2 and len(gone) < 2 and not (gone and new) and len(new) <= len(shared)
    return False
