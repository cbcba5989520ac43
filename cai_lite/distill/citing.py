"""Let an answer name the principle that decided it, in plain words, and read such a citation.

A citation is a paragraph of its own at the end of an answer: a lead, and the text of the principle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cai_lite.distill.leaks import jaccard
from cai_lite.distill.pairs import CLEAR
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import PreferencePair, digest

ANSWERED = ("I answer so because I keep to this:", "What decided my answer is this:", "In this answer I keep to this:")
DECLINED = (
    "I decline because I keep to this:",
    "What decided against it is this:",
    "I do not do that, and keep to this:",
)
EQUAL = 0.01  # of a probability: verdicts that differ less decide alike
ALIKE = 0.6  # Jaccard index of the words from which a citation is taken for the text of a principle
_LEAD = re.compile("|".join(map(re.escape, (*ANSWERED, *DECLINED))), re.IGNORECASE)


class Citation(NamedTuple):
    """A citation in an answer. `principle`: the id of the one that is cited, None where it is none of the constitution.

    `rest`: the answer without the citation.
    """

    principle: str | None
    rest: str


def deciding(pair: PreferencePair, constitution: Constitution) -> Principle | None:
    """Return the principle whose verdicts speak for the chosen side most clearly; of equal ones the first by rank.

    A pair without verdicts, such as one of people's, was decided by the principle that it names. None where no verdict
    is clear, or the constitution has no such principle.
    """
    known = {principle.id: principle for principle in constitution.principles}
    said: dict[str, list[float]] = {}
    for verdict in pair.evidence.get("verdicts") or ():
        if verdict.get("principle") in known and verdict.get("p_chosen") is not None:
            said.setdefault(verdict["principle"], []).append(float(verdict["p_chosen"]) - 0.5)
    if not said:
        return known.get(pair.principle)
    margins = {id_: sum(of) / len(of) for id_, of in said.items()}
    widest = max(margins.values())
    if widest < CLEAR:
        return None
    return min((known[id_] for id_, margin in margins.items() if margin >= widest - EQUAL), key=lambda p: p.rank)


def cite(answer: str, principle: Principle, *, declines: bool, key: str) -> str:
    """Return the answer with a citation of the principle. `declines`: the answer is a refusal. `key` draws the lead."""
    leads = DECLINED if declines else ANSWERED
    lead = leads[int(digest("citation", key)[:8], 16) % len(leads)]
    return f"{answer.rstrip()}\n\n{lead} {' '.join(principle.behaviour.split())}"


def citation(answer: str, principles: Sequence[Principle]) -> Citation | None:
    """Return the citation in an answer, None where there is none.

    The words behind the lead, up to the end of the paragraph, are compared with the texts of the principles: the one
    that shares most words is cited, if it shares at least `ALIKE` of them.
    """
    lead = _LEAD.search(answer)
    if lead is None:
        return None
    said, _, behind = answer[lead.end() :].partition("\n")
    likeness = [(jaccard(_words(said), _words(principle.behaviour)), principle.id) for principle in principles]
    best, id_ = max(likeness, default=(0.0, ""))
    rest = f"{answer[: lead.start()].rstrip()}\n{behind.lstrip()}".strip()
    return Citation(id_ if best >= ALIKE else None, rest)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
