"""evaluate: measure a model on held-out prompts, alone or compared with another.

Answers and other results that take long are kept in the run, so that a finished evaluation computes nothing again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, cast

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.local import LocalModel
from cai_lite.chat.on_ray import underlying
from cai_lite.chat.preference import PreferenceModel
from cai_lite.distill.judging import Judging
from cai_lite.errors import InputError, PromptError
from cai_lite.evaluation.baselines import DEFAULT, TEACHER
from cai_lite.evaluation.calibrated import in_words
from cai_lite.evaluation.deciders import CHECKS_ALONE
from cai_lite.evaluation.gates import check_names, gates
from cai_lite.evaluation.metrics import OWN, check_baselines, check_metrics, default_metrics, measured
from cai_lite.evaluation.own import OwnMetric, load_own
from cai_lite.evaluation.refusal_judge import check_judge
from cai_lite.evaluation.relabelled import take_labels
from cai_lite.evaluation.result import ANSWERS, answer_lines, evaluation_json
from cai_lite.evaluation.subject import Subject
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.prompts import as_prompts
from cai_lite.records import PreferencePair, Prompt, Sampling
from cai_lite.run.files import write_aside, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def evaluate(
    adapter: Any,
    *,
    against: Any = None,
    constitution: Constitution | str | Path,
    judge: Any = None,
    prompts: Any,
    run: Run | str | Path | None = None,
    seen: Sequence[Prompt] = (),
    pairs: Sequence[PreferencePair] = (),
    held_out_pairs: Sequence[PreferencePair] = (),
    metrics: Collection[str] | None = None,
    baselines: Collection[str] = DEFAULT,
    teacher: Any = None,
    earlier: ChatModel | None = None,
    regression: Sequence[Prompt] = (),
    own: Mapping[str, OwnMetric | Mapping[str, Any]] | None = None,
    must: Mapping[str, str] | None = None,
    oracle: Literal["embedded"] | None = None,
    refusals: Literal["rules", "judge"] = "rules",
    judging: Judging | None = None,
    mode: Literal["pairwise", "pointwise"] | None = None,
    sampling: Sampling | None = None,
    samples: int = 1,
    votes: int | None = None,
    log_probs: bool | None = None,
    answering: Mapping[str, ChatModel] | None = None,
    second_judge: Any = None,
    labels: str | Path | None = None,
    screen: Screen | None = None,
    progress: bool = False,
    manifest: bool = True,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measure the metrics that can be measured with what is given, and return the contents of evaluation.json.

    `adapter`: the folder of an adapter for the local model `against`, or a model of its own, which is compared with
    `against` unless that is None. Models are what `open_model` takes or returns. `judge`: a model, or a list of which
    the first decides adherence and the others tell how far judges agree; one too small to compare two replies, such
    as embedded:teacher, is asked pointwise. Without a judge, the machine checks of the constitution decide adherence,
    and nothing is compared. `prompts`: a list of texts, of dictionaries as in a prompt file, or of `Prompt`; or a
    path or `Prompts`, of which the held-out prompts are taken. `run`: a run or its directory, which gets
    evaluation.json and answers.jsonl. `seen`: prompts of the training, for "superficial". `pairs` (of the training)
    are for "confounds", `held_out_pairs` (made from held-out prompts) for "preference_accuracy". `metrics`: names in
    `metrics.METRICS`, where left out all of them but "fairness" and "watched", which take many calls. `baselines`:
    names in `metrics.BASELINES`, what a model is compared with besides `against`: "prompted", `against` with the
    constitution in its system message, "teacher", the model `teacher` with the same, and "earlier", the model of that
    name, which is the student as it was before further training. `regression`: prompts that it failed in production,
    measured beside the others, since they were chosen for that. `own`: further metrics by name, such as
    `{"questions": {"function": "package.module:questions"}}`, whose code is run (see `own`). `must`:
    gates, such as `{"adherence": ">= 0.8"}`. `judging`: how judges are asked; `mode`, `votes` and `log_probs` replace
    single settings of it. `oracle="embedded"` decides adherence by the grammar that the embedded models were made
    from. `refusals`: what decides the kinds of replies, rules of English or the first judge. `answering`: servers of
    the same weights that answer in place of the models "before" and "after", by these names. `second_judge`: a model
    that had no part in the training, for "second_judge". `labels`: a file of people's labels of the answers, which
    becomes labels.jsonl of the run; by default the one that is there. `progress`: show bars.
    `manifest`: record both files in manifest.json, and warn of files that somebody changed; a caller that writes
    more files does it once for all of them. `out`: a folder for both files, in place of the run's directory.

    Raises:
        PromptError: there are no prompts.
        LabelError: the labels are invalid.
        InputError: an unknown metric, an adapter without the local model that it belongs to, or an argument that is
            none of these.
    """
    prompts = as_prompts(prompts, "held_out")
    if not prompts:
        raise PromptError(
            "no held-out prompts to evaluate on: raise prompts.held_out, or mark some with split: held_out"
        )
    metrics = default_metrics() if metrics is None else metrics
    check_metrics(metrics)
    check_baselines(baselines)
    mine = {name: spec if isinstance(spec, OwnMetric) else OwnMetric(**spec) for name, spec in (own or {}).items()}
    loaded = load_own(mine)
    names = (*metrics, *baselines, *([OWN] if mine else []))
    check_names(must or {}, names)
    if TEACHER in baselines and teacher is None:
        raise InputError(f"baselines: '{TEACHER}' needs a model that answers; give one as `teacher`")
    given = [] if judge is None else judge if isinstance(judge, list) else [judge]
    judges = [open_model(one) for one in given]
    if judge == []:
        raise InputError("'judge' is an empty list; give at least one model, or None for machine checks alone")
    if refusals == "judge":
        check_judge(judges)
    after, before = _models(adapter, against)
    policy = constitution if isinstance(constitution, Constitution) else load_constitution(constitution)
    if judging is None and mode is None and judges and judges[0].wording == "short":
        mode = "pointwise"
    settings = {"mode": mode, "votes": votes, "log_probs": {None: None, True: "auto", False: "never"}[log_probs]}
    with ExitStack() as opened:
        if isinstance(run, (str, Path)):
            run = opened.enter_context(Run(run))
        if screen is None:
            screen = opened.enter_context(Screen()) if progress else Screen(quiet=True)
        subject = Subject(
            after=after,
            before=before,
            constitution=policy,
            judges=judges,
            prompts=prompts,
            seen=seen,
            pairs=pairs,
            held_out_pairs=held_out_pairs,
            run=run or Run(),
            screen=screen,
            sampling=sampling or Sampling(),
            samples=samples,
            judging=(judging or Judging()).but(
                **{name: value for name, value in settings.items() if value is not None}
            ),
            oracle=oracle,
            second=None if second_judge is None else open_model(second_judge),
            labels=take_labels(None if labels is None else Path(labels), None if run is None else run.directory),
            teacher=None if teacher is None else open_model(teacher),
            earlier=earlier,
            regression=regression,
            refusals=refusals,
            answering=answering or {},
            own=loaded,
        )
        found = evaluation_json(
            model=after.name,
            against=before.name if before is not None else "",
            constitution=policy.name,
            judge="the grammar's oracle" if oracle else judges[0].name if judges else CHECKS_ALONE,
            seed=subject.seed,
            metrics=measure(subject, names),
        )
        for line in in_words(found):
            screen.say(line)
        if must:
            found["gates"] = [gate._asdict() for gate in gates(must, found["metrics"])]
        if run is not None and run.directory is not None:
            folder = out or run.path(".")
            write_aside(folder / ANSWERS, answer_lines(subject))
            write_aside(folder / "evaluation.json", json.dumps(found, indent=1, ensure_ascii=False))
            for line in write_manifest(run.directory, "evaluation.json", ANSWERS) if manifest else ():
                warnings.warn(line, stacklevel=2)
    return found


