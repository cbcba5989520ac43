"""The immutable records that are passed between stages: prompts, replies, verdicts, preference pairs.

Every record has a `key`, a digest of everything that determined it. `parents` holds the keys of the records it was made
from, so that any pair can be traced back to its prompt and principle.
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
    """Return 24 hexadecimal digits of the SHA-256 of `parts` as canonical JSON; equal on every machine."""
    return hashlib.sha256(_canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def digest_of_list(items: Iterable[Any], *, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> str:
    """Return `digest(*before, list(items), *after)` with one item in memory."""
    found = hashlib.sha256(b"[")

    def add(parts: Iterable[Any]) -> None:
        for place, part in enumerate(parts):
            found.update((("," if place else "") + _canonical(part)).encode("utf-8", "surrogatepass"))

    add(before)
    found.update(b",[" if before else b"[")
    add(items)
    found.update(b"]," if after else b"]")
    add(after)
    found.update(b"]")
    return found.hexdigest()[:24]


def _canonical(part: Any) -> str:
    return json.dumps(part, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def sampling_key(weight: float, *parts: Any) -> float:
    """Return the sort key for weighted sampling without replacement; the items with the largest keys are drawn.

    The random number u comes from the digest of `parts` alone, so the key of an item never depends on the other items.
    The key is log(u) / weight, which sorts like u^(1/weight) and cannot underflow.

    Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir".
    """
    u = (int(digest(*parts)[:13], 16) + 0.5) / 16**13
    return math.log(u) / weight


class Message(NamedTuple):
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


Messages = tuple[Message, ...]


def messages_of(rows: Iterable[Mapping[str, Any]]) -> Messages:
    """Convert `[{"role": ..., "content": ...}, ...]`, the form of files and chat templates, to `Messages`."""
    return tuple(Message(str(row["role"]), str(row["content"])) for row in rows)


def dicts_of(messages: Messages) -> list[dict[str, str]]:
    """Convert `Messages` to `[{"role": ..., "content": ...}, ...]`, the form of files and chat templates."""
    return [message._asdict() for message in messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation that ends before the assistant's answer.

    `family` names its template or near-duplicate cluster; all prompts of a family are in the same split.
    """

    key: str
    messages: Messages
    family: str
    tags: tuple[str, ...] = ()
    split: Literal["train", "held_out"] = "train"

    @property
    def text(self) -> str:
        """Return the last user turn."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling settings of a reply.

    `temperature` 0 is greedy decoding. `max_tokens` limits the reply, without the prompt. Another `seed` draws other
    replies; greedy decoding ignores it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0

    @property
    def settings(self) -> tuple[float | int, ...]:
        """Return the settings that determine the answer; for greedy decoding the seed is 0."""
        return (self.temperature, self.top_p, self.max_tokens, self.seed if self.temperature > 0 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a model.

    `options`: words whose log-probabilities as the first word of the reply are requested; may be empty.
    `index`: the number of this sample among several samples of the same request, from 0.
    """

    messages: Messages
    sampling: Sampling
    options: tuple[str, ...] = ()
    index: int = 0

    def key(self, model_digest: str) -> str:
        """Return the digest of all that determines the answer: messages, model, settings, options and sample index."""
        return digest("call", model_digest, dicts_of(self.messages), self.sampling.settings, self.options, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The result of one call, whether it succeeded or failed.

    `outcome`: "ok", "cut" (at the token limit), "empty", "refused" (by the server's content filter) or "failed" (after
    all retries).
    `fault`: a description of the failure if the outcome is not "ok".
    `log_probs`: log-probabilities of the request's `options`, in nats, or None if the model returns none.
    `tokens_in`, `tokens_out`: tokens of prompt and reply. `seconds`: duration with all `attempts`. `cost`: in the
    currency of the model's prices. `estimated`: the server did not count its tokens; this is not stored.
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
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A possible answer to a prompt: a draft (`round` 0) or a revision (`round` 1, 2, ...).

    `author` is the name of the model that wrote it; `principle` the id of the one that a revision is to mend.
    """

    key: str
    prompt: Prompt
    text: str
    author: str
    round: int = 0
    parents: tuple[str, ...] = ()
    principle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """A critique of one candidate under one principle; `violated` says whether it breaks the principle.

    `author` is the name of the model that wrote it, the teacher unless the run has critics.
    """

    key: str
    candidate: Candidate
    principle: str
    text: str
    violated: Violated
    author: str = ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the key of the candidate."""
        return (self.candidate.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A pointwise judgement: how likely it is that one candidate follows a principle.

    `log_odds`: log-odds of "follows the principle" against "violates it", in nats; None if the reply could not be read.
    """

    key: str
    candidate: Candidate
    principle: str
    log_odds: float | None
    outcome: Literal["read", "unreadable", "refused", "failed"] = "read"
    text: str = ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the key of the candidate."""
        return (self.candidate.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judge's decision on which of two candidates keeps a principle better.

    `p_first`: probability (0 to 1) that `first` is better, averaged over both orders; None if `choice` is a fault.
    `order`: "both" (pairwise, asked in both orders) or "none" (pointwise, which has no order).
    `rule`: the pairing rule that compared the two candidates.
    `weight`: the weight of the principle times the weight of the judge.
    `flipped`: the choice changed with the order.
    `reasoned`: the judge wrote its reasons before the verdict.
    `quotes`: the quotations in its reasons that occur in one of the replies.
    `over`: ids of the principles that a decided conflict puts behind this one; `over_if`: those that a conflict with a
    condition in words (`when`) does.
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
    over: tuple[str, ...] = ()
    over_if: tuple[str, ...] = ()

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the keys of both candidates."""
        return (self.first.key, self.second.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """One preference pair, a line of `pairs.jsonl`.

    `p_chosen`: probability (0.5 to 1) that `chosen` is better; the soft label of the loss.
    `margin`: |p - 0.5| before clamping, 0 to 0.5.
    `principle`, `rule`, `family`: the principle judged, the pairing rule, the family of the prompt.
    `evidence`: details of the verdicts behind the pair.
    `weight`: factor of the pair's loss, above 0; a line has the field only where it is not 1.
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
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An answer to learn from by supervised training: the loss is on `completion`, `prompt` is only read.

    `family`: the family of the prompt; `key`: of the row it was made from, if there is one.
    """

    prompt: Messages
    completion: Messages
    key: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Completions of one prompt in the order of preference, which may be partial.

    `completions`: K of them, none behind one that it is preferred to.
    `preferences`: K rows of K numbers: the probability, above 0.5 to 1, that completion j is better than l where j is
    preferred to l; 0 elsewhere.
    `family`: the family of the prompt.
    """

    prompt: Messages
    completions: tuple[Messages, ...]
    preferences: tuple[tuple[float, ...], ...]
    family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a preference model learns from: two answers to a prompt, or one, and how good the first is.

    `p`: probability, 0 to 1, that the first answer is better than the second; of a single one, that it keeps the
    principle. `principle`, `text`: id and text of the principle that was judged; without a text, the model does not
    read it. `family`: the family of the prompt. `weight`: factor of the loss.
    """

    prompt: Messages
    completions: tuple[Messages, ...]
    p: float
    principle: str = ""
    text: str = ""
    key: str = ""
    family: str = ""
    weight: float = 1.0


def distinct(rows: Sequence[Any]) -> list[Any]:
    """Return the rows without those that repeat a key, in order of first occurrence."""
    return list({row.key: row for row in rows}.values())
