"""Several rounds of a run: the student that a round trained drafts anew, is judged, trained and measured again.

A round stands in rounds/N with what a training leaves, its pairs and its evaluation. Each goes on with the adapter of
the round before, to which it is held unless `train.reference` is `base`. The adapter that is kept, with its
evaluation, is copied to the run directory; rounds.json says what the rounds came to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cai_lite.chat.weights import adapter_digest
from cai_lite.distill.pointwise import score
from cai_lite.errors import InputError
from cai_lite.evaluation.adherence import CELLS, KeptCell, kept_cells
from cai_lite.evaluation.gates import gates
from cai_lite.evaluation.result import ANSWERS
from cai_lite.inputs.pairs import pair_lines
from cai_lite.inputs.prompts import Prompts
from cai_lite.pipeline.choosing import Round, changes, choose, shown, stops, summary
from cai_lite.pipeline.make_pairs import Work, draft_held_out, held_out_pairs
from cai_lite.pipeline.phases import needs_pairs, publish, write_sources
from cai_lite.pipeline.sources import REVISIONS
from cai_lite.pipeline.steps import learn, make, measure, write_pairs
from cai_lite.records import Messages, PreferencePair, digest
from cai_lite.run.files import (
    PHASES,
    ROUNDS,
    ROUNDS_FILE,
    move_aside,
    move_folders_aside,
    phase_folders,
    round_folders,
    version,
    write_aside,
)
from cai_lite.stats import Figure, mean_figure


def walk_rounds(work: Work, prompts: Prompts) -> tuple[Path, dict[str, Any], list[str]]:
    """Walk the rounds of a recipe; return the adapter kept, its evaluation, and the files written or compared.

    The same call goes on where an earlier one stopped, and ends in the same bytes.

    Raises:
        InputError: the recipe begins from an adapter that would be replaced. Stopped: there is nothing to learn, or
            the budget is spent. TrainingError: a number is not finite.
    """
    run, settings, top, say = work.run, work.recipe.repeats, work.run.path("."), work.screen.say
    _check_beginning(work)
    if (top / "training.json").exists() or phase_folders(top):
        names = ("adapter", "checkpoints", "metrics.jsonl", "training.json", PHASES)
        say(f"rounds in place of one training: its output is in {move_aside(top, names, 'training')}")
    draft_held_out(work, prompts.held_out)
    rounds, learnt, written = list[Round](), list[list[PreferencePair]](), list[str]()
    held_out: list[PreferencePair] = []
    held_in: dict[int, Figure | None] = {}
    before, ended = None, f"the limit of {settings.n} rounds was reached"
    for number in range(1, settings.n + 1):
        folder, mine = top / ROUNDS / str(number), _work_of(work, number, before)
        pairs = make(mine, prompts)
        if number > 1 and _nothing_to_learn(mine, pairs):
            ended = f"the drafts of round {number} gave nothing to learn"
            break
        if number > 1 and work.recipe.weighs:
            pairs, held_in[number - 1] = weigh(mine, pairs)
        write_aside(folder / "pairs.jsonl", pair_lines(pairs))
        sources = write_sources(mine, prompts.train, prompts.held_out, folder)
        files = ["pairs.jsonl", *sources, "evaluation.json", ANSWERS]
        mine.roles.close()
        before, trained = learn(mine, pairs, folder, before=before, label=f"round {number}", prompts=prompts.train)
        learnt.append(pairs)
        if number == 1:
            held_out = held_out_pairs(work, prompts.held_out)
            work.roles.close()
        found, cells = _measured(work, number, before, prompts, _joined(learnt), held_out, folder)
        change, other = changes(rounds[-1].cells if rounds else None, cells, seed=work.recipe.seed)
        bounds = gates(settings.drift, found["metrics"])
        outside = [gate for gate in bounds if gate.found is not None and not gate.holds]
        rounds.append(Round(number, before, len(pairs), found, cells, change, other, outside))
        written += [f"{ROUNDS}/{number}/{name}" for name in (*files, *trained)]
        say(f"round {number}: {len(pairs):,} pairs, adherence {shown(change)} on the half that decides")
        if why := stops(rounds[-1], settings):
            ended = why
            break
    _put_aside([folder for folder in round_folders(top) if int(folder.name) > len(rounds)], say)
    kept = choose(rounds, seed=work.recipe.seed)
    if kept.outside:
        work.screen.warn(f"every round passed a bound of rounds.drift; kept is round {kept.number}")
    say(f"kept: round {kept.number} of {len(rounds)}; {ended}")
    written += publish(kept.adapter, top / "adapter", say, whose=f"of round {kept.number}")
    written += write_pairs(work, _joined(learnt[: kept.number]), prompts)
    write_aside(top / "evaluation.json", _text(kept.evaluation))
    write_aside(top / ANSWERS, (top / ROUNDS / str(kept.number) / ANSWERS).read_text(encoding="utf-8"))
    write_aside(top / ROUNDS_FILE, _text(summary(rounds, kept, ended, held_in)))
    run.remember(CELLS, kept.cells)  # those of the evaluation beside it
    return top / "adapter", dict(kept.evaluation), [*written, ROUNDS_FILE]


def put_rounds_aside(top: Path, say: Callable[[str], None]) -> None:
    """Move the output of an earlier run of several rounds aside, before one training takes its place."""
    if round_folders(top):
        aside = move_aside(top, (ROUNDS, ROUNDS_FILE, "adapter"), ROUNDS)
        say(f"one training in place of rounds: their output is in {aside}")


def weigh(work: Work, pairs: Sequence[PreferencePair]) -> tuple[list[PreferencePair], Figure | None]:
    """Return the pairs with a weight by how far the prompt still fails, and the adherence on the training prompts.

    The first fresh draft of each prompt is scored under every principle that applies. A pair weighs 1 where the draft
    keeps all of them and `failing` where it breaks all; the weights are then divided by their mean, so that a round
    learns as much as without. A prompt that could not be judged has the mean weight, 1; if none could, there is no
    adherence.
    """
    roles, recipe = work.roles, work.recipe
    drafts = {draft.prompt.key: draft for draft in reversed(work.drafts)}  # the first of each prompt
    principles = roles.constitution.principles
    cells = [(draft, p) for draft in drafts.values() for p in principles if p.applies(draft.prompt)]
    judging = recipe.judge.but(mode="pointwise", reason="none", until=None)
    with work.stage("judge what still fails", roles.judge) as stage:
        scores = score(roles.judge, cells, judging, stage)
    weights = {p.id: p.weight for p in principles}
    decided = [(s.candidate.prompt, s.log_odds > 0, weights[s.principle]) for s in scores if s.log_odds is not None]
    sums: dict[Messages, list[float]] = {}
    for prompt, kept, weight in decided:
        total = sums.setdefault(prompt.messages, [0.0, 0.0])
        total[0] += weight * kept
        total[1] += weight
    raw = {prompt: 1 + (recipe.repeats.failing - 1) * (1 - kept / of) for prompt, (kept, of) in sums.items()}
    known = [raw[pair.prompt] for pair in pairs if pair.prompt in raw]
    mean = sum(known) / len(known) if known else 1.0
    weighed = [replace(pair, weight=round(raw.get(pair.prompt, mean) / mean, 4)) for pair in pairs]
    if not decided:
        return weighed, None
    kept_N, families = [float(kept) for _, kept, _ in decided], [prompt.family for prompt, _, _ in decided]
    return weighed, mean_figure(kept_N, families, seed=recipe.seed, weights=[weight for *_, weight in decided])


def _work_of(work: Work, number: int, before: Path | None) -> Work:
    """Return the work of a round, whose drafts come from the student with the adapter of the round before."""
    if before is None:
        return work
    if work.roles.drafter is not work.roles.student:
        work.screen.say(f"round {number}: drafts come from the student in this process, which alone has its adapter")
    drafter = work.roles.student.with_adapter(before)
    return replace(work, round=number, roles=replace(work.roles, drafter=drafter))


def _measured(
    work: Work,
    number: int,
    adapter: Path,
    prompts: Prompts,
    pairs: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    folder: Path,
) -> tuple[dict[str, Any], list[KeptCell]]:
    """Measure a round, or recall what was measured; return the evaluation and its cells."""
    run, name = work.run, f"evaluation and answers of round {number}"
    decided_by = [
        work.recipe.resolved(),
        work.roles.digests(),
        adapter_digest(adapter),
        [digest(pair.prompt, pair.chosen, pair.rejected) for pair in (*pairs, *held_out)],
        [prompt.key for prompt in prompts.held_out],
        version("cai-lite"),
    ]
    known = run.recall(name, *decided_by)
    if known is None:
        found = measure(work, adapter, prompts, pairs, held_out, folder)
        known = [found, run.recall(CELLS) or [], (folder / ANSWERS).read_text(encoding="utf-8")]
        work.roles.close()
        run.remember(name, known, *decided_by)
    write_aside(folder / "evaluation.json", _text(known[0]))
    write_aside(folder / ANSWERS, known[2])
    return known[0], kept_cells(known[1])


def _nothing_to_learn(work: Work, pairs: Sequence[PreferencePair]) -> bool:
    phases = work.recipe.phases
    without_pairs = not pairs and any(map(needs_pairs, phases))
    return without_pairs or (not work.revisions and any(phase.on == REVISIONS for phase in phases))


def _check_beginning(work: Work) -> None:
    begin, top = work.recipe.phases[0].init_adapter, work.run.path(".")
    if begin is not None and Path(begin).resolve().is_relative_to(top.resolve()):
        raise InputError(
            f"train.init_adapter: {begin} is in the run directory, where the round kept replaces it; take another "
            "--out, or a copy of the adapter"
        )


def _put_aside(stale: Sequence[Path], say: Callable[[str], None]) -> None:
    """Move rounds of an earlier run aside that this one did not walk."""
    if stale:
        say(f"fewer rounds than before: the others moved to {move_folders_aside(stale)}")


def _joined(learnt: Sequence[Sequence[PreferencePair]]) -> list[PreferencePair]:
    return [pair for pairs in learnt for pair in pairs]


def _text(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)
