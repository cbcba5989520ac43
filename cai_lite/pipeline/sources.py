"""What a training learns from a run beside its pairs: `train.on` names a source here, which reads a file of the run.

Most are demonstrations for supervised training; `verdicts` are ratings for a preference model. To add a source, write a
function from the run directory to demonstrations, and name it in `SOURCES`. It is given
`include_critique` of the training and `critic_examples`, which returns the critiques of the run as examples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.distill.citing import cite, deciding
from cai_lite.distill.critics import CriticExample
from cai_lite.distill.filters import filter_pairs
from cai_lite.errors import InputError
from cai_lite.evaluation.reply_kinds import refuses
from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.inputs.pairs import load_pairs, rows_of
from cai_lite.records import (
    Candidate,
    Demonstration,
    Message,
    Messages,
    PreferencePair,
    Rating,
    dicts_of,
    digest,
    messages_of,
)
from cai_lite.run.files import CONSTITUTION
from cai_lite.run.ledger import Run
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.preference_model import PRINCIPLE, VERDICTS
from cai_lite.training.methods.sft import CHOSEN, chosen_of

REVISIONS = "revisions"
PROMPTED = "prompted"
CRITIQUES = "critiques"
CITING = "citing"
# Names of the files in a run directory.
FILES = {REVISIONS: "revisions.jsonl", PROMPTED: "prompted.jsonl", VERDICTS: "ratings.jsonl"}
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


def verdicts(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Rating]:
    """Return what the judges said of the candidates, by principle and over all of them; see `distill.rated`."""
    path = _written(run_dir, VERDICTS, "[{method: preference_model, on: verdicts}, {}]")
    found = []
    for line, row in rows_of(path):
        try:
            completions = tuple(messages_of(row[side]) for side in ("chosen", "rejected"))
            texts: dict[str, Any] = {name: str(row[name]) for name in ("principle", "text", "key", "family")}
            prompt, p = messages_of(row["prompt"]), float(row["p_chosen"])
        except (TypeError, KeyError, ValueError) as fault:
            raise InputError(
                f"{path}:{line}: is not as the run wrote it ({fault}); run the same command again"
            ) from None
        found.append(Rating(prompt=prompt, completions=completions, p=p, **texts))
    return found


def rating_lines(ratings: Iterable[Rating]) -> list[str]:
    """Return the lines of ratings.jsonl."""
    rows = (
        {
            "prompt": dicts_of(row.prompt),
            "chosen": dicts_of(row.completions[0]),
            "rejected": dicts_of(row.completions[1]),
            "p_chosen": row.p,
            "principle": row.principle,
            "text": row.text,
            "family": row.family,
            "key": row.key,
        }
        for row in ratings
    )
    return [json.dumps(row, ensure_ascii=True) + "\n" for row in rows]


def check_source(phase: TrainingConfig) -> None:
    """Check that the source of a training is of the kind that its method learns.

    Raises:
        ValueError: it is not.
    """
    models = not METHODS[phase.method].trains_student
    if phase.on is not None and models != (phase.on == VERDICTS):
        fits = f"'on: {VERDICTS}', or nothing for the run's pairs" if models else f"another 'on' than '{VERDICTS}'"
        raise ValueError(f"'{phase.method}' takes {fits}")
    if models and phase.input == PRINCIPLE and phase.on is None:
        raise ValueError(
            f"'input: {PRINCIPLE}' takes 'on: {VERDICTS}', since a pair may be decided by several principles"
        )


def _written(run_dir: Path, source: str, train: str) -> Path:
    """Return the file of a source. `train`: settings with which a run writes it."""
    path = run_dir / FILES[source]
    if not path.is_file():
        raise InputError(
            f"{run_dir} has no {path.name}, which a run writes where 'train' learns 'on: {source}'; `cai-lite pairs "
            f"{run_dir / 'recipe.yaml'} --out {run_dir} --set 'train={train}'` writes it, "
            "and asks for nothing that the run knows already"
        )
    return path


def _answers(run_dir: Path, source: str, *, include_critique: bool) -> list[Demonstration]:
    """Return the answers of a file that the run wrote, and with critiques each step that led to them."""
    path = _written(run_dir, source, f"[{{method: sft, on: {source}}}]")
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


def citing(run_dir: Path, *, include_critique: bool, critic_examples: CriticExamples) -> list[Demonstration]:
    """Return the chosen sides of the run's pairs, where one principle clearly decided with a citation of it.

    Refusals are told from answers by rules of English (see `evaluation.reply_kinds`), and cite in words of their own.
    """
    places = (folder / CONSTITUTION for folder in (run_dir, *run_dir.resolve().parents[:2]))  # a round's is its run's
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"{run_dir} has no {CONSTITUTION}, whose principles are cited; run its recipe in it once more")
    constitution, pairs = load_constitution(path), load_pairs(run_dir / "pairs.jsonl")
    decided = {(pair.prompt, pair.chosen): deciding(pair, constitution) for pair in reversed(pairs)}
    found = []
    for row in chosen_of(pairs):
        principle, said = decided[row.prompt, row.completion], row.completion[-1]
        if principle is not None:
            text = cite(said.content, principle, declines=refuses(said.content), key=row.key or digest(row.prompt))
            row = replace(row, completion=(*row.completion[:-1], said._replace(content=text)))
        found.append(row)
    return found


SOURCES: dict[str, Callable[..., list[Any]]] = {
    REVISIONS: revisions,
    CHOSEN: chosen,
    CITING: citing,
    PROMPTED: prompted,
    CRITIQUES: critiques,
    VERDICTS: verdicts,
}
"""Sources of demonstrations, and of ratings, by `train.on`."""

OF_PAIRS = (CHOSEN, CITING)
"""The sources that are made of a run's pairs."""

OF_PHASES = tuple(name for name in SOURCES if name not in (CRITIQUES, VERDICTS))
"""The sources of demonstrations that a phase of a run may name. Critiques are none, since they train another model."""


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