def measure(subject: Subject, metrics: Collection[str]) -> dict[str, Any]:
    """Measure the named metrics and baselines in the order of their lists; return their figures by name.

    Empty ones are left out.

    One model is in memory at a time: all answers are asked first, then come the metrics that read the student's
    weights, then those that ask the judge.
    """
    chosen = {name: metric for name, metric in measured().items() if name in metrics}
    subject.metrics = tuple(metrics)
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
                _close(model)
            for metric in chosen.values():
                if metric.others is not None:
                    metric.others(subject)
            _close(subject.earlier)
            if subject.teacher not in subject.judges:
                _close(subject.teacher)
    return found


def _close(model: ChatModel | None) -> None:
    if model is not None and isinstance(underlying(model), LocalModel | PreferenceModel):
        cast(Any, model).close()


def _models(adapter: Any, against: Any) -> tuple[ChatModel, ChatModel | None]:
    """Return the model after, and the model before if there is one."""
    base = None if against is None else open_model(against)
    if isinstance(adapter, (str, Path)) and (
        (Path(adapter) / "adapter_config.json").is_file()
        or (isinstance(adapter, Path) and not (adapter / "config.json").is_file())
    ):
        if not isinstance(base, LocalModel):
            raise InputError(f"adapter '{adapter}': give the local model that it was trained on as `against`")
        after = base.with_adapter(adapter)
        return after, after.without_adapter()
    return open_model(adapter), base
