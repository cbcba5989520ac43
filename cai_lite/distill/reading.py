"""Read what a teacher wrote. What cannot be read is "unreadable": a parser never decides a label.

Reading is keyed apart from asking: change `PARSER` whenever a rule here or in `deciding` changes, and rows are read
anew, at no cost.
"""

from __future__ import annotations

import math
import re
from typing import Literal, cast

from cai_lite.chat.base import ChatModel
from cai_lite.chat.thoughts import split_thought, thinks
from cai_lite.distill.deciding import last_verdict, verdict_of
from cai_lite.distill.judging import Judging, Reason
from cai_lite.records import Choice, Reply, Sampling

PARSER = "3"

Fault = Literal["unreadable", "refused", "failed"]
FAULTS = ("cut", "empty", "unreadable", "refused", "failed")  # of a reply or a verdict
_TIE = 0.01  # a share this near to one half says nothing
_MASS = 0.5  # of the options together, below which the judge was about to say something else
_ROOM = {"none": 64, "after": 256, "before": 768}  # tokens for a verdict with its reason


def spoken(text: str) -> str:
    """Return the text without a thinking model's thought; a thought that never ends leaves nothing."""
    return split_thought(text).answer


def fault(reply: Reply) -> str | None:
    """Return "refused", "failed", "cut" or "empty" where there is nothing to read, else None."""
    if reply.outcome == "ok" and not spoken(reply.text):
        return "empty"
    return None if reply.outcome == "ok" else reply.outcome


def share(reply: Reply, options: tuple[str, str], tie: str = "", reason: Reason = "none") -> float | Fault:
    """Return the share of the first option, 0 to 1, or the name of a fault.

    Log-probabilities decide where the options together are likelier than anything else that the reply could begin with:
    of a judge that said "tie", or something else, they tell nothing. Those of a reply that begins with a thought, or
    follows one, are not those of the verdict, so words decide there.
    """
    why = fault(reply)
    if why == "refused" or why == "failed":
        return cast(Fault, why)
    said = (last_verdict if reason == "before" else verdict_of)(spoken(reply.text), options, tie)
    if tie and said == tie:
        return 0.5
    if reply.log_probs is not None and reason != "before" and not thinks(reply.text):
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
    """Return "first", "second", or "tie" near one half."""
    return "tie" if abs(p_first - 0.5) < _TIE else "first" if p_first > 0.5 else "second"


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logit(p: float) -> float:
    """Return ln(p / (1 - p)), with p kept within 1e-12 of 0 and 1."""
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p) - math.log1p(-p)


# Reasons and their quotes

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»")
_LETTERS = re.compile(r"\w+")
LEAST = 2  # words, below which a quote could stand anywhere


def quotes(text: str) -> list[str]:
    """Return what stands between double quotation marks in a reason, of at least two words."""
    found = ["".join(groups) for groups in _QUOTED.findall(text)]
    return [quote for quote in found if len(_LETTERS.findall(quote)) >= LEAST]


def grounded(text: str, *replies: str) -> tuple[str, ...]:
    """Return the quotes of a reason that occur in one of the replies, letter case and punctuation aside."""
    said = [_words(reply) for reply in replies]
    return tuple(quote for quote in quotes(text) if any(f" {_words(quote)} " in f" {reply} " for reply in said))


def _words(text: str) -> str:
    return " ".join(_LETTERS.findall(text.lower()))
