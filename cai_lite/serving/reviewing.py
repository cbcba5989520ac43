"""The state of a review: what each person decided on which item, and the files that come of it.

A decision is a row of run.db of the kind `decision`; the last one of a person on an item counts, and nothing is ever
removed. labels.jsonl and human.jsonl follow: what somebody takes back or changes leaves them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Literal

from cai_lite.errors import InputError
from cai_lite.inputs.forms import LONGEST
from cai_lite.inputs.human import HUMAN, HumanEdit, HumanVote, append_rows, human_of, iso
from cai_lite.inputs.labels import LABELS
from cai_lite.inputs.textfile import RowFault, check_writable
from cai_lite.records import digest
from cai_lite.run.files import write_lines
from cai_lite.run.ledger import Run
from cai_lite.serving.review_items import Comparisons, Item, Labels, Queue, Rankings

Mode = Literal["pairs", "answers", "ranks"]
CHOICES: dict[Mode, tuple[str, ...]] = {
    "pairs": ("first", "second", "tie"),
    "answers": ("keeps", "breaks"),
    "ranks": ("ranks",),
}
ASIDE = ("skip", "flag")  # choices that say nothing of the texts
_KIND = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one person has decided on one item.

    `choice`: one of `CHOICES` or `ASIDE`, or "" where it is open or was taken back. "first" and "second" name the texts
    in the order of the run, whatever the order in which they were shown. `confidence`: from 0, a guess, to 1, sure.
    `ranks`: of each text, from 1, the best; equal ones tie. `edit`: index of a text, and the text in its place.
    `hinted`: the principle was looked at before. `seconds`: how long the item was looked at. `at`: since 1970.
    """

    item: str
    by: str
    choice: str = ""
    confidence: float = 1.0
    ranks: tuple[int, ...] = ()
    edit: tuple[int, str] | None = None
    hinted: bool = False
    seconds: float = 0.0
    at: float = field(default_factory=lambda: round(time.time(), 3))


class Review:
    """A review of one run, in one mode; `run` stays open, so that nobody else works in it meanwhile.

    `sample`: how many items are reviewed, the first ones of the queue; None for all.
    """

    def __init__(self, run: Run, mode: Mode, *, sample: int | None = None, at_random: bool = False) -> None:
        self.run, self.mode = run, mode
        self._folder = run.path(".")
        self.queue: Queue = (
            Comparisons(run, at_random=at_random)
            if mode == "pairs"
            else Labels(run)
            if mode == "answers"
            else Rankings(run)
        )
        self.keys = self.queue.keys[:sample]
        self.places = {key: place for place, key in enumerate(self.keys)}
        self.decisions: dict[tuple[str, str], Decision] = {}
        self._done = Counter[str]()
        self._history: list[tuple[Decision | None, Decision]] = []  # of this session: before and after
        self._owed: tuple[Item, Decision | None, Decision] | None = None  # a decision that the files may lack
        last: tuple[Decision | None, Decision] | None = None
        for _, _, payload in run.rows(_KIND):
            decision = _decision(payload)
            before = self._take(decision)
            last = (before, decision) if decision.item in self.places else last
        if last is not None:  # the process may have ended between run.db and the files
            self._owed = self.item(self.places[last[1].item]), *last
            self._settle(again=True)

    def item(self, place: int) -> Item:
        """Return an item.

        Raises:
            InputError: there is none at this place.
        """
        if not 0 <= place < len(self.keys):
            raise InputError(f"there are items 1 to {len(self.keys):,}, and no {place + 1:,}")
        return self.queue.item(place)

    def of(self, key: str, by: str) -> Decision:
        """Return what somebody has decided on an item; an open decision if nothing."""
        return self.decisions.get((key, by)) or Decision(item=key, by=by)

    def done(self, by: str) -> int:
        """Return how many items somebody has decided on."""
        return self._done[by]

    def next_open(self, by: str, place: int = 0) -> int | None:
        """Return the first place from `place` on, and then from the beginning, that is open; None if all are done."""
        if self._done[by] >= len(self.keys):
            return None
        order = chain(range(place, len(self.keys)), range(place))
        return next((here for here in order if not self.of(self.keys[here], by).choice), None)

    def decide(self, decision: Decision) -> str:
        """Store a decision and bring the files up to date; return why something is not written to them, or "".

        Raises:
            InputError: the item is not one of this review, or the decision does not fit it. DiskError: a file cannot be
                written; the decision is stored in run.db, and the file gets it with the next one.
        """
        if decision.item not in self.places:
            raise InputError(f"no item {decision.item[:40]!r} in this review")
        item = self.item(self.places[decision.item])
        self.check(item, decision)
        self._settle()
        payload = {name: value for name, value in asdict(decision).items() if value not in (None, (), "")}
        payload |= {"mode": self.mode, "drawn": self.queue.drawn}
        self.run.keep_rows(_KIND, [(digest(_KIND, payload), item.sources, payload)])
        before = self._take(decision)
        self._history.append((before, decision))
        self._owed = item, before, decision
        return self._settle()

    def undo(self, by: str) -> Decision | None:
        """Take the last decision of this session by somebody back; return what holds now, None if there is none."""
        found = next((both for both in reversed(self._history) if both[1].by == by), None)
        if found is None:
            return None
        self._history.remove(found)
        before = found[0] or Decision(item=found[1].item, by=by)
        restored = replace(before, at=round(time.time(), 3))
        self.decide(restored)
        self._history.pop()
        return restored

    def _take(self, decision: Decision) -> Decision | None:
        before = self.decisions.get((decision.item, decision.by))
        self.decisions[decision.item, decision.by] = decision
        if decision.item in self.places:
            self._done[decision.by] += bool(decision.choice) - bool(before and before.choice)
        return before

    def check(self, item: Item, decision: Decision) -> None:
        """Check that a decision fits its item.

        Raises:
            InputError: it does not.
        """
        if decision.choice not in ("", *ASIDE, *CHOICES[self.mode]):
            raise InputError(f"'{decision.choice[:40]}' is not a choice; choices: {', '.join(CHOICES[self.mode])}")
        if not decision.by.strip():
            raise InputError("a decision needs the name of who made it")
        if not 0 <= decision.confidence <= 1:
            raise InputError(f"the confidence should be from 0 to 1, got {decision.confidence}")
        wanted = len(item.texts) if decision.choice == "ranks" else 0
        if len(decision.ranks) != wanted or not all(1 <= rank <= 9 for rank in decision.ranks):
            raise InputError(f"there should be {wanted} ranks from 1 to 9, got {list(decision.ranks)}")
        if decision.edit is None:
            return
        place, text = decision.edit
        if not 0 <= place < len(item.texts):
            raise InputError(f"there is no text {place} to edit")
        if not text.strip() or text == item.texts[place]:
            raise InputError("the edited text is empty" if not text.strip() else "the text was not changed")
        if len(text) > LONGEST:
            raise InputError(f"the edited text has {len(text):,} characters, more than {LONGEST:,}")
        try:
            check_writable(text, "the edited text")
        except RowFault as fault:
            raise InputError(str(fault)) from None

    def _settle(self, *, again: bool = False) -> str:
        """Write what the files lack of the last decision, and remove what it replaces. `again`: it may be there."""
        if self._owed is None:
            return ""
        item, before, after = self._owed
        gone = list(lines_of(self.mode, item, before)) if before else []
        refused = ""
        added: list[tuple[str, dict[str, Any]]] = []
        for name, row in lines_of(self.mode, item, after):
            try:
                if name == HUMAN:
                    human_of(row)
                added.append((name, row))
            except RowFault as fault:
                refused = f"kept in run.db, but not written to {name}: {fault}"
        for name in (LABELS, HUMAN):
            new = [row for file, row in added if file == name]
            old = [row for file, row in gone if file == name]
            _exchange(self._folder / name, old, new, again=again)
        self._owed = None
        return refused


