"""Go on from an earlier run: what is taken along since, what is checked, and what is learnt.

Taken along are principles that changed, corrections by people and failures in production (see `taken`). The replies of
the earlier run are taken over, so a walk asks only for what these make different. It learns, from the earlier adapter
on, the pairs that the earlier run does not have, those that people or a changed principle decide (corrective.jsonl),
with a share of the others so that these are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.distill.people import RULE, People
from cai_lite.errors import InputError, Stopped
from cai_lite.evaluation.baselines import EARLIER
from cai_lite.evaluation.gates import expected_figures
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.paths import figures
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.human import HumanEdit, HumanVote
from cai_lite.inputs.labels import AnswerLabel
from cai_lite.inputs.pairs import load_pairs
from cai_lite.inputs.prompts import Prompts
from cai_lite.inputs.versions import Change, changes
from cai_lite.pipeline.recipe import FromSection, Recipe
from cai_lite.pipeline.roles import Roles
from cai_lite.pipeline.taken import LEFT_OUT, corrections, labels_again, people_of
from cai_lite.records import PreferencePair, digest
from cai_lite.run.files import CONSTITUTION
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison

CORRECTIVE = "corrective.jsonl"
FIGURE, FAILED = "adherence_over_earlier", "regression"
_NEEDED = (CONSTITUTION, "recipe.yaml", "pairs.jsonl", "adapter/adapter_config.json", "evaluation.json", "run.db")
# What may differ from the earlier recipe: how the new pairs are learnt, what is spent, what is measured and must hold.
_FREE = ("constitution", "from", "train", "rounds", "steer", "budget")
_FREE_IN_EVALUATE = ("metrics", "own", "baselines", "must")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier run to go on from, and what is taken along since.

    `changed`: what its constitution and the present one differ in. `said`: people's votes and edits, and `people`, what
    they come to. `labels`: those of answers that are given again. `seeds`: keys of the training prompts that failed in
    production.
    """

    folder: Path
    changed: tuple[Change, ...]
    settings: FromSection
    said: tuple[HumanVote | HumanEdit, ...] = ()
    people: People = field(default_factory=lambda: People(counts={}))
    labels: tuple[AnswerLabel, ...] = ()
    seeds: frozenset[str] = frozenset()

    @property
    def adapter(self) -> Path:
        """The adapter that the training goes on with."""
        return self.folder / "adapter"

    @property
    def names(self) -> set[str]:
        """The ids of the principles that changed; removed ones are among them."""
        return {change.principle for change in self.changed if change.principle}


def earlier_of(recipe: Recipe, roles: Roles, prompts: Prompts, out: Path) -> Earlier | None:
    """Return the run that a recipe goes on from, after it was checked; None where it begins anew.

    Raises:
        InputError: it is not a finished run, nothing changed since, or more than may be taken along did.
    """
    settings = recipe.from_
    if settings is None:
        return None
    folder = Path(settings.run)
    if folder.resolve() == out.resolve():
        raise InputError(f"--out {out} is the run to go on from, which is left as it is; choose another directory")
    _check_finished(folder)
    others = [*_other_settings(recipe, folder), *_other_models(roles, folder)]
    if others:
        raise InputError(
            f"{recipe.path} differs from {folder / 'recipe.yaml'} in more than the constitution: {', '.join(others)}; "
            "answers under other settings are no comparison. Take these back, or make a whole run"
        )
    found, said = changes(load_constitution(folder / CONSTITUTION), roles.constitution), corrections(settings)
    earlier = Earlier(
        folder=folder,
        changed=tuple(found),
        settings=settings,
        said=tuple(said),
        people=people_of(said, prompts, near=recipe.pair.near is not None),
        labels=tuple(labels_again(folder)),
        seeds=frozenset(prompt.key for prompt in prompts.seeds),
    )
    if not (found or earlier.seeds or _new_pairs(earlier.people.pairs, earlier)):
        people = "; ".join(f"{n} {what}" for what, n in earlier.people.counts.items())
        also = "" if settings.only_changed else f", and there are no corrections{people and f' ({people})'} or failures"
        if left := prompts.report.get(f"seeds {LEFT_OUT}"):
            also += f" (seeds left out because they repeat prompts that measure: {left:,})"
        raise InputError(
            f"nothing changed: {roles.constitution.path} says the same as the constitution of {folder}{also}; edit a "
            f"principle, or name another constitution. `cai-lite constitution diff {folder / CONSTITUTION} NEW` shows "
            f"what a change would take; `cai-lite review {folder}` takes corrections, --failures what failed in "
            "production"
        )
    return earlier


