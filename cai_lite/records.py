"""The frozen rows that flow through the walk, and nothing that acts.

Every row has a `key`: a digest of all that decided it. `parents` holds the keys of the rows it was made from, so that
any pair can be walked back to its prompt and its principle.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Violated = Literal["yes", "no", "unreadable"]
Choice = Literal["first", "second", "tie", "abstain", "unreadable", "refused", "failed"]
Outcome = Literal["ok", "cut", "empty", "refused", "failed"]


def digest(*parts: Any) -> str:
    """24 hexadecimal digits over the canonical JSON of `parts`: the same parts give the same key on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def drawn_key(weight: float, *parts: Any) -> float:
    """What a weighted draw without putting back is ordered by: the greatest are taken. It hangs on `parts` alone.

    Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir", keys u^(1/w); log(u) / w orders
    as they do without running out of digits.
    """
    u = (int(digest(*parts)[:13], 16) + 0.5) / 16**13
    return math.log(u) / weight


class Message(NamedTuple):
    """One turn of a conversation. `role`: "system", "user" or "assistant"."""

    role: str
    content: str


Messages = tuple[Message, ...]


def messages_of(rows: Iterable[Mapping[str, Any]]) -> Messages:
    """`[{"role", "content"}, ...]`, as files and chat templates have it, to `Messages`."""
    return tuple(Message(str(row["role"]), str(row["content"])) for row in rows)


def dicts_of(messages: Messages) -> list[dict[str, str]]:
    """`Messages` to `[{"role", "content"}, ...]`, as files and chat templates have it."""
    return [message._asdict() for message in messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation that waits for the assistant's answer.

    `family` names its template or near-duplicate cluster: a family is never on both sides of the split.
    """

    key: str
    messages: Messages
    family: str
    tags: tuple[str, ...] = ()
    split: Literal["train", "held_out"] = "train"

    @property
    def text(self) -> str:
        """The last user turn."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a reply is drawn. `temperature` 0 is greedy; `max_tokens` counts the reply; another `seed`, other noise."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0

    @property
    def settings(self) -> tuple[float | int, ...]:
        """What decides the answer; a greedy one knows no seed."""
        return (self.temperature, self.top_p, self.max_tokens, self.seed if self.temperature > 0 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a model.

    `options`: where given, the log-probabilities of these words as the first word of the reply are wanted.
    `index`: which of several samples of the same request this is.
    """

    messages: Messages
    sampling: Sampling
    options: tuple[str, ...] = ()
    index: int = 0

    def key(self, model_digest: str) -> str:
        """What decides the answer: the rendered request, the model, the settings and the sample's index."""
        return digest("call", model_digest, dicts_of(self.messages), self.sampling.settings, self.options, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back of one call, faults included.

    `outcome`: "ok"; "cut" (by the token limit); "empty"; "refused" (by the server's filter); "failed" (after all
    retries).
    `fault`: the kind of fault, in words, where the outcome is not "ok".
    `log_probs`: natural logarithms for the request's `options`, or None where the model gives none.
    """

    text: str
    outcome: Outcome = "ok"
    fault: str = ""
    log_probs: Mapping[str, float] | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    attempts: int = 1
    seconds: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A possible answer to a prompt: a draft (`round` 0) or a revision (`round` 1, 2, ...). `author`: the model's
    name.
    """

    key: str
    prompt: Prompt
    text: str
    author: str
    round: int = 0
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """What the teacher says of one candidate under one principle."""

    key: str
    candidate: Candidate
    principle: str
    text: str
    violated: Violated

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.candidate.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Pointwise judging. `log_odds`: nats by which "keeps the principle" is likelier than "breaks it"; None if
    unreadable.
    """

    key: str
    candidate: Candidate
    principle: str
    log_odds: float | None
    outcome: Literal["read", "unreadable", "refused", "failed"] = "read"
    text: str = ""

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.candidate.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which of two candidates keeps a principle better.

    `p_first`: probability (0 to 1) that `first` is better, over both orders; None where `choice` is a fault.
    `order`: "both" (pairwise, asked in both orders), "none" (pointwise: there is no order).
    `flipped`: the choice changed with the order. `weight`: the principle's, times the judge's. `rule`: the pairing rule
    that compared them. `reasoned`: the judge thought aloud first. `quotes`: of its reason, those that a reply holds.
    """

    key: str
    first: Candidate
    second: Candidate
    principle: str
    choice: Choice
    p_first: float | None
    order: Literal["both", "none"]
    judge: str
    rule: str
    weight: float = 1.0
    flipped: bool = False
    text: str = ""
    reasoned: bool = False
    quotes: tuple[str, ...] = ()

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.first.key, self.second.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """One row of `pairs.jsonl`.

    `p_chosen`: probability (0.5 to 1) that `chosen` is the better one, the soft label of the loss.
    `margin`: |p - 0.5| before clamping, a probability from 0 to 0.5.
    """

    prompt: Messages
    chosen: Messages
    rejected: Messages
    key: str = ""
    principle: str = ""
    p_chosen: float = 1.0
    margin: float = 0.5
    rule: str = ""
    family: str = ""
    parents: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


def distinct(rows: Sequence[Any]) -> list[Any]:
    """The rows in order, each key once."""
    return list({row.key: row for row in rows}.values())
