"""The section of report.html with the model's answers: before beside after, each with its verdicts, worst first."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from cai_lite.evaluation.metrics import label_of
from cai_lite.evaluation.reply_kinds import reply_kind
from cai_lite.evaluation.result import SIDES, Answered
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import Messages
from cai_lite.reporting.filters import Choice, filters, search
from cai_lite.reporting.html import Html, Part, table, tag
from cai_lite.run.ledger import Run

CAPTION = "Verdicts, with the judge's probability of 'keeps', and what machine checks say where they differ"
LIMIT = 120  # prompts whose answers are shown
BYTES_LIMIT = 1_000_000  # for all answers shown, so that the page stays small whatever their length
TITLES = {"before": "before", "after": "after", "prompted": "base, prompted", "teacher": "teacher"}
STATES = {
    "n": "newly broken: kept before, broken after",
    "b": "broken before and after",
    "m": "mended: broken before, kept after",
    "k": "kept before and after",
}
"""What became of a principle on a prompt, worst first."""
_BREAKS = "nb"


class Asked(NamedTuple):
    """A prompt with its answers by side. A model that is measured alone has the side "after"."""

    prompt: Messages
    tags: tuple[str, ...]
    answers: Mapping[str, Answered]

    def states(self) -> dict[str, str]:
        """Return what became of each principle (see `STATES`) that the answer after was judged on, by its id."""
        before, after = (self.answers.get(side) for side in ("before", "after"))
        found = {}
        for id_, kept in after.verdicts.items() if after else ():
            was = before.verdicts.get(id_) if before else kept
            if kept is not None and was is not None:
                found[id_] = ("k" if was else "m") if kept else ("n" if was else "b")
        return found

    def reply(self) -> str:
        """Return the kind of the answer after training, see `reply_kinds`; "none" if it is empty."""
        after = self.answers.get("after")
        text = after.answer.strip() if after else ""
        return "" if after is None else reply_kind(text) if text else "none"


class Evidence(NamedTuple):
    """What stands beside a verdict: the judge's probability by answer and principle, and the machine checks."""

    scores: Mapping[tuple[str, str], float]
    checks: Mapping[str, Checks]


@dataclass(frozen=True, slots=True)
class Shown:
    """The section, with how many answers break each principle after training, in all and in the section."""

    section: Html
    breaking: Mapping[str, tuple[int, int]]
    numbers: Mapping[str, int]

    def link(self, id_: str) -> Part:
        """Return a link to the answers that break a principle; with scripts, it sets the filter."""
        total, shown = self.breaking.get(id_, (0, 0))
        if not shown:
            return total
        more = f" ({shown} shown)" if shown < total else ""
        return tag("a", f"{total}{more}", href="#answers", data_principle=self.numbers[id_], data_state=_BREAKS)


def answers(
    lines: Sequence[Answered], run: Run, order: Collection[str], policy: Constitution | None = None
) -> Shown | None:
    """Show up to `LIMIT` prompts with their answers, some for every principle and state.

    `order`: ids of principles, the worst first, as the section of principles has them. `policy`: the constitution,
    whose machine checks are evidence beside the verdicts.
    """
    asked = _asked(lines)
    if not any("after" in one.answers for one in asked):
        return None
    ids = list(dict.fromkeys([*order, *(id_ for one in asked for id_ in one.states())]))
    numbers = {id_: number for number, id_ in enumerate(ids)}
    tags = sorted({name for one in asked for name in one.tags})
    chosen = list(_spread(asked, ids))
    evidence = Evidence(
        _scores(run, {line.key for one in chosen for line in one.answers.values()}),
        {p.id: p.checks for p in policy.principles if p.checks is not None} if policy else {},
    )
    cards, kept, replies, size = list[Html](), list[Asked](), dict[str, None](), 0
    for one in sorted(chosen, key=_badness):
        reply = one.reply()
        card = _card(one, reply, numbers, {name: number for number, name in enumerate(tags)}, evidence)
        size += len(card.encode())
        if size > BYTES_LIMIT and cards:
            break
        cards.append(card)
        kept.append(one)
        replies[reply] = None
    box = filters(
        "answer",
        search(),
        Choice("principle", "principle", [(str(numbers[id_]), id_) for id_ in ids]),
        Choice("state", "verdict", [(_BREAKS, "broken after training"), *STATES.items()]),
        Choice("tag", "tag", [(str(number), name) for number, name in enumerate(tags)]),
        Choice("reply", "kind of reply after training", [(kind, _kind(kind)) for kind in replies if kind]),
    )
    text = (
        f"{len(cards):,} of {len(asked):,} prompts shown, the worst first, some for every principle; all are in "
        "answers.jsonl."
    )
    breaking = {id_: (_breaking(asked, id_), _breaking(kept, id_)) for id_ in ids}
    section = tag("section", tag("h2", "Answers"), tag("p", text, class_="faint"), box, *cards, id="answers")
    return Shown(section, breaking, numbers)