def along(earlier: Earlier, prompts: Prompts) -> list[tuple[str, str, str, str]]:
    """Return what a run does about the earlier one, as rows: of what, what is taken along, done anew, and kept."""
    settings, counts = earlier.settings, prompts.report
    rows = []
    ids = ", ".join(f"{change.principle or 'conflicts'} ({change.how})" for change in earlier.changed)
    with Run.reading(earlier.folder) as run:
        known = run.taken_over + sum(row["calls"] for row in run.calls())
    rows.append(("constitution", ids or "as it was", "what is asked about these" if ids else "", ""))
    rows.append(("replies", f"{known:,} of {earlier.folder}", "", "all that are asked for again"))
    said = "; ".join(f"{n:,} {what}" for what, n in earlier.people.counts.items())
    pairs = len(earlier.people.pairs)
    if earlier.said:
        by = ", ".join(sorted({row.by for row in earlier.said}))
        rows.append((f"corrections by {by}", said, f"{pairs:,} pairs of theirs; what they voted on", "all other pairs"))
    if earlier.labels:
        rows.append(("labels", f"{len(earlier.labels):,} of answers before training", "", ""))
    for name, new in (("seeds", "drafts, critiques, revisions and verdicts"), ("tests", "answers, then and now")):
        taken, left = counts.get({"tests": "regression"}.get(name, name), 0), counts.get(f"{name} {LEFT_OUT}", 0)
        if taken or left:
            left_out = (
                f"; {left:,} left out, near what is {'measured' if name == 'seeds' else 'learnt'}" if left else ""
            )
            rows.append((f"failures: {name}", f"{taken:,}{left_out}", new, ""))
    replay = f"old pairs, {settings.replay:g} for each new one"
    rows.append(("training", f"goes on from {earlier.adapter}", "on the pairs that are new", replay))
    rows.append(("gates", "", "", f"each unchanged principle: not worse than by {settings.margin:g}"))
    return rows


