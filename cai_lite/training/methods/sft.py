"""Supervised training on demonstrations: one completion a row, no reference.

The loss of an update is the mean negative log-likelihood of its completion tokens, end tokens included, in nats; every
token weighs the same, whatever the length of its answer. Prompts carry no loss. Of several answers to a prompt the
shared layout reads the prompt once.

Source: Bai et al. 2022, arXiv:2212.08073, section 3.1 (supervised learning on revisions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.errors import InputError
from cai_lite.inputs.demonstrations import as_demonstrations
from cai_lite.inputs.pairs import as_pairs
from cai_lite.records import Demonstration, PreferencePair, digest
from cai_lite.training.alarms import unmoved, warn_of_boilerplate
from cai_lite.training.losses import Logps
from cai_lite.training.methods.base import Method
from cai_lite.training.tokens import Example, Row, TokenReport, tokenize_examples

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns

CHOSEN = "chosen"  # what `on` may name where the data are given from Python: pairs, of which one side is learnt


class Supervised(Method):
    """The training method "sft"; see `methods.Method` for its members."""

    unread = ("loss", "sft_weight", "reference", "principle_weights", "input", "rl")
    on_pairs = False

    def given(
        self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None
    ) -> Sequence[Demonstration]:
        """Return the demonstrations of whatever people have; with `on: chosen`, of pairs. Raises InputError."""
        if config.include_critique:
            raise InputError("'include_critique' is for recipes, whose runs know the critiques; put them into the rows")
        if config.on == CHOSEN:
            return chosen_of(as_pairs(data, aside))
        if config.on is not None:
            raise InputError(
                f"'on': '{config.on}' is for recipes; here the rows to train on are given, so leave it out, or give "
                "pairs and 'on': 'chosen'"
            )
        return as_demonstrations(data)

    def rows(
        self, turns: Turns, data: Sequence[Demonstration], config: Any, *, max_tokens: int
    ) -> tuple[list[Row], TokenReport]:
        """Return the demonstrations as rows of one completion."""
        examples = [Example(row.prompt, (row.completion,)) for row in data]
        return tokenize_examples(
            turns, examples, max_tokens=max_tokens, overlong=config.overlong, unit="demonstrations"
        )

    def data_digest(self, data: Sequence[Demonstration]) -> str:
        """Return a digest of the texts; where a demonstration came from does not count."""
        return digest([digest(row.prompt, row.completion) for row in data])

    def loss(
        self,
        policy: Logps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return each row's share of the mean loss of a token of the update."""
        tokens = sum(len(row.completions[0]) for row in update)
        sums_B = policy.sums_BK[:, 0]
        return -sums_B / tokens, {"logps/completion": sums_B.detach()}

    def family(self, example: Demonstration) -> str:
        """Return the family of the prompt, or a digest of the prompt where none is named."""
        return example.family or digest(example.prompt)

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the loss has not fallen."""
        return unmoved(lines, config)

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Warn of a completion that answers many prompts."""
        warn_of_boilerplate(rows, log)
        return lambda line: None


def chosen_of(pairs: Sequence[PreferencePair]) -> list[Demonstration]:
    """Return the chosen side of each pair as a demonstration, each answer to a prompt once."""
    found = {
        (pair.prompt, pair.chosen): Demonstration(
            prompt=pair.prompt, completion=pair.chosen, key=pair.key, family=pair.family
        )
        for pair in reversed(pairs)
    }
    return list(found.values())[::-1]
