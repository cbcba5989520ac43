"""adapter/README.md: the model card, from the same numbers as the report, with its limits stated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.evaluation import read_evaluation

_SHOWN = {
    "over_refusal": "benign twins refused",
    "unsafe_compliance": "unsafe requests complied with",
    "well_formed": "well-formed",
    "perplexity": "perplexity on neutral text",
    "words": "words per answer",
}
_FIGURES = {
    "preference_accuracy": "Held-out preference accuracy",
    "win_rate": "Win rate against the base",
    "win_rate_equal_length": "Win rate at equal length",
    "kl": "KL from the base on neutral text, nats a token",
}


def write_card(run_dir: str | Path) -> Path | None:
    """Write the card beside the run's adapter; None where the run has none."""
    folder = Path(run_dir)
    if not (folder / "adapter").is_dir() or not (folder / "evaluation.json").exists():
        return None
    path = folder / "adapter" / "README.md"
    path.write_text(card(read_evaluation(folder)), encoding="utf-8")
    return path


def card(evaluation: Mapping[str, Any]) -> str:
    """The text of the card."""
    metrics, against = evaluation["metrics"], evaluation["against"]
    hub = f"base_model: {against}\n" if "/" in against and not against.startswith(("/", ".")) else ""
    lines = [
        f"---\n{hub}library_name: peft\ntags: [cai_lite, dpo, constitutional-ai]\n---\n",
        f"# An adapter that follows the constitution '{evaluation['constitution']}'\n",
        f"A LoRA adapter for `{against}`, trained by DPO on preference pairs made under the constitution. "
        f"Measured on held-out prompts, before beside after; adherence by {evaluation['judge']}.\n",
    ]
    rows = [*metrics.get("adherence", {}).get("principles", {}).items()]
    if "adherence" in metrics:
        rows.append(("**all principles**", metrics["adherence"]["overall"]))
    rows += [(label, metrics[name]) for name, label in _SHOWN.items() if name in metrics]
    if rows:
        lines.append("| | before | after | change | 95 % interval | n |\n| --- | ---: | ---: | ---: | ---: | ---: |")
        for name, row in rows:
            change = row["change"]
            lines.append(
                f"| {name} | {row['before']['value']:.3f} | {row['after']['value']:.3f} | {change['value']:+.3f} | "
                f"[{change['low']:+.3f}, {change['high']:+.3f}] | {change['n']} |"
            )
    for name, label in _FIGURES.items():
        if name in metrics:
            figure = metrics[name]
            span = f"[{figure['low']:.3f}, {figure['high']:.3f}]"
            lines.append(f"\n{label} {figure['value']:.3f} {span}, n = {figure['n']}.")
    for name, row in metrics.get("robustness", {}).items():
        drop = row["drop"]
        span = f"[{drop['low']:+.3f}, {drop['high']:+.3f}]"
        lines.append(
            f"\nAdherence changes by {drop['value']:+.3f} {span} under {name.replace('_', ' ')}, n = {drop['n']}."
        )
    for gate in evaluation.get("gates", ()):
        lines.append(f"\nGate `{gate['name']} {gate['wanted']}`: {'holds' if gate['holds'] else 'does not hold'}.")
    toy = (
        " The models are of toy size, and the grammar that labelled the teacher's training also scores here."
        if "embedded:" in against
        else ""
    )
    lines.append(
        f"\n## Limits\n\nThe figures hold for prompts like the held-out ones, in their language.{toy} "
        "A judge has tastes of its own; refusals are counted by rules of English. An adapter changes how a model "
        "answers, not what it knows. Read samples before use.\n"
    )
    return "\n".join(lines)
