"""`cai-lite evaluate` without a recipe: measure any model under any constitution on any prompts, with gates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.weights import adapter_folder, checked_load
from cai_lite.errors import InputError
from cai_lite.evaluation.baselines import DEFAULT, TEACHER
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.gates import check_gates
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.metrics import check_baselines, check_metrics, default_metrics
from cai_lite.evaluation.relabelled import take_labels
from cai_lite.evaluation.result import ANSWERS
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import all_prompts
from cai_lite.records import Sampling
from cai_lite.reporting import write_report
from cai_lite.run.files import write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def assess(
    model: str,
    *,
    constitution: str,
    prompts: Path,
    judge: Sequence[str],
    out: Path,
    adapter: Path | None = None,
    against: str | None = None,
    load: str | None = None,
    template: Mapping[str, Any] | None = None,
    must: Mapping[str, str] | None = None,
    metrics: Collection[str] | None = None,
    baselines: Collection[str] | None = None,
    teacher: str | None = None,
    sampling: Sampling | None = None,
    second_judge: str | None = None,
    labels: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure `model`, alone or compared with `against`; with `adapter`, the adapted model is compared with its base.

    `baselines`: left out, "prompted", and "teacher" where `teacher` names the model that answers for it. `template`:
    variables of the chat template of `model`, and of `against`. `second_judge`: one that had no part in the training of
    `model`. `labels`: people's labels of the answers, where they are not in `out` yet. Models are a folder, a hub id,
    `embedded:...`, or `URL#NAME` for a server. All prompts are asked, whatever their split. The same call on the same
    `out` continues where it stopped.

    Raises:
        InputError: a file or model is missing, options exclude each other, or a gate cannot be measured.
    """
    metrics = default_metrics() if metrics is None else metrics
    check_metrics(metrics)
    if baselines is None:
        baselines = (*DEFAULT, TEACHER) if teacher else DEFAULT
    check_baselines(baselines)
    if TEACHER in baselines and teacher is None:
        raise InputError(f"the baseline '{TEACHER}' needs a model that answers; name it by --teacher")
    known = all_prompts(prompts)
    policy = load_constitution(constitution)
    if second_judge in judge:
        raise InputError(f"--second-judge {second_judge} is the judge already; name another model")
    judges = [opened(name) for name in judge]
    mode: Literal["pairwise", "pointwise"] = "pointwise" if judges[0].wording == "short" else "pairwise"
    if adapter is not None and (against is not None or "://" in model):
        raise InputError("--adapter goes on top of a local --model, which is what it is measured against")
    plan = Planned(
        metrics=(*metrics, *baselines),
        constitution=policy,
        prompts=known,
        compared=adapter is not None or against is not None,
        adapter=adapter is not None,
        pairs=False,
        held_out_pairs=False,
        seen=False,
        judges=len(judges),
        second=second_judge is not None,
        teacher=teacher is not None,
        revisions=False,
    )
    check_gates(must or {}, plan)
    if adapter is not None:
        adapter_folder(adapter)
    base: ChatModel | None = None
    if adapter is not None or against:
        base = opened(model if adapter is not None else str(against), load, template)
    take_labels(labels, out)
    with Run(out) as run, Screen(quiet=quiet, log=out / "log.txt") as screen:
        screen.taken_over(run.recovered)
        evaluation = evaluate(
            adapter if adapter is not None else opened(model, load, template),
            against=base,
            constitution=policy,
            judge=judges,
            prompts=known,
            run=run,
            metrics=metrics,
            baselines=baselines,
            teacher=opened(teacher) if teacher else None,
            mode=mode,
            sampling=sampling,
            must=must,
            second_judge=None if second_judge is None else opened(second_judge),
            screen=screen,
            manifest=False,
        )
        page, *others = write_report(run)
        for line in write_manifest(out, "evaluation.json", ANSWERS, page, *others):
            screen.warn(line)
    return {"report": str(out / page), "evaluation": evaluation}


def opened(name: str, load: str | None = None, template: Mapping[str, Any] | None = None) -> ChatModel:
    """Open a model by its one-word name; `URL#NAME` is a model at a server."""
    url, _, at_server = name.partition("#")
    if "://" in url:
        return open_model(url, model=at_server or None, template=template)
    return open_model(name, load=checked_load(load), template=template)
