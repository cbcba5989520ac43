"""evaluate: measure a model on held-out prompts, alone or compared with another.

Answers and other results that take long are kept in the run, so that a finished evaluation computes nothing again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.distill.judging import Judging
from cai_lite.errors import InputError, PromptError
from cai_lite.evaluation.metrics import METRICS, check_metrics
from cai_lite.evaluation.result import evaluation_json
from cai_lite.evaluation.subject import Subject
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import PreferencePair, Prompt, Sampling
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def evaluate(
    adapter: str | Path | ChatModel,
    *,
    against: ChatModel | None,
    constitution: Constitution,
    judge: ChatModel | Sequence[ChatModel],
    prompts: Sequence[Prompt],
    run: Run | None = None,
    seen: Sequence[Prompt] = (),
    pairs: Sequence[PreferencePair] = (),
    held_out_pairs: Sequence[PreferencePair] = (),
    metrics: Collection[str] | None = None,
    oracle: Literal["embedded"] | None = None,
    judging: Judging | None = None,
    mode: Literal["pairwise", "pointwise"] | None = None,
    sampling: Sampling | None = None,
    samples: int = 1,
    votes: int | None = None,
    log_probs: bool | None = None,
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Measure the metrics that can be measured with what is given, and return the contents of evaluation.json.

    `adapter`: the folder of an adapter for the local model `against`, or a model of its own, which is compared with
    `against` unless that is None. `judge`: the first of several decides adherence, the others show how far judges
    agree. `seen`: prompts of the training, for "superficial". `pairs` (of the training) are for "confounds",
    `held_out_pairs` (made from held-out prompts) for "preference_accuracy". `metrics`: names in `metrics.METRICS`, all
    of them where left out. `judging`: how judges are asked; `mode`, `votes` and `log_probs` replace single settings of
    it. `oracle="embedded"` decides adherence by the grammar that the embedded models were made from.

    Raises:
        PromptError: there are no prompts.
        InputError: an unknown metric, or an adapter without the local model that it belongs to.
    """
    if not prompts:
        raise PromptError(
            "no held-out prompts to evaluate on: raise prompts.held_out, or mark some with split: held_out"
        )
    metrics = METRICS if metrics is None else metrics
    check_metrics(metrics)
    after, before = _models(adapter, against)
    judges = [judge] if isinstance(judge, ChatModel) else list(judge)
    settings = {"mode": mode, "votes": votes, "log_probs": {None: None, True: "auto", False: "never"}[log_probs]}
    subject = Subject(
        after=after,
        before=before,
        constitution=constitution,
        judges=judges,
        prompts=prompts,
        seen=seen,
        pairs=pairs,
        held_out_pairs=held_out_pairs,
        run=run or Run(),
        screen=screen or Screen(quiet=True),
        sampling=sampling or Sampling(),
        samples=samples,
        judging=(judging or Judging()).but(**{name: value for name, value in settings.items() if value is not None}),
        oracle=oracle,
    )
    return evaluation_json(
        model=after.name,
        against=against.name if against is not None else "",
        constitution=constitution.name,
        judge="the grammar's oracle" if oracle else judges[0].name,
        seed=subject.seed,
        metrics=measure(subject, metrics),
    )


def measure(subject: Subject, metrics: Collection[str]) -> dict[str, Any]:
    """Measure the named metrics in the order of `METRICS`; return their figures by name, without empty ones.

    One model is in memory at a time: all answers are asked first, then come the metrics that read the student's
    weights, then those that ask the judge.
    """
    chosen = {name: metric for name, metric in METRICS.items() if name in metrics}
    _ = subject.sides
    for metric in chosen.values():
        if metric.answers is not None:
            metric.answers(subject)
    found: dict[str, Any] = {}
    for weights in (True, False):
        for name, metric in chosen.items():
            if metric.weights == weights:
                figures = metric.measure(subject)
                unlabelled = [figure for figure in figures if figure not in metric.figures]
                if unlabelled:
                    raise InputError(f"the metric '{name}' measured '{unlabelled[0]}', which its figures do not name")
                found |= {figure: measured for figure, measured in figures.items() if measured}
        if weights:
            for model in (subject.before, subject.after):
                if isinstance(model, LocalModel):
                    model.close()
    return found


def _models(adapter: str | Path | ChatModel, against: ChatModel | None) -> tuple[ChatModel, ChatModel | None]:
    """Return the model after, and the model before if there is one."""
    if not isinstance(adapter, (str, Path)):
        return adapter, against
    if not isinstance(against, LocalModel):
        raise InputError(f"adapter '{adapter}': give the local model that it was trained on as `against`")
    after = against.with_adapter(adapter)
    return after, after.without_adapter()
