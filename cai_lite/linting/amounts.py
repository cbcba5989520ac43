"""Numbers in a principle: what they count, and whether they are an upper bound, a lower bound or an exact value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from cai_lite.linting.reading import plain, stem

_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100}
_WORDS = {name: value for value, name in enumerate(re.findall(r"\w+", _NAMES))} | _TENS
_NUMBER = rf"[$€£]?(?:a |an |one )?(?:\d[\d,]*(?:\.\d+)?|{'|'.join(_WORDS)})(?: ?%)?"
_UNIT = (
    r"(?:[\s-]+(?:business|calendar|working|full|short|consecutive|single|whole|complete|more|further)\b)*"
    r"[\s-]*(?P<unit>[A-Za-z]+)?"
)
_UPPER = (
    r"at (?:the )?most|no (?:more|longer|later|greater|higher) than|not (?:\w+ )?(?:more|longer|later) than|"
    r"not exceed(?:ing)?|"
    r"(?:a )?maximum(?: of)?|max\.?|up to|under|below|within|(?:fewer|less|shorter) than|limit(?:ed)? (?:\w+ ){0,4}?to"
)
_LOWER = (
    r"at (?:the )?least|no (?:fewer|less|shorter|earlier) than|not (?:\w+ )?(?:fewer|less|shorter|earlier) than|"
    r"(?:a )?minimum(?: of)?|min\.?|"
    r"(?:more|longer|greater) than|over|above|exceed(?:s|ing)?"
)
_BOUND = re.compile(
    rf"\b(?:(?P<upper>{_UPPER})|(?P<lower>{_LOWER}))\s+(?P<number>{_NUMBER})(?![\w.]*\d){_UNIT}", re.IGNORECASE
)
_AFTER = re.compile(
    rf"(?P<number>{_NUMBER}){_UNIT} (?:(?P<lower>or (?:more|longer|above|later|over)|at least|minimum)|"
    r"(?P<upper>or (?:fewer|less|shorter|below|under|earlier)|at most|maximum|at the latest))",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"(?P<first>{_NUMBER}) ?(?:to|and|-|\u2013) ?(?P<last>{_NUMBER})(?![\w.]*\d){_UNIT}|"
    rf"\b(?:exactly|precisely) (?P<exact>{_NUMBER}){_UNIT.replace('unit', 'things')}",
    re.IGNORECASE,
)
_ANY = re.compile(rf"\b(?:\d[\d,]*(?:\.\d+)?|{'|'.join(name for name in _WORDS if name != 'one')})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A bound on a number of `unit` (a stem): `least` and `most` are None where the text leaves them open."""

    unit: str
    least: float | None
    most: float | None
    phrase: str


@lru_cache(maxsize=65536)
def bounds(text: str) -> tuple[Bound, ...]:
    """Return the bounds that a text sets, such as "at most 50 words"."""
    found, text = [], plain(text)
    for pattern in (_BOUND, _AFTER):
        for match in pattern.finditer(text):
            if unit := match["unit"]:
                value = _value(match["number"])
                upper = bool(match["upper"])
                found.append(
                    Bound(
                        unit=stem(unit),
                        least=None if upper else value,
                        most=value if upper else None,
                        phrase=" ".join(match[0].split()),
                    )
                )
    for match in _RANGE.finditer(text):
        if unit := match["unit"] or match["things"]:
            least, most = _value(match["exact"] or match["first"]), _value(match["exact"] or match["last"])
            found.append(Bound(unit=stem(unit), least=least, most=most, phrase=" ".join(match[0].split())))
    return tuple(found)


@lru_cache(maxsize=65536)
def directions(text: str) -> frozenset[tuple[float, bool]]:
    """Return the numbers that a text sets as bounds, and whether each is an upper one."""
    matches = (match for pattern in (_BOUND, _AFTER) for match in pattern.finditer(plain(text)))
    return frozenset((_value(match["number"]), bool(match["upper"])) for match in matches)


@lru_cache(maxsize=65536)
def numbers(text: str) -> frozenset[float]:
    """Return the numbers in a text, whether written in digits or in words; "one" does not count."""
    return frozenset(_value(match[0]) for match in _ANY.finditer(plain(text)))


def _value(text: str) -> float:
    last = text.lower().replace(",", "").replace("%", "").split()[-1]
    return float(_WORDS[last]) if last in _WORDS else float(last.strip(".$€£"))