def lines_of(mode: Mode, item: Item, decision: Decision) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the file and the object of each line that comes of a decision."""
    by, at = decision.by, decision.at
    if mode == "answers" and decision.choice in CHOICES["answers"]:
        label = {"answer": item.sources[0], "principle": item.principle, "keeps": decision.choice == "keeps"}
        yield LABELS, {**label, "by": by, "at": iso(at)}
    votes: list[tuple[int, int, Literal["a", "b", "tie"]]] = []
    if decision.choice in CHOICES["pairs"]:
        votes = [(0, 1, "a" if decision.choice == "first" else "b" if decision.choice == "second" else "tie")]
    elif decision.choice == "ranks":
        for a, b in combinations(range(len(item.texts)), 2):
            one, other = decision.ranks[a], decision.ranks[b]
            votes.append((a, b, "a" if one < other else "b" if other < one else "tie"))
    for a, b, choice in votes:
        yield (
            HUMAN,
            HumanVote(
                prompt=item.prompt,
                a=item.texts[a],
                b=item.texts[b],
                choice=choice,
                principle=item.principle,
                confidence=decision.confidence,
                by=by,
                at=at,
                pair=item.pair or item.key,
            ).as_row(),
        )
    if decision.edit is not None:
        place, text = decision.edit
        yield (
            HUMAN,
            HumanEdit(
                prompt=item.prompt,
                before=item.texts[place],
                after=text,
                principle=item.principle,
                by=by,
                at=at,
                source=item.sources[place],
            ).as_row(),
        )


def coin(key: str) -> bool:
    """Return a fair toss of a coin for an item, by which the order of its texts is hidden from whoever exports it."""
    return bool(int(digest("coin", key)[:8], 16) & 1)


def _decision(payload: Mapping[str, Any]) -> Decision:
    edit = payload.get("edit")
    known = {
        name: payload[name]
        for name in ("item", "by", "choice", "confidence", "hinted", "seconds", "at")
        if name in payload
    }
    return Decision(**known, ranks=tuple(payload.get("ranks", ())), edit=(edit[0], edit[1]) if edit else None)


def _exchange(path: Path, gone: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], *, again: bool) -> None:
    """Remove rows from a JSONL file where they are in it, and append new ones; `again`: only if they are not in it."""
    if (gone or again) and path.is_file():
        unwanted = {json.dumps(row, ensure_ascii=False) for row in gone}
        lines = path.read_text(encoding="utf-8").split("\n")
        left = [line for line in lines if line not in unwanted]
        if len(left) < len(lines):
            write_lines(path, ["\n".join(left)])
        new = [row for row in new if json.dumps(row, ensure_ascii=False) not in left] if again else new
    append_rows(path, new)
