"""What supervised training learns from a run: `train.on` names a source here, which reads a file of the run directory.

To add a source, write a function from the run directory to demonstrations, and name it in `SOURCES`. It is given
`include_critique` of the training and `critic_examples`, which returns the critiques of the run as examples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cai_lite.distill.critics import CriticExample
from cai_lite.distill.filters import filter_pairs
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.pairs import load_pairs, rows_of
from cai_lite.records import Candidate, Demonstration, Message, Messages, PreferencePair, dicts_of, messages_of
from cai_lite.run.ledger import Run
from cai_lite.training.methods.sft import CHOSEN, chosen_of

REVISIONS = "revisions"
PROMPTED = "prompted"
CRITIQUES = "critiques"
FILES = {REVISIONS: "revisions.jsonl", PROMPTED: "prompted.jsonl"}  # their names in a run directory
CriticExamples = Callable[[], Sequence[CriticExample]]
# What the conversation asks for where a principle has no request of its own.
CRITIQUE_REQUEST = "Say where your last answer breaks this principle: {principle}"
REVISION_REQUEST = "Rewrite your answer so that it keeps this principle: {principle}"


def revisions(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Demonstration]:
    """Return the final revision of each draft as an answer to its prompt; with critiques, also how it came about.

    Then each step is a demonstration of its own: behind the draft and a request the critique, and behind that and a
    second request the revision. So the turns of the assistant that are learnt carry loss once, draft and requests none.

    Source: Bai et al. 2022, arXiv:2212.08073, section 3.1.
    """
    return _answers(run_dir, REVISIONS, include_critique=include_critique)


def prompted(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Demonstration]:
    """Return the student's own answers under the constitution as answers to the prompts without it.

    They are its last revisions where it revised itself; with critiques, its steps are learnt too, as of `revisions`.

    Source: Bai et al. 2022, arXiv:2212.08073; Snell et al. 2022, arXiv:2209.15189 (context distillation).
    """
    return _answers(run_dir, PROMPTED, include_critique=include_critique)


def critiques(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Demonstration]:
    """Return the teachers' critiques as answers to the requests for them, without those of held-out families."""
    return [
        Demonstration(prompt=one.prompt, completion=one.completion, key=one.key, family=one.family)
        for one in critic_examples()
        if one.split == "train"
    ]


def _answers(run_dir: Path, source: str, *, include_critique: bool) -> list[Demonstration]:
    """Return the answers of a file that the run wrote, and with critiques each step that led to them."""
    path = run_dir / FILES[source]
    if not path.is_file():
        raise InputError(
            f"{run_dir} has no {path.name}, which a run writes where 'train' learns 'on: {source}'; `cai-lite pairs "
            f"{run_dir / 'recipe.yaml'} --out {run_dir} --set 'train=[{{method: sft, on: {source}}}]'` writes it, "
            "and asks for nothing that the run knows already"
        )
    found = []
    for line, row in rows_of(path):
        try:
            prompt, completion = messages_of(row["prompt"]), messages_of(row["completion"])
            steps, named = messages_of(row["steps"]), {"key": row["key"], "family": row["family"]}
        except (TypeError, KeyError, ValueError) as fault:
            raise InputError(
                f"{path}:{line}: is not as the run wrote it ({fault}); run the same command again"
            ) from None
        found.append(Demonstration(prompt=prompt, completion=completion, **named))
        if include_critique:
            learnt = [i for i, message in enumerate(steps) if message.role == "assistant"][1:]  # the first is the draft
            found += [Demonstration(prompt=prompt + steps[:i], completion=steps[i : i + 1], **named) for i in learnt]
    return found


def chosen(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Demonstration]:
    """Return the chosen sides of the run's pairs, each answer to a prompt once."""
    return chosen_of(load_pairs(run_dir / "pairs.jsonl"))


SOURCES: dict[str, Callable[..., list[Demonstration]]] = {
    REVISIONS: revisions,
    CHOSEN: chosen,
    PROMPTED: prompted,
    CRITIQUES: critiques,
}
"""Sources of demonstrations by `train.on`."""

