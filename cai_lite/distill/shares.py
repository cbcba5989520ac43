"""One reply of a judge as a number: the share of the first option, or the name of a fault."""

from __future__ import annotations

import math
from typing import Literal, cast

from cai_lite.chat.base import ChatModel
from cai_lite.distill.reading import fault, first_word, last_verdict
from cai_lite.records import Choice, Reply, Sampling

Fault = Literal["unreadable", "refused", "failed"]
Reason = Literal["none", "after", "before"]
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


def sampling_of(
    model: ChatModel, *, drawn: bool, log_probs: bool, reason: Reason = "none", max_tokens: int | None = None
) -> Sampling:
    """Room for one word where its log-probability is read (servers that tell none still say the word), else for a
    reason too. `drawn`: at temperature 1; else greedily.
    """
    brief = log_probs and reason == "none"
    room = max_tokens or ((1 if model.wording == "short" else 8) if brief else _ROOM[reason])
    return Sampling(temperature=1.0 if drawn else 0.0, max_tokens=room)


def choice_of(p_first: float) -> Choice:
    """ "first", "second", or "tie" near one half."""
    return "tie" if abs(p_first - 0.5) < _TIE else "first" if p_first > 0.5 else "second"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logit(p: float) -> float:
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p) - math.log1p(-p)
