"""The model card, adapter/README.md: the figures of evaluation.json, and their limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cai_lite.evaluation.labels import ADHERENCE, JUDGE, PAIRS
from cai_lite.evaluation.result import read_evaluation
from cai_lite.evaluation.shown import Row, sections
from cai_lite.reporting.markdown import code, inline
from cai_lite.run.files import methods_of, write_text
from cai_lite.stats import Comparison, Figure

CARD = "adapter/README.md"


def write_card(run_dir: str | Path) -> Path | None:
    """Write the card beside the run's adapter and return its path; None where the run has no adapter or evaluation."""
    folder = Path(run_dir)
    if not (folder / "adapter").is_dir() or not (folder / "evaluation.json").exists():
        return None
    path = folder / CARD
    write_text(path, card(read_evaluation(folder), methods_of(folder)))
    return path


_LEARNT = {
    "sft": "supervised learning on demonstrations (SFT) made under the constitution",
    "dpo": "DPO on preference pairs made under the constitution",
    "listwise": "DPO on rankings (Plackett-Luce) made under the constitution",
}


def card(evaluation: Mapping[str, Any], methods: Sequence[str] = ("dpo",), *, merged: Sequence[str] = ()) -> str:
    """Return the text of the card. `methods`: the training methods of the phases, in order.

    `merged`: for a model with the adapter merged into it, how that was done and how far it is from what was measured.
    """
    methods = [method for method in methods if re.fullmatch(r"\w+", method, re.ASCII)]
    how = ", then by ".join(_LEARNT.get(method, method) for method in methods)
    against = evaluation["against"]
    tags = ", ".join(["cai_lite", *dict.fromkeys(methods), "constitutional-ai"])
    hub = f"base_model: {against}\n" if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", against, re.ASCII) else ""
    what, kind = ("model", "The merge of a LoRA adapter into") if merged else ("adapter", "A LoRA adapter for")
    lines = [
        f"---\n{hub}library_name: {'transformers' if merged else 'peft'}\ntags: [{tags}]\n---\n",
        f"# {'A' if merged else 'An'} {what} that follows the constitution '{inline(evaluation['constitution'])}'\n",
        f"{kind} {code(against)}, trained by {how}. "
        f"Measured on held-out prompts before and after training; adherence by {inline(evaluation['judge'])}.\n",
        *(
            [" ".join(merged) + " The figures are those of the adapter on its base, before the merge.\n"]
            if merged
            else []
        ),
    ]
    for section, rows in sections(evaluation["metrics"]):
        if section in (PAIRS, JUDGE):
            continue
        if section == ADHERENCE:  # splits are in the report
            rows = [row for row in rows if not row.path.startswith("adherence.splits.")]
        note = f" ({section.note})" if section.note else ""
        lines += [f"## {section.title}{note}\n", "\n\n".join(_tables(rows, section.columns)), ""]
    lines += [
        f"Gate {code(gate['name'] + ' ' + gate['wanted'])}: {'holds' if gate['holds'] else 'does not hold'}.\n"
        for gate in evaluation.get("gates", ())
    ]
    toy = (
        " The models are of toy size, and the grammar that labelled the teacher's training also scores here."
        if "embedded:" in against
        else ""
    )
    lines.append(
        f"## Limits\n\nThe figures hold for prompts like the held-out ones, in their language.{toy} "
        "A judge has tastes of its own; refusals are counted by rules of English. An adapter changes how a model "
        "answers, not what it knows. Read samples before use.\n"
    )
    return "\n".join(lines)


def _tables(rows: list[Row], columns: tuple[str, str, str]) -> Iterator[str]:
    """Yield a Markdown table of the comparisons, and a list of the single figures."""
    compared = [(inline(row.label.heading), row.figure) for row in rows if isinstance(row.figure, Comparison)]
    single = [(inline(row.label.heading), row.figure) for row in rows if isinstance(row.figure, Figure)]
    if compared:
        head = f"| | {' | '.join(columns)} | 95 % interval | n |\n| --- | ---: | ---: | ---: | ---: | ---: |"
        lines = [
            f"| {heading} | {figure.before.value:.3f} | {figure.after.value:.3f} | {figure.change.value:+.3f} | "
            f"[{figure.change.low:+.3f}, {figure.change.high:+.3f}] | {figure.change.n} |"
            for heading, figure in compared
        ]
        yield "\n".join([head, *lines])
    if single:
        yield "\n".join(
            f"- {heading}: {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}], n = {figure.n}"
            for heading, figure in single
        )