OF_PHASES = tuple(name for name in SOURCES if name != CRITIQUES)
"""The sources that a phase of a run may name. Critiques are none: they train a critic, which is another model."""


def answer_lines(
    final: Sequence[Candidate],
    run: Run,
    constitution: Constitution,
    *,
    held_out: Iterable[Messages],
    near: float | None,
) -> tuple[list[str], Counter[str]]:
    """Return the lines of revisions.jsonl or prompted.jsonl, and the number of answers by what became of them.

    `final`: revisions, and drafts that needed none. Left out are those that break a principle, by most of their
    critiques, and those to prompts that are held out or as similar to one as `near` says.
    """
    critiques = _Critiques.of(run)
    counts = Counter[str]()
    pairs: dict[str, PreferencePair] = {}
    for candidate in final:
        if critiques.broken(candidate.key):
            counts["still break a principle"] += 1
            continue
        draft = run.row(candidate.parents[0]) if candidate.round else None
        before = draft[2]["text"] if draft is not None else ""
        answers = [(Message("assistant", text),) for text in (candidate.text, before)]
        pairs[candidate.key] = PreferencePair(
            prompt=candidate.prompt.messages,
            chosen=answers[0],
            rejected=answers[1],
            key=candidate.key,
            family=candidate.prompt.family,
        )
    kept, dropped = filter_pairs(list(pairs.values()), near=near, held_out=held_out)
    lines = []
    for pair in kept:
        principle, steps = critiques.steps(pair.key, run, constitution)
        row = {
            "prompt": dicts_of(pair.prompt),
            "completion": dicts_of(pair.chosen),
            "steps": dicts_of(steps),
            "principle": principle,
            "family": pair.family,
            "key": pair.key,
        }
        lines.append(json.dumps(row, ensure_ascii=True) + "\n")
    return lines, Counter({"kept": len(lines), **counts, **dropped})


class _Critique(NamedTuple):
    candidate: str
    principle: str
    violated: str
    text: str


class _Critiques:
    """The critiques of a run by their key, and by the candidate that they are of."""

    def __init__(self, rows: Mapping[str, _Critique]) -> None:
        self._rows = rows
        self._of: dict[str, list[_Critique]] = {}
        for row in rows.values():
            self._of.setdefault(row.candidate, []).append(row)

    @classmethod
    def of(cls, run: Run) -> _Critiques:
        return cls(
            {
                key: _Critique(parents[0], payload["principle"], payload["violated"], payload["text"])
                for key, parents, payload in run.rows("critique")
            }
        )

    def broken(self, candidate: str) -> list[str]:
        """Return the ids of the principles that a candidate breaks by most of its critiques."""
        votes = Counter[str]()
        for row in self._of.get(candidate, ()):
            votes[row.principle] += {"yes": 1, "no": -1}.get(row.violated, 0)
        return [id_ for id_, balance in votes.items() if balance > 0]

    def steps(self, candidate: str, run: Run, constitution: Constitution) -> tuple[str, Messages]:
        """Return the principle of the last step, and the conversation from the draft to this revision."""
        row = run.row(candidate)
        assert row is not None, "revisions are kept in the run"
        _, parents, payload = row
        answer = Message("assistant", payload["text"])
        if len(parents) < 2 or not payload["round"]:
            return "", (answer,)
        found = [self._rows[key] for key in parents[2:] if key in self._rows]
        broken = [each for each in found if each.violated == "yes"] or found
        named = [each for each in broken if each.principle == payload.get("principle")] or broken
        followed = min(named, key=lambda each: constitution.principle(each.principle).rank)
        principle = constitution.principle(followed.principle)
        _, before = self.steps(parents[1], run, constitution)
        asked = Message("user", _request(principle.critique, CRITIQUE_REQUEST, principle))
        then = Message("user", _request(principle.revise, REVISION_REQUEST, principle))
        return principle.id, (*before, asked, Message("assistant", followed.text), then, answer)


def _request(own: str, general: str, principle: Principle) -> str:
    """Return the request of a principle's own, or the general one with its text."""
    return " ".join(own.split()) or general.format(principle=principle.behaviour)
