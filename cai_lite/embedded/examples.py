"""Training examples as conversations, and the parts that several tasks share."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from cai_lite.distill.wording import SHORT
from cai_lite.embedded.grammar import Reply, keeps
from cai_lite.embedded.world import Rule, side_of

# Share of the requests with the constitution's own wording of a rule, and of the other wordings that lose a word.
OWN_WORDING = 0.35
WORDING_SLIPS = 0.2
UNOPPOSED, MISSING = "nothing against it.", "it is missing."


class Known(NamedTuple):
    """A labelled piece of a request: a sentence about a rule, or (`asked`) a wording of a rule.

    `good` says whether the sentence keeps the rule or, if `asked`, whether the reply does; None where that is not known
    from the text before.
    """

    piece: str
    rule: str
    good: bool | None
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A conversation that ends with the reply to learn; without `user` it is plain text.

    `decides`: the first token of the reply is a decision, which has a higher weight in the loss.
    `known`: labelled pieces of `user`, in order.
    `then`: further rules that are asked about the same reply, each answered by a decision alone, so that one reading of
    a reply trains several verdicts.
    """

    reply: str
    user: str = ""
    system: str = ""
    decides: bool = False
    known: tuple[Known, ...] = ()
    then: tuple[Known, ...] = ()


def critique_of(rule: Rule, reply: Reply) -> str:
    """Return the critique of a reply: the decision, and the sentence that decides, if there is one."""
    good = keeps(rule, reply)
    evidence = next((sentence.text for sentence in reply if sentence.rule == rule.id and sentence.good == good), None)
    return f"{decision(good)}, " + (f"it says: {evidence}" if evidence else (UNOPPOSED if good else MISSING))


def decision(kept: bool) -> str:
    """Return the decision word of a verdict."""
    return SHORT.keeps if kept else SHORT.breaks


def said(reply: Reply) -> tuple[Known, ...]:
    """Return the labelled sentences of a reply."""
    return tuple(Known(sentence.text, sentence.rule, sentence.good) for sentence in reply if sentence.rule)


def wording_of(rule: Rule, rng: random.Random) -> str:
    """Draw a wording of a rule from those for training."""
    if rng.random() < OWN_WORDING:
        return rule.wordings[0]
    wording = rng.choice(side_of(rule.wordings, "train"))
    return with_slips(wording, rng) if rng.random() < WORDING_SLIPS else wording


def with_slips(text: str, rng: random.Random) -> str:
    """Return the text with one word missing or repeated."""
    words = text.split(" ")
    place = rng.randrange(len(words))
    return " ".join(words[:place] + [words[place]] * rng.choice((0, 2)) + words[place + 1 :])
