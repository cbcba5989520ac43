"""Find the training examples that taught an answer, by the gradients of the adapter.

An example has influence on an answer as far as a step on its loss lowers the loss of the answer: the dot product of
both gradients, added up over states that the adapter had in the training. Those that every training leaves are its
beginning, which the seed draws anew, and its end. The loss of an example is the training's own, of one row at a time;
that of the answer is its mean negative log-likelihood per token.

Source: Pruthi et al. 2020, arXiv:2002.08484 (TracIn), eq. 1 and section 3.3; Xia et al. 2024, arXiv:2402.04333
(cosines, so that short answers, whose gradients are large, do not come first whatever is asked).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import adapter_folder, random_state_kept
from cai_lite.errors import ModelError, PairError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.records import Demonstration
from cai_lite.run.progress import Tick
from cai_lite.training.batch import Passes
from cai_lite.training.checks import choose_layout
from cai_lite.training.config import TrainingConfig
from cai_lite.training.losses import Logps
from cai_lite.training.methods import METHODS
from cai_lite.training.reference import reference_logps
from cai_lite.training.student import Student, lora_parameters, open_student
from cai_lite.training.tokens import Row
from cai_lite.training.update import Objective

BEGINNING, END = "beginning", "end"


class Influence(NamedTuple):
    """The influence of one training example on an answer.

    `example`: its index among those given. `cosine`: mean over the states of the adapter, -1 to 1. `dot`: their sum;
    its unit is that of a squared gradient.
    """

    example: int
    cosine: float
    dot: float


def influences(
    student: Student,
    answer: Demonstration,
    examples: Sequence[Any],
    *,
    config: TrainingConfig,
    adapter: Path,
    before: Path | None = None,
    states: Sequence[str] = (BEGINNING, END),
    progress: Tick | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> list[Influence]:
    """Return the influence of each example that the training could read, the highest cosine first.

    `answer`: to its prompt. `examples`: of the training, as its method takes them. `config`: the training's settings;
    `adapter`: what it ended with; `before`: the adapter that it began from, None for one drawn by its seed. `states`:
    in which the gradients are compared, of "beginning" and "end". One gradient of the adapter is held in memory beside
    that of the pass. torch's random state is left as it was.

    Raises:
        ModelError: the student or an adapter cannot be opened. PairError: the answer is longer than `max_tokens`.
        TrainingError: memory runs out with a single row.
    """
    begin = str(before) if before is not None else config.init_adapter
    config = replace(config, init_adapter=begin, gradient_accumulation=1)
    with random_state_kept():
        model, tokenizer = open_student(
            student.model, load=student.load, lora=config.lora, init_adapter=begin, seed=config.seed
        )
        _without_dropout(model)
        fuse(model)
        turns = Turns.of_model(model, tokenizer, template=student.template, system=student.system)
        asked = TrainingConfig(method="sft")
        answers, _ = METHODS["sft"].rows(turns, [answer], asked, max_tokens=config.max_tokens)
        rows, places = _rows(turns, examples, config)
        if not rows:
            return []
        layout = choose_layout(model, [*rows, *answers], config, tokenizer.pad_token_id, log)
        passes = Passes(layout, config.tokens_per_batch, tokenizer.pad_token_id, METHODS[config.method].reads)
        with attention_of(model, layout):
            taught = Objective(model, rows, _reference(model, rows, passes, config), config, passes)
            question = Objective(model, answers, None, asked, replace(passes, reads=METHODS["sft"].reads))
            return _compared(question, taught, places, adapter, states, progress, log)


def _compared(
    question: Objective,
    taught: Objective,
    places: Sequence[int],
    adapter: Path,
    states: Sequence[str],
    progress: Tick | None,
    log: Callable[[str], None],
) -> list[Influence]:
    model, found = taught.model, [[0.0, 0.0] for _ in places]
    model.train()  # which lets layers be recomputed; there is no dropout
    for number, state in enumerate(states):
        if state == END:
            _put(model, adapter)
        wanted = _gradient(question, 0, log)
        length = _norm(wanted)
        for row in range(len(places)):
            mine = _gradient(taught, row, log)
            dot = sum(float((one * other).sum()) for one, other in zip(wanted, mine, strict=True))
            found[row][0] += dot / max(length * _norm(mine), 1e-30) / len(states)
            found[row][1] += dot
            if progress is not None:
                progress(number * len(places) + row + 1, len(states) * len(places))
    model.zero_grad(set_to_none=True)
    made = [Influence(place, *values) for place, values in zip(places, found, strict=True)]
    return sorted(made, key=lambda one: (-one.cosine, one.example))


def _gradient(objective: Objective, row: int, log: Callable[[str], None]) -> list[torch.Tensor]:
    """Return the gradient of one row's loss by the matrices of the adapter, float32."""
    objective.model.zero_grad(set_to_none=True)
    objective.update([row], log)
    parameters = lora_parameters(objective.model).values()
    return [torch.zeros_like(p) if p.grad is None else p.grad.float() for p in parameters]


def _norm(gradient: Sequence[torch.Tensor]) -> float:
    return math.sqrt(sum(float((one * one).sum()) for one in gradient))


def _rows(turns: Turns, examples: Sequence[Any], config: TrainingConfig) -> tuple[list[Row], list[int]]:
    """Return a row for each example that the training keeps, and the indices of these examples."""
    rows, places = list[Row](), list[int]()
    for place, example in enumerate(examples):
        try:
            made, _ = METHODS[config.method].rows(turns, [example], config, max_tokens=config.max_tokens)
        except PairError:  # too long, or of a principle with weight 0: the training has dropped it, too
            continue
        rows += made
        places += [place] * len(made)
    return rows, places


def _reference(model: Any, rows: Sequence[Row], passes: Passes, config: TrainingConfig) -> Logps | None:
    """Return the log-probabilities of the rows under the reference of the training, None where the method has none.

    The model has to hold the weights that the training began with.
    """
    if not METHODS[config.method].needs_reference(config):
        return None
    initial = "beginning" if config.reference_is_init else None
    return reference_logps(model, rows, passes, base="", cache=None, initial=initial)


def _put(model: Any, adapter: Path) -> None:
    """Give the adapter the weights of a folder. Raises ModelError where they have other names or shapes."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    folder = adapter_folder(adapter)
    try:
        loaded: Any = set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
    except (RuntimeError, OSError) as error:
        raise ModelError(f"{folder} does not fit the adapter of this training: {str(error).splitlines()[0]}") from error
    absent = [name for name in loaded.missing_keys if "lora_" in name]
    if absent or loaded.unexpected_keys:
        raise ModelError(
            f"{folder} has other layers than this training, such as {(absent or loaded.unexpected_keys)[0]}"
        )


def _without_dropout(model: Any) -> None:
    """Turn the dropout of the adapter off, whose gradients would differ from call to call."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
