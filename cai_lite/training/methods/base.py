"""What the loop asks of a training method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from cai_lite.records import digest

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns
    from cai_lite.training.losses import Logps
    from cai_lite.training.source import Asked, Source
    from cai_lite.training.tokens import Row, TokenReport
    from cai_lite.training.update import Objective


class Measured(NamedTuple):
    """Held-out examples under the trained model: the examples, the rows of those that were kept, and their values."""

    examples: Sequence[Any]
    rows: Sequence[Row]
    values: Logps


class Method(Protocol):
    """What the loop asks of a training method. Only `rows` and `loss` have to be written.

    Shapes: B rows of a pass, K completions of a row.

    `unread`: settings of `TrainingConfig` that mean nothing to the method; whoever sets one of them is told so.
    `on_pairs`: whether a recipe gives it the run's pairs; if not, `on` has to name what it learns.
    `reads`: what the loop computes of each completion: its log-probability, that of each of its tokens (`loss` then
    gets `losses.TokenLogps`), or the score of a head that is trained with the adapter.
    `calibrates`: whether `beside` needs held-out examples, which are then split off as for evaluations.
    `trains_student`: whether the adapter is the student's, from which the next phase goes on.
    `on_policy`: whether it learns from samples of its own to the run's prompts, so that `on` names nothing.
    `held_out_families`: number of prompt families that its evaluations need, where a tenth of the data has fewer.
    """

    unread: tuple[str, ...] = ()
    on_pairs: bool = True
    reads: Literal["logps", "token_logps", "score"] = "logps"
    calibrates: bool = False
    trains_student: bool = True
    on_policy: bool = False
    held_out_families: int = 0

    @abstractmethod
    def rows(self, turns: Turns, data: Sequence[Any], config: Any, *, max_tokens: int) -> tuple[list[Row], TokenReport]:
        """Return the rows to train on, and what became of the data; see `tokens.tokenize_examples`.

        `turns`: the student's tokenizer with the settings of its chat template; `turns.tokenizer` is the tokenizer.
        `max_tokens`: limit of prompt and completion together: the setting, or the model's context where that is less.
        """

    @abstractmethod
    def loss(
        self,
        policy: Logps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss of each row of a pass, shape [B], and numbers to report, each of shape [B].

        The losses of all rows of an update add up to the loss of the update, so a mean over rows is divided by
        `len(update)` here, and a mean over tokens by the tokens of `update`, which holds the rows of all passes. The
        loop multiplies each loss by the weight of its row, and writes the mean of each number over the update.
        `reference` is None where `needs_reference` is false.
        """

    def needs_reference(self, config: Any) -> bool:
        """Return whether `loss` uses the log-probabilities of the reference; if not, none are computed."""
        return False

    def source(self, objective: Objective, asked: Asked) -> Source:
        """Return where the updates take their rows from: those of `objective`, or others that are made of them."""
        from cai_lite.training.source import Fixed  # which imports torch

        return Fixed(objective)

    def given(self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None) -> Sequence[Any]:
        """Return the examples that `rows` takes, from whatever people have: a path, a data set, a list.

        `aside`: a file for examples that are too many for memory.

        Raises:
            InputError: they cannot be made of it.
        """
        return list(data)

    def data_digest(self, data: Sequence[Any]) -> str:
        """Return a digest of all of the data that decides the result; another digest starts the training anew."""
        return digest(list(data))

    def family(self, example: Any) -> str:
        """Return the name of the prompt family of an example; a family is on one side of the split for evaluation."""
        return digest(example)

    def beside(
        self, data: Sequence[Any], measured: Measured | None, config: Any, log: Callable[[str], None]
    ) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """Return files to write into the folder of the adapter, text by name, and figures for training.json.

        It is called once, after the last update. `measured`: None where nothing was held out.
        """
        return {}, {}

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the numbers of all updates say that nothing was learnt, else None."""
        return None

    def checks(self, first: Mapping[str, float], config: Any) -> None:
        """Check that policy and reference agree before the first step, since both are the same model then.

        Raises:
            TrainingError: the numbers of the first update show that they differ.
        """
        return

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Warn of what is wrong with the rows; return the function that looks at the numbers of each update."""
        return lambda line: None
