"""Pairs to token ids, once. The completion is never cut; what is cut, dropped or mended is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Literal

from cai_lite.chat.rendering import characters, holds_control, token_ids
from cai_lite.errors import ModelError, PairError
from cai_lite.records import Messages, PreferencePair


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """One pair in token ids. Both completions end with the end token, which is scored like any other."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    p_chosen: float

    @property
    def tokens(self) -> int:
        """Of both rows, the prompt counted in each."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """What became of the pairs. `dropped`: reason to number. `lengths`: 5th, 50th and 95th percentile of a row, in
    tokens.
    """

    pairs: int
    kept: int
    cut: int
    boundary_mends: int
    dropped: dict[str, int]
    lengths: tuple[int, int, int]

    def __str__(self) -> str:
        dropped = "".join(f", {n} dropped ({why})" for why, n in self.dropped.items())
        mends = f", {self.boundary_mends} with a mended prompt boundary" if self.boundary_mends else ""
        low, middle, high = self.lengths
        return (
            f"{self.pairs} pairs: {self.kept} kept, {self.cut} of them with a cut prompt{mends}{dropped}; "
            f"tokens a row: {low} / {middle} / {high} (5 / 50 / 95 %)"
        )


def tokenize(
    tokenizer: Any, pairs: Sequence[PreferencePair], *, max_tokens: int, overlong: Literal["drop", "cut_prompt"]
) -> tuple[list[TokenPair], TokenReport]:
    """Token ids of every pair that can be kept, in order, and what became of the others.

    Raises:
        PairError: nothing is left to train on. ModelError: the tokenizer has no end token, or no chat template.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError("the model's tokenizer has no end token, so no answer could be taught to end")
    kept, dropped, cut, mends = [], Counter[str](), 0, 0
    for pair in pairs:
        whole, mended = _pair(tokenizer, pair, pair.prompt)
        fitted = whole if _fits(whole, max_tokens) else None
        if fitted is None and overlong == "cut_prompt":
            fitted = _cut(tokenizer, pair, whole, max_tokens)
        if fitted is None:
            dropped["longer than max_tokens"] += 1
        elif fitted.chosen_ids == fitted.rejected_ids:
            dropped["equal completions"] += 1
        elif not fitted.prompt_ids:
            dropped["no prompt before the first token"] += 1
        else:
            kept.append(fitted)
            cut += fitted.prompt_ids != whole.prompt_ids
            mends += mended
    if not kept:
        why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "there are none"
        raise PairError(f"no pair is left to train on: {why} (max_tokens {max_tokens}, overlong {overlong})")
    rows = [len(p.prompt_ids) + len(c) for p in kept for c in (p.chosen_ids, p.rejected_ids)]
    cuts = quantiles(rows, n=20, method="inclusive")
    return kept, TokenReport(
        pairs=len(pairs),
        kept=len(kept),
        cut=cut,
        boundary_mends=mends,
        dropped=dict(dropped),
        lengths=(round(cuts[0]), round(cuts[9]), round(cuts[18])),
    )


def _pair(tokenizer: Any, pair: PreferencePair, prompt: Messages) -> tuple[TokenPair, bool]:
    """The pair, and whether its prompt boundary had to be moved."""
    prompt_ids, chosen, rejected = _ids(tokenizer, prompt, pair.chosen, pair.rejected)
    # Where a template or a merge crosses the boundary, both completions begin at the longest prefix common to all
    # three.
    common = min(_common(prompt_ids, chosen), _common(prompt_ids, rejected))
    made = TokenPair(
        prompt_ids=_shared(prompt_ids[:common]),
        chosen_ids=_ended(tokenizer, chosen[common:]),
        rejected_ids=_ended(tokenizer, rejected[common:]),
        p_chosen=pair.p_chosen,
    )
    return made, common < len(prompt_ids)


def _ids(
    tokenizer: Any, prompt: Messages, chosen: Messages, rejected: Messages
) -> tuple[list[int], list[int], list[int]]:
    """Prompt, prompt + chosen, prompt + rejected. A message without a role is raw text: no template is put around
    it.
    """
    if chosen[0].role == "":
        text = "".join(message.content for message in prompt)
        texts = [characters(text + more) for more in ("", chosen[0].content, rejected[0].content)]
        one, two, three = (list(ids) for ids in tokenizer(texts, verbose=False)["input_ids"])
        return one, two, three
    apart = holds_control(tokenizer, prompt + chosen + rejected)
    return (
        token_ids(tokenizer, prompt, add_generation_prompt=True, apart=apart),
        token_ids(tokenizer, prompt + chosen, add_generation_prompt=False, apart=apart),
        token_ids(tokenizer, prompt + rejected, add_generation_prompt=False, apart=apart),
    )


def _ended(tokenizer: Any, ids: list[int]) -> tuple[int, ...]:
    """The completion up to its end token. Blanks that a template writes after it are no part of the answer."""
    end = tokenizer.eos_token_id
    for place in range(len(ids) - 1, max(len(ids) - 3, -1), -1):
        if ids[place] == end:
            return _shared(ids[: place + 1])
    return _shared([*ids, end])


def _shared(ids: list[int]) -> tuple[int, ...]:
    """The same ids, of which each number is one object in all pairs: 8 bytes a token in place of 36."""
    return tuple(_NUMBERS.setdefault(i, i) for i in ids)


_NUMBERS: dict[int, int] = {}  # grows to the size of the vocabulary


def _cut(tokenizer: Any, pair: PreferencePair, whole: TokenPair, max_tokens: int) -> TokenPair | None:
    """The pair with its oldest turns left out; never the system message, the last question or a completion."""
    if pair.chosen[0].role == "":
        room = max_tokens - max(len(whole.chosen_ids), len(whole.rejected_ids))
        first = 1 if whole.prompt_ids[:1] == (tokenizer.bos_token_id,) else 0
        if room <= first:
            return None
        shorter = whole.prompt_ids[:first] + whole.prompt_ids[len(whole.prompt_ids) - (room - first) :]
        return TokenPair(
            prompt_ids=shorter, chosen_ids=whole.chosen_ids, rejected_ids=whole.rejected_ids, p_chosen=whole.p_chosen
        )
    system = pair.prompt[:1] if pair.prompt[0].role == "system" else ()
    turns = pair.prompt[len(system) :]
    for start in range(1, len(turns)):
        if turns[start].role != "user":  # templates want the first turn to be the user's
            continue
        shorter_pair, _ = _pair(tokenizer, pair, system + turns[start:])
        if _fits(shorter_pair, max_tokens):
            return shorter_pair
    return None


def _fits(pair: TokenPair, max_tokens: int) -> bool:
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) <= max_tokens


def _common(one: list[int], other: list[int]) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
