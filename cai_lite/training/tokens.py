"""Convert examples to token ids. Completions are never cut; what is cut, dropped or mended is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from cai_lite.chat.completions import characters
from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.chat.turns import Turns
from cai_lite.errors import PairError
from cai_lite.records import Messages, PreferencePair

Ids = tuple[int, ...]


class Example(NamedTuple):
    """What a row is made of: a prompt with one completion or several, and the numbers that a row carries."""

    prompt: Messages
    completions: tuple[Messages, ...]
    p_chosen: float = 1.0
    weight: float = 1.0
    key: str = ""
    preferences: tuple[tuple[float, ...], ...] = ()


class Sampled(NamedTuple):
    """What is known of the K completions of a row that the policy itself has drawn.

    `rewards`: as they were given, NaN where there is none. `penalties`: for form, taken off them. `old`, `reference`:
    log-probabilities of the tokens under the policy that drew them and under the reference, in nats. `old` is None
    where a single update is made of these samples: the policy is the one that drew them. `ended`: whether a completion
    reached an end token. `kl_weight`: of the penalty when these were drawn.
    """

    rewards: tuple[float, ...]
    penalties: tuple[float, ...]
    old: tuple[tuple[float, ...], ...] | None
    reference: tuple[tuple[float, ...], ...]
    ended: tuple[bool, ...]
    kl_weight: float


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with K completions, in token ids. Every completion ends with a stop token, which is scored.

    `p_chosen`: probability that the first completion is the better one of a pair. `weight`: factor of the row's loss.
    `key`: name of the example in messages, if it has one.
    `preferences`: of a ranking, as `Ranking` has them. `sampled`: of completions that the policy has drawn, of which
    those that were cut have no stop token.
    """

    prompt_ids: Ids
    completions: tuple[Ids, ...]
    p_chosen: float = 1.0
    weight: float = 1.0
    key: str = field(default="", compare=False)
    preferences: tuple[tuple[float, ...], ...] = ()
    sampled: Sampled | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all completions, each with the prompt."""
        return sum(len(self.prompt_ids) + len(ids) for ids in self.completions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """What became of the examples.

    `pairs`: number given; `kept`, `cut` (kept with a shortened prompt): numbers of them. `dropped`: number by reason.
    `boundary_mends`: kept examples whose prompt boundary was moved. `lengths`: 5th, 50th and 95th percentile of prompt
    and completion together, in tokens. `unit`: what the examples are called.
    """

    pairs: int
    kept: int
    cut: int
    boundary_mends: int
    dropped: dict[str, int]
    lengths: tuple[int, int, int]
    unit: str = "pairs"

    def __str__(self) -> str:
        dropped = "".join(f", {n} dropped ({why})" for why, n in self.dropped.items())
        mends = f", {self.boundary_mends} with a mended prompt boundary" if self.boundary_mends else ""
        low, middle, high = self.lengths
        return (
            f"{self.pairs} {self.unit}: {self.kept} kept, {self.cut} of them with a cut prompt{mends}{dropped}; "
            f"tokens a row: {low} / {middle} / {high} (5 / 50 / 95 %)"
        )


class NothingKept(PairError):
    """Every example was dropped. `dropped`: their number by reason; the others are what the message says."""

    def __init__(self, dropped: Mapping[str, int], examples: int, unit: str, max_tokens: int, overlong: str) -> None:
        why = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        found = f"all {examples} were dropped: {why}" if why else "none were given"
        super().__init__(f"no {unit} to train on: {found} (max_tokens {max_tokens}, overlong {overlong})")
        self.dropped, self.unit, self.limits = dict(dropped), unit, (max_tokens, overlong)


def refused(error: TemplateRefusal) -> str:
    """Return the reason under which an example is counted that the chat template refuses."""
    return f"refused by the chat template: {error.why}"


def percentiles(lengths: Sequence[int]) -> tuple[int, int, int]:
    """Return the 5th, 50th and 95th percentile, interpolated as `statistics.quantiles` does with "inclusive"."""
    import numpy as np

    ordered, found = np.sort(np.asarray(lengths)), []
    for twentieth in (1, 10, 19):
        place, rest = divmod(twentieth * (len(ordered) - 1), 20)
        below, above = int(ordered[place]), int(ordered[min(place + 1, len(ordered) - 1)])
        found.append(round((below * (20 - rest) + above * rest) / 20))
    return found[0], found[1], found[2]


def tokenize(
    tokenizer: Any, pairs: Sequence[PreferencePair], *, max_tokens: int, overlong: Literal["drop", "cut_prompt"]
) -> tuple[list[Row], TokenReport]:
    """Return a row for every pair that can be kept, in order, chosen first, and what became of the others.

    `tokenizer`: the student's, or its `Turns` with the settings of its chat template.

    Raises:
        PairError: no pair is left. ModelError: the tokenizer has no end token or no chat template, or its template
        refuses every prompt or leaves a thought open.
    """
    examples = [Example(p.prompt, (p.chosen, p.rejected), p.p_chosen, p.weight, p.key) for p in pairs]
    return tokenize_examples(tokenizer, examples, max_tokens=max_tokens, overlong=overlong, unit="pairs")


def tokenize_examples(
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    max_tokens: int,
    overlong: Literal["drop", "cut_prompt"],
    unit: str = "examples",
) -> tuple[list[Row], TokenReport]:
    """Return a row for every example that can be kept, in order, and what became of the others.

    `tokenizer`: the student's, or its `Turns`. `unit`: what the examples are called in messages.

    Raises:
        PairError: no example is left. ModelError: the tokenizer has no end token or no chat template, or its template
        refuses every prompt or leaves a thought open.
    """
    turns = Turns.of(tokenizer)
    kept, dropped, cut, mends = [], Counter[str](), 0, 0
    refusal: TemplateRefusal | None = None
    for example in examples:
        try:
            whole, mended = _row(turns, example, example.prompt)
            fitted = whole if _fits(whole, max_tokens) else None
            if fitted is None and overlong == "cut_prompt":
                fitted = _cut(turns, example, whole, max_tokens)
        except TemplateRefusal as error:
            refusal = error
            dropped[refused(error)] += 1
            continue
        if fitted is None:
            dropped["longer than max_tokens"] += 1
        elif len(set(fitted.completions)) < len(fitted.completions):
            dropped["equal completions"] += 1
        elif not fitted.prompt_ids:
            dropped["no prompt before the first token"] += 1
        else:
            kept.append(fitted)
            cut += fitted.prompt_ids != whole.prompt_ids
            mends += mended
    if not kept:
        if refusal is not None and len(dropped) == 1:
            raise refusal
        raise NothingKept(dropped, len(examples), unit, max_tokens, overlong)
    return kept, TokenReport(
        pairs=len(examples),
        kept=len(kept),
        cut=cut,
        boundary_mends=mends,
        dropped=dict(dropped),
        lengths=percentiles([len(row.prompt_ids) + len(ids) for row in kept for ids in row.completions]),
        unit=unit,
    )


def _row(turns: Turns, example: Example, prompt: Messages) -> tuple[Row, bool]:
    """Return the row of an example, with `prompt` for its own, and whether the prompt boundary had to be moved.

    A message without a role is raw text, around which no template is put.
    """
    if example.completions[0][0].role != "":
        prompt_ids, completions, mended = turns.split(prompt, example.completions)
    else:
        text = "".join(message.content for message in prompt)
        texts = [characters(text + more) for more in ("", *(each[0].content for each in example.completions))]
        prompt_ids, *whole = [list(ids) for ids in turns.tokenizer(texts, verbose=False)["input_ids"]]
        # Where a token reaches over the boundary, all completions begin at the longest prefix common to all.
        common = min(_common(prompt_ids, ids) for ids in whole)
        completions = [_ended(turns, ids[common:]) for ids in whole]
        prompt_ids, mended = prompt_ids[:common], common < len(prompt_ids)
    row = Row(_shared(prompt_ids), tuple(map(_shared, completions)), example.p_chosen, example.weight, example.key)
    return (replace(row, preferences=example.preferences) if example.preferences else row), mended


def _ended(turns: Turns, ids: list[int]) -> list[int]:
    """Return raw text with an end token, which some tokenizers add themselves."""
    return ids if ids[-1:] == [turns.end] else [*ids, turns.end]


def _shared(ids: list[int]) -> tuple[int, ...]:
    """Return the same ids, each number one object in all rows: 8 bytes a token in place of 36."""
    return tuple(_NUMBERS.setdefault(i, i) for i in ids)


_NUMBERS: dict[int, int] = {}  # grows to the size of the vocabulary


def _cut(turns: Turns, example: Example, whole: Row, max_tokens: int) -> Row | None:
    """Return the row with its oldest turns left out; never the system message, the last question or a completion."""
    if example.completions[0][0].role == "":
        room = max_tokens - max(map(len, whole.completions))
        first = 1 if whole.prompt_ids[:1] == (turns.tokenizer.bos_token_id,) else 0
        if room <= first:
            return None
        shorter = whole.prompt_ids[:first] + whole.prompt_ids[len(whole.prompt_ids) - (room - first) :]
        return replace(whole, prompt_ids=shorter)
    system = example.prompt[:1] if example.prompt[0].role == "system" else ()
    rest = example.prompt[len(system) :]
    for start in range(1, len(rest)):
        if rest[start].role != "user":  # templates want the first turn to be the user's
            continue
        row, _ = _row(turns, example, system + rest[start:])
        if _fits(row, max_tokens):
            return row
    return None


def _fits(row: Row, max_tokens: int) -> bool:
    return len(row.prompt_ids) + max(map(len, row.completions)) <= max_tokens


def _common(one: list[int], other: list[int]) -> int:
    """Return the length of the longest common prefix."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
