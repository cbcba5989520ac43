"""`lint --judge`: can this judge tell the good example of a principle from the bad one, each time, and in other words?
And what do the other principles say of it? The principles' own examples are the cases: without any there is no trial.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat import open_model
from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.judging import Judging
from cai_lite.distill.verdicts import judge
from cai_lite.embedded.knowledge import untrained
from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.linting import Finding
from cai_lite.records import Candidate, Message, Prompt, Verdict, digest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Tick

OTHER_WORDS = "Judge by this rule alone, whatever else the replies do: {text}"
UNSURE = 0.8  # bits: 1 is a coin
CLEAR = 0.1  # a preference that is less than this away from one half is none


def try_out(
    model: ChatModel,
    constitution: Constitution,
    *,
    votes: int = 5,
    run: Run | None = None,
    progress: Tick | None = None,
) -> dict[str, Any]:
    """What the judge makes of every example that has a good and a bad reply.

    `examples`: per principle, the probability that its good reply is preferred (`right`), the same in other words
    (`reworded`), and the entropy of `votes` drawn verdicts of each order, in bits (`entropy`); None where nothing could
    be read. `matrix`: per principle whose examples they are, per principle that judges: the mean probability that the
    good reply is preferred; below one half, the two pull apart. `findings`: the linter's, of all this.
    """
    tried = [p for p in constitution.principles if any(example.bad for example in p.examples)]
    tags = tuple({tag for p in constitution.principles for tag in p.applies_to})  # every principle speaks here
    cases = {p.id: _cases(p, tags) for p in tried}
    all_cases = [candidate for candidates in cases.values() for candidate in candidates]
    work = run or Run()
    judging = Judging(mode="pointwise" if model.wording == "short" else "pairwise", principles=1)

    def judged(rows: Sequence[Candidate], rules: Constitution, how: Judging, stage: str) -> list[Verdict]:
        return judge(
            model, rows, rules, rule="best_over_worst", judging=how, stage=Stage(run=work, name=stage, tick=progress)
        )

    reworded = in_other_words(constitution)
    plain = judged(all_cases, constitution, judging.but(principles=len(constitution.principles)), "trial")
    other: list[Verdict] = []
    drawn: list[Verdict] = []
    for principle in tried:
        alone = dataclasses.replace(constitution, principles=(principle,), conflicts=())
        turned = dataclasses.replace(alone, principles=(reworded.principle(principle.id),))
        mine = cases[principle.id]
        other += judged(mine, turned, judging, "trial in other words")
        drawn += judged(mine, alone, judging.but(votes=votes, drawn=True, log_probs="never"), "trial again")
    examples = {
        p.id: {
            "right": _mean(_of(plain, p.id, p.id)),
            "reworded": _mean(_of(other, p.id, p.id)),
            "entropy": _mean([_bits(share) for share in _of(drawn, p.id, p.id)]),
        }
        for p in tried
    }
    matrix = {p.id: {q.id: _mean(_of(plain, p.id, q.id)) for q in constitution.principles} for p in tried}
    return {
        "judge": model.name,
        "votes": votes,
        "examples": examples,
        "matrix": matrix,
        "findings": [dataclasses.asdict(finding) for finding in _findings(constitution, tried, examples, matrix)],
    }


def try_files(
    names: Sequence[str], where: str, model: str | None = None, *, votes: int = 5, out: Path | None = None
) -> list[dict[str, Any]]:
    """`try_out` for several constitutions; the run in `out` keeps every answer."""
    opened = open_model(where, model=model)
    found = []
    with Run(out) as run:
        for name in names:
            constitution = load_constitution(name)
            unknown = untrained(constitution) if opened.name == "embedded:teacher" else []
            known = tuple(p for p in constitution.principles if p.id not in unknown)
            constitution = dataclasses.replace(constitution, principles=known)
            tried = try_out(opened, constitution, votes=votes, run=run)
            tried["untrained"] = unknown
            tried["findings"] = [{"file": constitution.path, **finding} for finding in tried["findings"]]
            found.append(tried)
    return found


def in_other_words(constitution: Constitution) -> Constitution:
    """The same principles under the same ids, each asked for in other words: what a verdict should not turn with."""
    return dataclasses.replace(
        constitution,
        principles=tuple(dataclasses.replace(p, text=OTHER_WORDS.format(text=p.text)) for p in constitution.principles),
    )


def show_trials(found: dict[str, Any], console: Console | None = None) -> None:
    """A row for each principle with examples; then what the others say of them: below one half two pull apart."""
    console = console or Console()
    if found.get("untrained"):
        left_out = ", ".join(found["untrained"])
        console.print(Text(f"not tried: the embedded teacher was not trained for {left_out}"), soft_wrap=True)
    names = list(next(iter(found["matrix"].values()), {}))
    of_own = _table(f"{found['judge']}: how likely the good example is preferred", "right", "reworded", "bits")
    for id_, row in found["examples"].items():
        of_own.add_row(id_, *(_shown(row[name]) for name in ("right", "reworded", "entropy")))
    console.print(of_own)
    others = _table("the same in percent, judged by principle", *(str(number) for number in range(1, len(names) + 1)))
    for id_, row in found["matrix"].items():
        others.add_row(
            f"{names.index(id_) + 1} {id_}", *("" if row[n] is None else f"{row[n]:.0%}"[:-1] for n in names)
        )
    console.print(others)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=Text(title), min_width=78)
    table.add_column("examples of", overflow="fold", max_width=26)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _findings(
    constitution: Constitution,
    tried: Sequence[Principle],
    examples: dict[str, dict[str, float | None]],
    matrix: dict[str, dict[str, float | None]],
) -> list[Finding]:
    decided = {frozenset(conflict.between) for conflict in constitution.conflicts}
    found = []

    def say(principle: Principle, rule: str, message: str, mend: str) -> None:
        found.append(
            Finding(line=principle.line, rule=rule, level="warning", principle=principle.id, message=message, mend=mend)
        )

    for p in tried:
        right, again, bits = (examples[p.id][name] for name in ("right", "reworded", "entropy"))
        if right is None:
            say(
                p,
                "unreadable",
                "the judge gave no verdict that could be read",
                "try another judge, or more room for it",
            )
            continue
        if abs(right - 0.5) < CLEAR:
            say(
                p, "blind", f"the judge sees no difference between the examples ({right:.2f})", "show it in the example"
            )
            continue
        if right < 0.5:
            say(
                p,
                "disagrees",
                f"the judge prefers the bad example ({right:.2f})",
                "reword the principle or the example",
            )
        if again is not None and (right - 0.5) * (again - 0.5) < 0 and abs(again - 0.5) >= CLEAR:
            say(
                p,
                "wording",
                f"the verdict turns with the wording ({right:.2f}, then {again:.2f})",
                "say it more plainly",
            )
        if bits is not None and bits > UNSURE:
            say(p, "unsure", f"asked again, the judge says something else ({bits:.2f} bits)", "name what one would see")
        for q in constitution.principles:
            theirs = matrix[p.id][q.id]
            if q.id == p.id or theirs is None or frozenset((p.id, q.id)) in decided:
                continue
            if theirs <= 0.5 - CLEAR:
                say(
                    p,
                    "pulls-apart",
                    f"'{q.id}' prefers the reply that this principle calls bad ({theirs:.2f})",
                    "decide it under 'conflicts'",
                )
    return sorted(found, key=lambda f: (f.line, f.rule, f.message))


def _cases(principle: Principle, tags: tuple[str, ...]) -> list[Candidate]:
    """Two candidates for each example, the good one first."""
    cases = []
    for number, example in enumerate(e for e in principle.examples if e.bad):
        prompt = Prompt(
            key=digest("example", principle.id, number, example.prompt),
            messages=(Message("user", example.prompt),),
            family=principle.id,
            tags=tags,
        )
        for place, text in enumerate((example.good, example.bad)):
            cases.append(
                Candidate(
                    key=digest("example", prompt.key, place, text),
                    prompt=prompt,
                    text=text,
                    author="example",
                    parents=(prompt.key,),
                )
            )
    return cases


def _of(verdicts: Sequence[Verdict], whose: str, judged_by: str) -> list[float]:
    """Of the examples of one principle, the probability that the good reply is better under another."""
    return [
        v.p_first
        for v in verdicts
        if v.first.prompt.family == whose and v.principle == judged_by and v.p_first is not None
    ]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _bits(p: float) -> float:
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
