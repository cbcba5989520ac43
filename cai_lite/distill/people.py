"""What people said of answers, as pairs: each vote that prefers an answer, and each edit, weighed by its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai_lite.inputs.human import HumanEdit, HumanVote, iso
from cai_lite.records import Message, Messages, PreferencePair, digest
from cai_lite.run.ledger import Run

RULE = "human"

Compared = tuple[Messages, frozenset[str]]
"""A prompt, and the two texts that were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """What people decided.

    `pairs`: what there is to learn. `settled`: what they compared, also where they see no difference: a judge's pair
    of the same two answers has no say any more. `counts`: what became of votes and edits, by words.
    """

    pairs: tuple[PreferencePair, ...] = ()
    settled: frozenset[Compared] = frozenset()
    counts: Mapping[str, int]


def people_pairs(said: Iterable[HumanVote | HumanEdit], families: Mapping[Messages, str]) -> People:
    """Return the pairs that people's votes and edits make.

    Of one person the latest vote on two answers counts. Of several, the votes of each side add up by their confidence,
    from 0, a guess, which does not count, to 1. A pair weighs the difference of the sides for each voter, so that a
    vote of all who are sure weighs 1, and one that half of them disagree with nothing. An edit is preferred to what was
    edited, and weighs 1. `families`: of prompts.
    """
    votes: dict[Compared, dict[str, HumanVote]] = {}
    edits: dict[tuple[Messages, str, str], HumanEdit] = {}
    counts = Counter[str]()
    for row in said:
        if isinstance(row, HumanEdit):
            edited = edits.get((row.prompt, row.before, row.by))
            counts["edits changed later"] += edited is not None
            if edited is None or row.at >= edited.at:
                edits[row.prompt, row.before, row.by] = row
        else:
            own = votes.setdefault((row.prompt, frozenset((row.a, row.b))), {})
            counts["votes changed later"] += row.by in own
            if row.by not in own or row.at >= own[row.by].at:
                own[row.by] = row
    pairs, settled = list[PreferencePair](), set[Compared]()
    for compared, by_person in votes.items():
        given = [vote for vote in by_person.values() if vote.confidence > 0]
        counts["guesses"] += len(by_person) - len(given)
        if not given:
            continue
        settled.add(compared)
        made = _voted(given, families.get(compared[0], ""))
        counts["votes" if made else "ties"] += len(given)
        pairs += [made] if made else []
    for edit in edits.values():
        counts["edits"] += 1
        pairs.append(_pair(edit.prompt, edit.after, edit.before, [edit], 1.0, families.get(edit.prompt, "")))
    return People(pairs=tuple(pairs), settled=frozenset(settled), counts={what: n for what, n in counts.items() if n})


def with_people(people: People, pairs: Iterable[PreferencePair]) -> list[PreferencePair]:
    """Return people's pairs, followed by those of the judges' pairs that nobody compared."""
    return [*people.pairs, *(pair for pair in pairs if _compared(pair) not in people.settled)]


def keep_people(run: Run, people: People, said: Iterable[HumanVote | HumanEdit]) -> None:
    """Write what people said, and the pairs that it makes, to the run: a pair can be traced back to them."""
    run.keep_rows("said", ((row.key, (), _told(row)) for row in said))
    run.keep_rows(
        "human pair", ((p.key, p.parents, {"principle": p.principle, "weight": p.weight}) for p in people.pairs)
    )


def _voted(votes: Sequence[HumanVote], family: str) -> PreferencePair | None:
    """Return the pair that votes on the same two answers make; None where no side has more of them."""
    one, other = votes[0].a, votes[0].b
    sides = {one: 0.0, other: 0.0}
    for vote in votes:
        if vote.choice != "tie":
            sides[vote.a if vote.choice == "a" else vote.b] += vote.confidence
    weight = round(abs(sides[one] - sides[other]) / len(votes), 4)
    if not weight:
        return None
    chosen, rejected = (one, other) if sides[one] > sides[other] else (other, one)
    return _pair(votes[0].prompt, chosen, rejected, votes, weight, family)


def _pair(
    prompt: Messages,
    chosen: str,
    rejected: str,
    rows: Sequence[HumanVote | HumanEdit],
    weight: float,
    family: str,
) -> PreferencePair:
    principles = {row.principle or "" for row in rows}
    return PreferencePair(
        prompt=prompt,
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        key=digest(RULE, prompt, chosen, rejected),
        principle=principles.pop() if len(principles) == 1 else "",
        rule=RULE,
        family=family,
        parents=tuple(row.key for row in rows),
        evidence={"people": [_evidence(row) for row in rows]},
        weight=weight,
    )


def _evidence(row: HumanVote | HumanEdit) -> dict[str, Any]:
    told: dict[str, Any] = {"by": row.by, "at": iso(row.at)}
    return told | ({"edit": True} if isinstance(row, HumanEdit) else {"confidence": row.confidence})


def _told(row: HumanVote | HumanEdit) -> dict[str, Any]:
    own = row.as_row()
    said = {name: own.get(name) for name in ("kind", "by", "at", "choice", "confidence", "principle")}
    preferred = row.after if isinstance(row, HumanEdit) else {"a": row.a, "b": row.b, "tie": ""}[row.choice]
    return {**said, "messages": row.prompt, "text": preferred}


def _compared(pair: PreferencePair) -> Compared:
    texts = ("\n".join(message.content for message in side) for side in (pair.chosen, pair.rejected))
    return pair.prompt, frozenset(texts)
