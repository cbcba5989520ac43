"""Measure the machine checks of the domains on labelled and on public replies: `python -m tests.inputs.check_figures`.

`replies/DOMAIN.jsonl` and `replies/DOMAIN_second.jsonl`, on which the patterns were tuned, and
`replies/DOMAIN_held_out.jsonl`, the half of an independent writer's that nobody tuned on, hold a reply a line:
{"prompt", "reply", "register", "labels": {principle: true or false}}, where true says that the reply keeps the
principle. A false alarm is a check that fails a reply labelled as kept, a miss one that passes a reply labelled as
broken.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cai_lite.inputs.constitution import Principle, load_constitution

REPLIES = Path(__file__).parent / "replies"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DOMAINS = ("medical", "customer-service", "creative")
TURN = re.compile(r"\n(?=(?:system|user|assistant|tool): )")


@dataclass(frozen=True)
class Figures:
    """Counts for one principle, or one domain: replies labelled as kept and as broken, and what the checks say."""

    kept: int = 0
    broken: int = 0
    false_alarms: int = 0
    misses: int = 0
    abstained: int = 0
    found: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def false_alarm_rate(self) -> float:
        return self.false_alarms / self.kept if self.kept else 0.0


def label_files() -> list[Path]:
    return [path for path in sorted(REPLIES.glob("*.jsonl")) if domain_of(path) in DOMAINS]


def domain_of(path: Path) -> str:
    return path.stem.removesuffix("_second").removesuffix("_held_out")


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def measured(path: Path) -> dict[str, Figures]:
    """Return the figures of each principle with checks that the file labels."""
    constitution = load_constitution(domain_of(path))
    found: dict[str, Figures] = {}
    for row in rows_of(path):
        for id_, kept in row["labels"].items():
            if checks := constitution.principle(id_).checks:
                said = checks.passed(row["reply"])
                fails, passes = said is False, said is True
                one = Figures(kept, not kept, kept and fails, not kept and passes, said is None, not kept and fails)
                found[id_] = found.get(id_, Figures()) + one
    return found


def wrong(path: Path) -> Iterator[str]:
    """Yield a line for each false alarm."""
    constitution = load_constitution(domain_of(path))
    for row in rows_of(path):
        for id_, kept in row["labels"].items():
            checks = constitution.principle(id_).checks
            if checks and kept and checks.passed(row["reply"]) is False:
                yield f"{id_}: {row['reply']}"


def refusals(shared: Path) -> dict[str, list[str]]:
    """Return public replies that decline an unsafe request, by their source."""
    with (shared / "xstest_completions_gpt4.csv").open(encoding="utf-8", newline="") as file:
        refused = [
            row["completion"]
            for row in csv.DictReader(file)
            if row["type"].startswith("contrast") and row["final_label"] == "2_full_refusal"
        ]
    safe = []
    for path in sorted(shared.glob("medsafety_gpt4_category_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            safe += [row["safe_response"] for row in csv.DictReader(file)]
    return {"XSTest, refusals of GPT-4": refused, "MedSafetyBench, safe replies of GPT-4": safe}


def support_turns(shared: Path) -> list[str]:
    """Return the turns of the agents of tau-bench, without tool calls."""
    lines = (shared / "taubench_retail_conversations_30.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [turn for line in lines for turn in TURN.split(json.loads(line)["messages_display"])]
    said = [turn.removeprefix("assistant: ") for turn in turns if turn.startswith("assistant: ")]
    return [turn for turn in said if turn.strip() not in ("", "None")]


def on_public_replies(shared: Path) -> Iterator[tuple[str, str, Counter[bool | None]]]:
    """Yield the source, the principle, and how many replies pass (True), fail (False) or stay undecided (None).

    Only `forbid` is read: nobody labelled whether these replies name help, and no turn answers to a hazard.
    """
    declining = [load_constitution("medical").principle("decline-with-care")]
    for source, replies in refusals(shared).items():
        yield from _forbidden(source, declining, replies)
    support = load_constitution("customer-service").principles
    yield from _forbidden("tau-bench, turns of agents", support, support_turns(shared))


def _forbidden(
    source: str, principles: Iterable[Principle], replies: list[str]
) -> Iterator[tuple[str, str, Counter[bool | None]]]:
    for principle in principles:
        if principle.checks and principle.checks.forbid:
            checks = replace(principle.checks, require_any=())
            yield source, principle.id, Counter(map(checks.passed, replies))


def table(rows: Iterable[Iterable[object]]) -> str:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts)


def main() -> None:
    rows: list[tuple[object, ...]] = [
        ("file", "principle", "kept", "broken", "false alarms", "share", "found", "misses", "abstained")
    ]
    for path in label_files():
        found = measured(path)
        for id_, f in [*found.items(), ("all", sum(found.values(), Figures()))]:
            share = f"{f.false_alarm_rate:.1%}"
            rows.append((path.stem, id_, f.kept, f.broken, f.false_alarms, share, f.found, f.misses, f.abstained))
    print(table(rows))
    if SHARED.is_dir():
        public: list[tuple[object, ...]] = [("source", "principle", "replies", "failed", "share", "undecided")]
        for source, id_, counts in on_public_replies(SHARED):
            n = counts.total()
            public.append((source, id_, n, counts[False], f"{counts[False] / n:.1%}", counts[None]))
        print()
        print(table(public))


if __name__ == "__main__":
    main()
