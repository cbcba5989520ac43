"""dataset_card.md: what pairs.jsonl is, for whoever gets it without the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cai_lite.evaluation.confounds import confounds, copies, warnings_of
from cai_lite.records import Messages, PreferencePair

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(
    pairs: Sequence[PreferencePair],
    *,
    name: str,
    digests: Mapping[str, str],
    counts: Mapping[str, Mapping[str, int]],
    held_out: Sequence[Messages] = (),
    seed: int = 0,
) -> str:
    """The card's text. `digests`: who made it, as `Roles.digests`; `counts`: as `Run.counts`."""
    size = next((label for most, label in _SIZES if len(pairs) < most), "n>1M")
    lines = [
        f"---\ntags: [cai_lite, preference, dpo, constitutional-ai]\nsize_categories: [{size}]\n---\n",
        f"# Preference pairs of the run '{name}'\n",
        f"{len(pairs):,} pairs in `pairs.jsonl`, one a line: `prompt`, `chosen` and `rejected` as message lists, the "
        "probability `p_chosen` that the chosen side is the better one, and the `evidence` of every verdict.\n",
        '```python\nimport cai_lite as cai\ndataset = cai.to_dataset(cai.load_pairs("pairs.jsonl"))\n```\n',
        "## Made by\n",
        *(f"- {what} (`{digest}`)" for what, digest in digests.items()),
        "\n## What is in it\n",
        _table("principle", Counter(pair.principle or "none named" for pair in pairs), len(pairs)),
        _table("rule", Counter(pair.rule or "none named" for pair in pairs), len(pairs)),
    ]
    lines += ["## What was counted on the way\n", "| stage | |", "| --- | --- |"]
    lines += [
        f"| {stage} | {', '.join(f'{n:,} {what}' for what, n in of.items() if n)} |" for stage, of in counts.items()
    ]
    alone = confounds(pairs, seed=seed)
    found = {**alone, **copies(pairs, held_out, seed=seed)}
    if found:
        lines += [
            "\n## What else tells chosen from rejected\n",
            "| | value | 95 % interval | n |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {what} | {f['value']:.2f} | [{f['low']:.2f}, {f['high']:.2f}] | {f['n']} |" for what, f in found.items()
        ]
        lines += [
            "",
            "Length, refusal and author: the share of pairs that it alone orders, 0.5 where it tells nothing.",
        ]
        lines += [f"\n**Note:** {warning}." for warning in warnings_of(alone)]
    lines.append(
        "\n## Limits\n\nThe preferences are those of a model under written principles, not of people, except where the "
        "rule is `human`. The texts are as the models wrote them: some are wrong or unkind, the rejected ones on "
        "purpose.\n"
    )
    return "\n".join(lines)


def _table(head: str, counted: Mapping[str, int], total: int) -> str:
    rows = "\n".join(
        f"| {what} | {n:,} | {n / total:.0%} |" for what, n in sorted(counted.items(), key=lambda r: -r[1])
    )
    return f"| {head} | pairs | |\n| --- | ---: | ---: |\n{rows}\n" if counted else ""
