"""The data set card, dataset_card.md: what pairs.jsonl contains, for readers who do not have the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cai_lite.evaluation.confounds import confounds, copies, warnings_of
from cai_lite.evaluation.metrics import label_of
from cai_lite.records import Messages, PreferencePair
from cai_lite.reporting.markdown import code, inline

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
    """Return the text of the card. `digests`: the models that made the pairs, as `Roles.digests` returns them.

    `counts`: rows by stage, as `Run.counts` returns them.
    """
    size = next((label for limit, label in _SIZES if len(pairs) < limit), "n>1M")
    lines = [
        f"---\ntags: [cai_lite, preference, dpo, constitutional-ai]\nsize_categories: [{size}]\n---\n",
        f"# Preference pairs of the run '{inline(name)}'\n",
        f"{len(pairs):,} pairs in `pairs.jsonl`, one a line: `prompt`, `chosen` and `rejected` as message lists, the "
        "probability `p_chosen` that the chosen side is the better one, and the `evidence` of every verdict.\n",
        '```python\nimport cai_lite as cai\ndataset = cai.to_dataset(cai.load_pairs("pairs.jsonl"))\n```\n',
        "## Made by\n",
        *(f"- {inline(what)} ({code(digest)})" for what, digest in digests.items()),
        "\n## Contents\n",
        _table("principle", Counter(pair.principle or "none named" for pair in pairs), len(pairs)),
        _table("rule", Counter(pair.rule or "none named" for pair in pairs), len(pairs)),
    ]
    lines += ["## Rows by stage\n", "| stage | |", "| --- | --- |"]
    lines += [
        f"| {inline(stage)} | {', '.join(f'{n:,} {inline(what)}' for what, n in of.items() if n)} |"
        for stage, of in counts.items()
    ]
    alone = confounds(pairs, seed=seed)
    found = {f"confounds.{name}": figure for name, figure in alone.items()}
    found |= {f"copies.{name}": figure for name, figure in copies(pairs, held_out, seed=seed).items()}
    if found:
        lines += [
            "\n## Confounds and copies\n",
            "| | value | 95 % interval | n |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {inline(label_of(path).heading)} | {f.value:.2f} | [{f.low:.2f}, {f.high:.2f}] | {f.n} |"
            for path, f in found.items()
        ]
        lines += [
            "",
            "Pairs ordered by length, refusing or author alone: 0.5 means that the property does not order the pairs.",
        ]
        lines += [f"\n**Note:** {inline(warning)}." for warning in warnings_of(alone)]
    lines.append(
        "\n## Limits\n\nThe preferences are those of a model under written principles, not of people, except where the "
        "rule is `human`. The texts are as the models wrote them: some are wrong or unkind, the rejected ones on "
        "purpose.\n"
    )
    return "\n".join(lines)


def _table(head: str, counted: Mapping[str, int], total: int) -> str:
    rows = "\n".join(
        f"| {inline(what)} | {n:,} | {n / total:.0%} |" for what, n in sorted(counted.items(), key=lambda r: -r[1])
    )
    return f"| {head} | pairs | |\n| --- | ---: | ---: |\n{rows}\n" if counted else ""
