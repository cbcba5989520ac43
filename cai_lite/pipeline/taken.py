"""What a next round takes along from the run before it: failures in production, corrections by people, labels.

Each run writes what it took to files of its own (seeds.jsonl, regression.jsonl, corrections.jsonl), from which the
round after it takes that along as well: a failure that became a test stays one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from cai_lite.distill.leaks import HeldOut
from cai_lite.distill.people import People, people_pairs
from cai_lite.errors import PromptError
from cai_lite.evaluation.result import ANSWERS, read_answers
from cai_lite.inputs.human import HUMAN, HumanEdit, HumanVote, append_rows, iso, read_human
from cai_lite.inputs.labels import LABELS, AnswerLabel, load_labels
from cai_lite.inputs.prompts import Prompts, all_prompts, repeating
from cai_lite.pipeline.recipe import FromSection
from cai_lite.records import Prompt, dicts_of, distinct
from cai_lite.run.files import write_aside

SEEDS, REGRESSION, CORRECTIONS = "seeds.jsonl", "regression.jsonl", "corrections.jsonl"  # in a run directory
LEFT_OUT = "of failures left out"  # in the report of prompts


def with_failures(prompts: Prompts, settings: FromSection) -> Prompts:
    """Return the prompts of a recipe with those that failed in production: seeds to learn from, and tests.

    A seed that repeats a test or a held-out prompt is left out, and so is a test that repeats a training prompt; both
    are counted in the report, as `LEFT_OUT`.

    Raises:
        PromptError: a file cannot be read, or the same prompt is a seed and a test.
    """
    run, failures = Path(settings.run), Path(settings.failures) if settings.failures else None
    beside = seeds_path(failures) if failures else None
    given = Path(settings.seeds) if settings.seeds else beside if beside and beside.is_file() else None
    tests = _read([run / REGRESSION, *([failures] if failures else [])], required=failures)
    seeds = _read([run / SEEDS, *([given] if given else [])], required=given)
    if both := {prompt.key for prompt in seeds} & {prompt.key for prompt in tests}:
        shown = next(prompt for prompt in tests if prompt.key in both).text[:80]
        raise PromptError(
            f"{given or run / SEEDS} and {failures or run / REGRESSION}: {len(both):,} prompts are seeds and tests at "
            f"once, the first '{shown}'; what is learnt measures nothing. Make both files anew by `cai-lite monitor "
            "--failures`"
        )
    if not seeds and not tests:
        return prompts
    known = {prompt.key for prompt in prompts.train}
    kept_tests = [replace(p, split="held_out") for p in _without(tests, prompts.train)]
    held = {prompt.key for prompt in prompts.held_out}
    kept_tests = [test for test in kept_tests if test.key not in held]  # measured there already
    kept_seeds = [replace(p, split="train") for p in _without(seeds, [*prompts.held_out, *tests])]
    new = [seed for seed in kept_seeds if seed.key not in known]
    report = {
        **prompts.report,
        "train": len(prompts.train) + len(new),
        "seeds": len(kept_seeds),
        "regression": len(kept_tests),
        f"seeds {LEFT_OUT}": len(seeds) - len(kept_seeds),
        f"tests {LEFT_OUT}": len(tests) - len(kept_tests),
    }
    return replace(prompts, train=[*prompts.train, *new], seeds=kept_seeds, regression=kept_tests, report=report)


def seeds_path(failures: Path) -> Path:
    """Return the file of seeds that stands beside a file of tests: failures.seeds.jsonl beside failures.jsonl."""
    return failures.with_name(f"{failures.stem}.seeds{failures.suffix}")


def corrections(settings: FromSection) -> list[HumanVote | HumanEdit]:
    """Return what people said: what the earlier run had taken along, and what was said since.

    Raises:
        LabelError: a file cannot be read, or lines of it are invalid.
    """
    run = Path(settings.run)
    own = Path(settings.human) if settings.human else run / HUMAN
    files = [run / CORRECTIONS, *([] if settings.only_changed else [own])]
    said = [row for path in files if path.is_file() for row in read_human(path)]
    return list({row.key: row for row in said}.values())


def people_of(said: Sequence[HumanVote | HumanEdit], prompts: Prompts, *, near: bool) -> People:
    """Return the pairs of what people said, without those on prompts that measure. `near`: as of `HeldOut`."""
    reserved = HeldOut([p.messages for p in (*prompts.held_out, *prompts.regression)], near=near)
    measuring = {row.prompt for row in said if reserved.matches(row.prompt)}
    found = people_pairs(
        [row for row in said if row.prompt not in measuring], {p.messages: p.family for p in prompts.train}
    )
    left = sum(row.prompt in measuring for row in said)
    return replace(found, counts={**found.counts, **({"on held-out prompts, left out": left} if left else {})})


def labels_again(run: Path) -> list[AnswerLabel]:
    """Return the labels of a run's answers that are given again: those of models that this round leaves as they were.

    Raises:
        LabelError: its labels.jsonl is invalid.
    """
    if not (run / LABELS).is_file() or not (run / ANSWERS).is_file():
        return []
    again = {row.key for row in read_answers(run) if row.side != "after"}
    return [label for label in load_labels(run / LABELS) if label.answer in again]


def write_taken(said: Iterable[HumanVote | HumanEdit], prompts: Prompts, out: Path) -> list[str]:
    """Write what a round takes along to its directory; return the names of the files."""
    rows = {
        CORRECTIONS: [row.as_row() for row in said],
        SEEDS: [_row(prompt) for prompt in prompts.seeds],
        REGRESSION: [_row(prompt) for prompt in prompts.regression],
    }
    written = [name for name, lines in rows.items() if lines or (out / name).exists()]
    for name in written:
        write_aside(out / name, [json.dumps(row, ensure_ascii=True) + "\n" for row in rows[name]])
    return written


def write_labels(labels: Sequence[AnswerLabel], out: Path) -> None:
    """Write the labels that still hold as the labels of a new run; where it has labels already, these stand."""
    if labels and not (out / LABELS).exists():
        append_rows(out / LABELS, [{**asdict(label), "at": iso(label.at)} for label in labels])


def _row(prompt: Prompt) -> dict[str, object]:
    return {
        "messages": dicts_of(prompt.messages),
        "family": prompt.family,
        "tags": list(prompt.tags),
        "split": prompt.split,
    }


def _read(files: Sequence[Path], *, required: Path | None) -> list[Prompt]:
    """Return the prompts of these files, each once. All may be absent but the required one, and any may be empty."""
    there = [path for path in files if path == required or path.is_file()]
    filled = [path for path in there if not path.is_file() or path.stat().st_size]
    return distinct([prompt for path in filled for prompt in all_prompts(path)])


def _without(prompts: Sequence[Prompt], others: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts that repeat none of the others."""
    return [prompt for prompt, again in zip(prompts, repeating(prompts, others), strict=True) if not again]
