"""Read what a teacher wrote. What cannot be read is said to be unreadable: a parser never decides a label.

Reading is keyed apart from asking: change `PARSER` whenever a rule here changes, and rows are read anew, at no cost.
"""

from __future__ import annotations

import math
import re
from typing import Literal, cast

from cai_lite.chat.base import ChatModel
from cai_lite.distill.judging import Judging, Reason
from cai_lite.records import Choice, Reply, Sampling

PARSER = "2"

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


def spoken(text: str) -> str:
    """The text without a thinking model's thought. A thought that never ends leaves nothing."""
    text = _THOUGHT.sub("", text)
    return "" if "<think>" in text else text.strip()


def first_word(text: str, options: tuple[str, ...]) -> str | None:
    """The option that the text begins with, whatever stands around it; None if it begins with none of them."""
    words = re.match(r"[\s\"'*_`(\[]*([A-Za-z]+)\b", spoken(text))
    if not words:
        return None
    return next((option for option in options if option and words[1].lower() == option.lower()), None)


def last_verdict(text: str, options: tuple[str, ...]) -> str | None:
    """The option of the last line "Verdict: ..." of a chain of thought; None where none stands."""
    said = re.findall(r"^[\s\"'*_`(\[]*verdict[\s*_`]*:(.*)$", spoken(text), re.IGNORECASE | re.MULTILINE)
    return first_word(said[-1], options) if said else None


def fault(reply: Reply) -> str | None:
    """ "refused", "failed", "cut" or "empty" where there is nothing to read; else None."""
    if reply.outcome == "ok" and not spoken(reply.text):
        return "empty"
    return None if reply.outcome == "ok" else reply.outcome


Fault = Literal["unreadable", "refused", "failed"]
_TIE = 0.01  # a share this near to one half says nothing
_MASS = 0.5  # of the options together, below which the judge was about to say something else
_ROOM = {"none": 64, "after": 256, "before": 768}  # tokens for a verdict with its reason


def share(reply: Reply, options: tuple[str, ...], tie: str = "", reason: Reason = "none") -> float | Fault:
    """The share of the first option, 0 to 1: of its log-probability where that decides, else by the word. A fault is
    its name.

    Log-probabilities decide where the options together are likelier than anything else that the reply could begin with:
    of a judge that said "tie", or something else, they tell nothing. A verdict that comes after thinking is no first
    word, and theirs would be those of the thought's first word.
    """
    why = fault(reply)
    if why == "refused" or why == "failed":
        return cast(Fault, why)
    read = last_verdict if reason == "before" else first_word
    said = read(reply.text, (*options, tie))
    if said is not None and said == tie:
        return 0.5
    if reply.log_probs is not None and reason != "before" and "<think>" not in reply.text:
        first, second = (reply.log_probs[option] for option in options)
        if math.exp(first) + math.exp(second) > _MASS:
            return sigmoid(first - second)
    if why == "empty" or said is None:
        return "unreadable"
    return float(said == options[0])


def sampling_of(model: ChatModel, judging: Judging) -> Sampling:
    """Return how a verdict is sampled: room for one word where its log-probability is read (servers that give none
    still say the word), else for a reason too; at temperature 1 where verdicts are drawn, else greedily.
    """
    brief = judging.reads_log_probs and judging.reason == "none"
    room = judging.max_tokens or ((1 if model.wording == "short" else 8) if brief else _ROOM[judging.reason])
    return Sampling(temperature=1.0 if judging.samples else 0.0, max_tokens=room)


def choice_of(p_first: float) -> Choice:
    """ "first", "second", or "tie" near one half."""
    return "tie" if abs(p_first - 0.5) < _TIE else "first" if p_first > 0.5 else "second"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logit(p: float) -> float:
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p) - math.log1p(-p)


_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»")
_LETTERS = re.compile(r"\w+")
LEAST = 2  # words, below which a quote could stand anywhere


def quotes(text: str) -> list[str]:
    """What stands between double quotation marks in a reason, of at least two words."""
    found = ["".join(groups) for groups in _QUOTED.findall(text)]
    return [quote for quote in found if len(_LETTERS.findall(quote)) >= LEAST]


def grounded(text: str, *replies: str) -> tuple[str, ...]:
    """The quotes of a reason that occur in one of the replies; case, line breaks and punctuation do not count."""
    said = [_bare(reply) for reply in replies]
    return tuple(quote for quote in quotes(text) if any(f" {_bare(quote)} " in f" {reply} " for reply in said))


def _bare(text: str) -> str:
    return " ".join(_LETTERS.findall(text.lower()))
