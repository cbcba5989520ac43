"""What a run does once, and each of its rounds again: make pairs, learn from them, measure what was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cai_lite.errors import Stopped
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.subject import PAIRED_LIMIT
from cai_lite.inputs.pairs import pair_lines
from cai_lite.inputs.prompts import Prompts
from cai_lite.inputs.quarantine import QUARANTINE, write_quarantine
from cai_lite.pipeline.earlier import CORRECTIVE, corrective, held
from cai_lite.pipeline.make_pairs import Work, make_pairs, nothing_left, sampling_of, spread
from cai_lite.pipeline.phases import needs_pairs, train_phases
from cai_lite.pipeline.ready import planned
from cai_lite.pipeline.rewards import sampled_material
from cai_lite.records import PreferencePair, Prompt
from cai_lite.reporting.dataset_card import dataset_card
from cai_lite.run.files import write_aside, write_text
from cai_lite.training.config import TrainingConfig
from cai_lite.training.rewards import Feedback


def make(work: Work, prompts: Prompts) -> list[PreferencePair]:
    """Make the training pairs from the prompts, and write the rows that could not be used to quarantine.jsonl.

    Raises:
        Stopped: the budget is spent, or too few replies of a stage are usable to go on.
    """
    pairs = make_pairs(work, prompts.train, held_out=[*prompts.held_out, *prompts.regression])
    write_quarantine(work.run.path(QUARANTINE), work.bad)
    return pairs


def write_pairs(work: Work, pairs: Sequence[PreferencePair], prompts: Prompts) -> list[str]:
    """Write pairs.jsonl and dataset_card.md to the run directory; return their names."""
    write_aside(work.run.path("pairs.jsonl"), pair_lines(pairs))
    card = dataset_card(
        pairs,
        name=work.recipe.name,
        digests=work.roles.digests(),
        counts=work.run.counts(),
        held_out=[prompt.messages for prompt in (*prompts.held_out, *prompts.regression)],
    )
    write_text(work.run.path("dataset_card.md"), card)
    if work.earlier is None:
        return ["pairs.jsonl", "dataset_card.md"]
    learnt = corrective(pairs, work.earlier, seed=work.recipe.seed)
    write_aside(work.run.path(CORRECTIVE), pair_lines(learnt))
    return ["pairs.jsonl", "dataset_card.md", CORRECTIVE]


def learn(
    work: Work,
    pairs: Sequence[PreferencePair],
    folder: Path,
    *,
    first: int = 0,
    before: Path | None = None,
    label: str = "",
    prompts: Sequence[Prompt] = (),
) -> tuple[Path, list[str]]:
    """Train in `folder`; return the adapter, and the files that were written or compared there. See `train_phases`.

    A run that goes on from an earlier one begins with its adapter, and learns what corrects it. `prompts`: of the
    training, which a phase "rl" answers.

    Raises:
        Stopped: there are no pairs.
    """
    if not pairs and any(needs_pairs(each) for each in work.recipe.phases):
        raise Stopped(nothing_left(work))
    if work.earlier is not None:
        pairs, before = corrective(pairs, work.earlier, seed=work.recipe.seed), work.earlier.adapter

    def sampled(phase: TrainingConfig, place: Path, scorer: Path | None) -> tuple[Sequence[Prompt], Feedback]:
        return sampled_material(work, prompts, phase, place, scorer)

    return train_phases(
        work.recipe, pairs, folder, work.screen, first=first, before=before, label=label, sampled=sampled
    )


def measure(
    work: Work,
    adapter: Path,
    prompts: Prompts,
    pairs: Sequence[PreferencePair],
    held_out_pairs: Sequence[PreferencePair],
    folder: Path,
) -> dict[str, Any]:
    """Compare the student with and without `adapter` on the held-out prompts; write evaluation.json to `folder`.

    `pairs`: those that the adapter learnt from.
    """
    recipe, roles, earlier = work.recipe, work.roles, work.earlier
    must = held(planned(recipe, roles, prompts), earlier) if earlier else {}
    if roles.adapter_server is not None:
        server = roles.adapter_server
        work.screen.say(f"answers after training come from {server.url}: serve {adapter} there as '{server.model}'")
    return evaluate(
        adapter,
        against=roles.student,
        constitution=roles.constitution,
        judge=[voice.model for voice in roles.judges] or None,
        prompts=prompts.held_out,
        seen=spread(prompts.train, PAIRED_LIMIT),
        run=work.run,
        pairs=pairs,
        held_out_pairs=held_out_pairs,
        metrics=recipe.evaluate.chosen,
        baselines=recipe.baselines,
        own=recipe.evaluate.own,
        teacher=roles.teachers[0].model if roles.teachers else None,
        earlier=roles.student.with_adapter(earlier.adapter) if earlier else None,
        regression=prompts.regression,
        oracle=recipe.evaluate.oracle,
        refusals=recipe.evaluate.refusals,
        sampling=sampling_of(recipe, recipe.evaluate.temperature),
        samples=recipe.evaluate.samples,
        judging=recipe.judge,
        must={**must, **recipe.evaluate.must},
        answering=roles.answering(adapter),
        second_judge=roles.second and roles.second.model,
        screen=work.screen,
        manifest=False,
        out=folder,
    )