def show_along(rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print what `along` returned as a table."""
    table = Table(title="what this round takes along", title_justify="left")
    for name in ("", "taken along", "done anew", "kept"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def corrective(pairs: Sequence[PreferencePair], earlier: Earlier, *, seed: int) -> list[PreferencePair]:
    """Return the pairs to learn: those that the earlier run lacks, that people decided since or that a changed
    principle decides, and the replay.

    `pairs`: all of them under the present constitution, so that none is replayed which the change turned around.

    Raises:
        Stopped: the change makes no difference to any pair.
    """
    new = {pair.key for pair in _new_pairs(pairs, earlier)}
    if not new:
        raise Stopped(
            f"nothing to learn: the change makes no pair that {earlier.folder} lacks, and decides none; the adapter "
            "there stands"
        )
    rest = sorted((pair.key for pair in pairs if pair.key not in new), key=lambda key: digest("replay", seed, key))
    learnt = new | set(rest[: round(earlier.settings.replay * len(new))])
    return [pair for pair in pairs if pair.key in learnt]


def held(plan: Planned, earlier: Earlier) -> dict[str, str]:
    """Return a gate for each unchanged principle that can be measured: that it is not worse than it was."""
    expected = expected_figures(plan)
    same = [p.id for p in plan.constitution.principles if p.id not in earlier.names]
    paths = [f"{FIGURE}.{id_}" for id_ in same if not expected[f"{FIGURE}.{id_}"].missing]
    return {f"{path}.change.low": f"> {-earlier.settings.margin}" for path in paths}


def since(evaluation: Mapping[str, Any], earlier: Earlier, run: Run) -> dict[str, Any]:
    """Return what a run came to that went on from an earlier one: calls, and adherence to each principle since.

    `asked`: the calls of this run; `known`: the replies that it took over. `not_worse` is absent where the principle
    itself changed. `corrections`: what became of people's votes and edits; `regression`: how many of the tests are
    passed, where there are any.
    """
    how = {change.principle: change.how for change in earlier.changed}
    rows = {}
    for path, figure in figures(evaluation["metrics"]).items():
        name, _, id_ = path.partition(".")
        if name == FIGURE and id_ and isinstance(figure, Comparison):
            same = {} if id_ in how else {"not_worse": figure.change.low > -earlier.settings.margin}
            rows[id_] = {"how": how.get(id_, ""), **figure.as_dict(), **same}
    asked = run.calls()
    return {
        "run": str(earlier.folder),
        "asked": sum(row["calls"] for row in asked),
        "tokens": sum(row["tokens_in"] + row["tokens_out"] for row in asked),
        "known": run.taken_over,
        "margin": earlier.settings.margin,
        **({"corrections": dict(earlier.people.counts)} if earlier.said else {}),
        **({"regression": evaluation["metrics"][FAILED]["overall"]} if FAILED in evaluation["metrics"] else {}),
        "principles": dict(sorted(rows.items(), key=lambda row: not row[1]["how"])),
    }


def show_since(found: Mapping[str, Any], console: Console) -> None:
    """Print what `since` returned as a table, changed principles first."""
    title = Text(f"adherence since {found['run']}, on the same prompts")
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("", EARLIER, "now", "change", "95 % interval", "n", "not worse"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for id_, row in found["principles"].items():
        before, after, change = (row[side] for side in ("before", "after", "change"))
        table.add_row(
            Text(id_),
            row["how"] or "as it was",
            f"{before['value']:.2f}",
            f"{after['value']:.2f}",
            f"{change['value']:+.2f}",
            f"[{change['low']:+.2f}, {change['high']:+.2f}]",
            f"{change['n']}",
            {True: "yes", False: "not shown"}.get(row.get("not_worse"), ""),
        )
    console.print(table)
    if failed := found.get("regression"):
        before, after = failed["before"]["value"], failed["after"]
        console.print(
            f"tests from failures: kept in {after['value']:.2f} [{after['low']:.2f}, {after['high']:.2f}] of "
            f"{after['n']:,} cases; {before:.2f} by the earlier student, for which they were chosen",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"{found['asked']:,} calls ({found['tokens']:,} tokens) were asked anew; {found['known']:,} replies were taken "
        f"over; not worse: the interval of the change lies above {-found['margin']:+g}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _check_finished(folder: Path) -> None:
    if not (folder / "run.db").is_file():
        raise InputError(f"--from {folder} is not a run directory (run.db not found)")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing == [CONSTITUTION]:
        raise InputError(
            f"--from {folder}: an earlier version made it and kept no {CONSTITUTION}; run its recipe in it once more, "
            "with the constitution as it was: nothing is paid for again"
        )
    if missing:
        raise InputError(
            f"--from {folder}: this run is not finished ({', '.join(missing)} missing); `cai-lite status {folder}` "
            "says how it goes on"
        )


def _other_settings(recipe: Recipe, folder: Path) -> Iterator[str]:
    """Yield the settings, by their path, that differ from those of the earlier run."""
    old = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    new = yaml.safe_load(recipe.resolved())
    for section in dict.fromkeys((*old, *new)):
        if section not in _FREE:
            free = _FREE_IN_EVALUATE if section == "evaluate" else ()
            yield from _differences(section, old.get(section), new.get(section), free)


def _differences(path: str, old: Any, new: Any, free: Iterable[str] = ()) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            if name not in free:
                yield from _differences(f"{path}.{name}", old.get(name), new.get(name))
    elif old != new:
        yield path


def _other_models(roles: Roles, folder: Path) -> Iterator[str]:
    """Yield each model of which the head of the earlier recipe.yaml has another digest."""
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    recorded = dict(line[2:].rpartition(": ")[::2] for line in text.splitlines() if line.startswith("# "))
    for name, found in roles.digests().items():
        if not name.startswith("constitution ") and recorded.get(name, found) != found:
            yield f"{name} (other weights than then)"


def _new_pairs(pairs: Iterable[PreferencePair], earlier: Earlier) -> list[PreferencePair]:
    """Return the pairs that the earlier run lacks, or that a changed principle decides."""
    known = {_content(pair) for pair in load_pairs(earlier.folder / "pairs.jsonl")}
    return [pair for pair in pairs if _content(pair) not in known or pair.principle in earlier.names]


def _content(pair: PreferencePair) -> str:
    """Return the digest of what a pair teaches; people's say is more than a judge's of the same answers."""
    return digest(pair.prompt, pair.chosen, pair.rejected, *([RULE] if pair.rule == RULE else []))