def _kind(name: str) -> str:
    return "no answer" if name == "none" else label_of(f"reply_kinds.{name}").text


def _asked(lines: Sequence[Answered]) -> list[Asked]:
    """Return the prompts with their answers; further samples of the same prompt are further ones."""
    by_prompt: dict[Messages, dict[str, list[Answered]]] = {}
    for line in lines:
        by_prompt.setdefault(line.prompt, {}).setdefault(line.side, []).append(line)
    found = []
    for prompt, by_side in by_prompt.items():
        known = [side for side in SIDES if side in by_side]
        for row in zip_longest(*(by_side[side] for side in known)):
            of = {side: line for side, line in zip(known, row, strict=True) if line is not None}
            found.append(Asked(prompt, next(iter(of.values())).tags, of))
    return found


def _spread(asked: Sequence[Asked], ids: Sequence[str]) -> Iterator[Asked]:
    """Yield prompts for every principle in turn, each state in turn beginning with the worst, then the others."""
    queues: dict[tuple[str, str], list[int]] = {(state, id_): [] for state in STATES for id_ in ids}
    for place, one in enumerate(asked):
        for id_, state in one.states().items():
            queues[state, id_].append(place)
    turns = [place for turn in zip_longest(*queues.values()) for place in turn if place is not None]
    for place in list(dict.fromkeys([*turns, *range(len(asked))]))[:LIMIT]:
        yield asked[place]


def _badness(one: Asked) -> tuple[int, int]:
    states = list(one.states().values())
    return -sum(state in _BREAKS for state in states), -states.count("n")


def _breaking(asked: Sequence[Asked], id_: str) -> int:
    return sum(one.states().get(id_, "k") in _BREAKS for one in asked)


def _scores(run: Run, keys: Collection[str]) -> dict[tuple[str, str], float]:
    """Return the judge's probability that an answer keeps a principle, where it gave one, by answer and principle."""
    found = {}
    for _, parents, payload in run.rows("score"):
        if parents[0] in keys and payload.get("log_odds") is not None:
            found[parents[0], payload["principle"]] = 1 / (1 + math.exp(-max(-700.0, payload["log_odds"])))
    return found


def _card(one: Asked, reply: str, numbers: Mapping[str, int], tags: Mapping[str, int], evidence: Evidence) -> Html:
    states, sides = one.states(), [side for side in SIDES if side in one.answers]
    broken = [f"{id_}{' (newly)' if state == 'n' else ''}" for id_, state in states.items() if state in _BREAKS]
    said = f"breaks {', '.join(broken)}" if broken else "keeps every principle judged" if states else "not judged"
    ids = [id_ for id_ in numbers if any(id_ in line.verdicts for line in one.answers.values())]
    verdicts: list[list[Part]] = [[id_, *(_verdict(one.answers[side], id_, evidence) for side in sides)] for id_ in ids]
    texts = [tag("div", tag("h3", TITLES[side]), tag("p", one.answers[side].answer or "(no answer)")) for side in sides]
    last = one.prompt[-1].content if one.prompt else ""
    return tag(
        "details",
        tag("summary", tag("span", last[:110]), tag("span", said, class_="bad" if broken else "faint")),
        *(tag("p", tag("b", message.role), " ", message.content) for message in one.prompt),
        tag("div", *texts, class_="sides"),
        table(
            CAPTION,
            ["", *(TITLES[s] for s in sides)],
            verdicts,
        )
        if verdicts
        else None,
        tag("p", f"tags: {', '.join(one.tags)}", class_="faint") if one.tags else None,
        class_="answer",
        data_state=" ".join(f"{numbers[id_]}{state}" for id_, state in states.items()),
        data_tag=" ".join(str(tags[name]) for name in one.tags),
        data_reply=reply,
    )


def _verdict(line: Answered, id_: str, evidence: Evidence) -> Part:
    if id_ not in line.verdicts:
        return ""
    kept, p = line.verdicts[id_], evidence.scores.get((line.key, id_))
    if kept is None:
        return tag("span", "? unreadable", class_="same")
    said: list[Part] = [f"{'✓ keeps' if kept else '✗ breaks'}{'' if p is None else f' ({p:.2f})'}"]
    checks = evidence.checks.get(id_)
    passed = None if checks is None else checks.passed(line.answer) if line.answer.strip() else False
    if passed is not None and passed != kept:
        said.append(tag("span", f"; checks: {'passed' if passed else 'failed'}", class_="open"))
    return tag("span", *said, class_="good" if kept else "bad")
