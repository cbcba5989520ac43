"""What people review of a run, in the order in which it is shown: comparisons, answers, or candidates to rank.

A queue holds keys alone, a few hundred bytes an item; an item is read from the run when it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cai_lite.distill.comparisons import PAIRINGS
from cai_lite.errors import InputError
from cai_lite.evaluation.calibrated import next_to_label
from cai_lite.evaluation.result import ANSWERS, Answered, read_answers
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import key_of
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import prompts_of
from cai_lite.records import Message, Messages, digest
from cai_lite.run.files import CONSTITUTION
from cai_lite.run.ledger import Run

MOST_RANKED, LEAST_RANKED = 9, 3  # candidates of a prompt: one digit each, and more than a pair
_RULES = (*PAIRINGS, "among_revisions")  # of comparisons that become training pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to decide on.

    `texts`: two answers to choose from, one answer to label, or several to rank, in the order of the run; `sources`:
    their keys. `principles`: id and text, shown with an answer, and with others on request or after the decision.
    `principle`: the id that labels, votes and edits name; None for none in particular. `pair`: the key of the pair that
    the run made of the comparison, "" for none. `evidence`: what the judge said, shown after the decision.
    """

    key: str
    prompt: Messages
    family: str
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    principles: tuple[tuple[str, str], ...] = ()
    principle: str | None = None
    pair: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Queue(Protocol):
    """Items in a fixed order. `drawn`: how it was made, in words, which every decision records."""

    keys: Sequence[str]
    drawn: str

    def item(self, place: int) -> Item:
        """Return the item at this place of `keys`."""
        ...


class _Compared(NamedTuple):
    key: str
    first: str
    second: str
    verdicts: tuple[str, ...]


class Comparisons:
    """The comparisons behind the training pairs, those first on which the judge is least sure.

    First come those on which it changed its mind with the order, then by the distance of its mean probability from one
    half. With `at_random` the order is a random one, so that what people say of the first ones holds for all.
    Comparisons of held-out prompts are left out, since votes become training pairs.

    Raises:
        InputError: the run has compared nothing.
    """

    def __init__(self, run: Run, *, at_random: bool = False) -> None:
        self._run, self._texts = run, _principle_texts(run)
        self.drawn = "uniformly at random" if at_random else "least certain first"
        found = sorted(_compared(run), key=lambda pair: digest("to vote", pair[1].key) if at_random else pair[0])
        if not found:
            raise InputError(f"{run.directory}: no comparisons to review; a run with 'pair.rules' makes some")
        self._compared = [compared for _, compared in found]
        self.keys: Sequence[str] = [compared.key for compared in self._compared]
        self._pairs = {tuple(sorted(parents[:2])): key for key, parents, _ in run.rows("pair")}

    def item(self, place: int) -> Item:
        compared = self._compared[place]
        verdicts = [row[2] for key in compared.verdicts if (row := self._run.row(key))]
        prompt, family = prompt_of(self._run, compared.first)
        pair = self._pairs.get(tuple(sorted(compared[1:3])), "")
        made = self._run.row(pair) if pair else None
        named = list(dict.fromkeys(str(verdict["principle"]) for verdict in verdicts))
        clearest = max(verdicts, key=lambda v: -1.0 if v["p_first"] is None else abs(v["p_first"] - 0.5))
        return Item(
            key=compared.key,
            prompt=prompt,
            family=family,
            texts=tuple(_text_of(self._run, key) for key in compared[1:3]),
            sources=(compared.first, compared.second),
            principles=tuple((id_, self._texts.get(id_, "")) for id_ in named),
            principle=str(made[2]["principle"] if made else clearest["principle"]),
            pair=pair,
            evidence={"p_first": _mean(verdict["p_first"] for verdict in verdicts), "verdicts": verdicts},
        )


class Labels:
    """The answers to held-out prompts after training, under one principle at a time, in the order of `next_to_label`.

    Whoever stops anywhere has labelled a random sample of answers, which is what corrects the judge's adherence.
    """

    drawn = "uniformly at random"

    def __init__(self, run: Run) -> None:
        folder = run.path(".")
        self._texts, answers = _principle_texts(run), read_answers(folder)
        ordered = next_to_label(answers, (), n=len(answers))
        self._cells = [(answer, id_) for answer in ordered for id_, kept in answer.verdicts.items() if kept is not None]
        if not self._cells:
            raise InputError(f"{folder / ANSWERS}: no answer after training has a verdict; evaluate the run first")
        self.keys: Sequence[str] = [digest("label", answer.key, id_) for answer, id_ in self._cells]

    def item(self, place: int) -> Item:
        answer, principle = self._cells[place]
        return Item(
            key=self.keys[place],
            prompt=answer.prompt,
            family=answer.family,
            texts=(answer.answer,),
            sources=(answer.key,),
            principles=((principle, self._texts.get(principle, "")),),
            principle=principle,
            evidence={"keeps": answer.verdicts[principle]},
        )

    def answers(self) -> dict[str, Answered]:
        """Return the answers to label, by key."""
        return {answer.key: answer for answer, _ in self._cells}


class Rankings:
    """The prompts of which three to nine different candidates were compared, in a random order."""

    drawn = "uniformly at random"

    def __init__(self, run: Run) -> None:
        self._run = run
        candidates: dict[str, dict[str, None]] = defaultdict(dict)
        for _, compared in _compared(run):
            candidates[_root(run, compared.first)].update(dict.fromkeys(compared[1:3]))
        found = {}
        for prompt, keys in candidates.items():
            different = {_text_of(run, key): key for key in reversed(keys)}
            if len(different) >= LEAST_RANKED:
                chosen = sorted(different.values(), key=lambda key: digest("to rank", key))[:MOST_RANKED]
                found[prompt] = tuple(chosen)
        if not found:
            raise InputError(
                f"{run.directory}: no prompt has three candidates to rank; set draft.n or pair.rules: [ranked]"
            )
        self._candidates = sorted(found.items(), key=lambda one: digest("to rank", *one))
        self.keys: Sequence[str] = [digest("ranking", *keys) for _, keys in self._candidates]

    def item(self, place: int) -> Item:
        _, keys = self._candidates[place]
        prompt, family = prompt_of(self._run, keys[0])
        texts = tuple(_text_of(self._run, key) for key in keys)
        return Item(key=self.keys[place], prompt=prompt, family=family, texts=texts, sources=keys)


def _mean(shares: Iterable[float | None]) -> float | None:
    """Return the mean probability that the first of two candidates is better, over the verdicts that have one."""
    read = [share for share in shares if share is not None]
    return sum(read) / len(read) if read else None


def _compared(run: Run) -> list[tuple[tuple[Any, ...], _Compared]]:
    """Return the comparisons of training prompts, each with its sort key by certainty."""
    held_out = _held_out(run)
    root = {key: parents[0] for key, parents, _ in run.rows("candidate") if parents}
    family = {key: payload["family"] or key for key, _, payload in run.rows("prompt")}
    groups: dict[tuple[str, str], list[tuple[str, float | None, bool]]] = defaultdict(list)
    for key, parents, payload in run.rows("verdict"):
        if payload["rule"] not in _RULES:
            continue
        prompt = parents[0]
        while prompt in root:
            prompt = root[prompt]
        if family.get(prompt, "") not in held_out and prompt in family:
            groups[parents[0], parents[1]].append((key, payload["p_first"], payload["flipped"]))
    found = []
    for (first, second), verdicts in groups.items():
        p = _mean(share for _, share, _ in verdicts)
        key = digest("comparison", first, second)
        flipped = any(flip for *_, flip in verdicts)
        order = (not flipped, 0.5 if p is None else abs(p - 0.5), key)
        found.append((order, _Compared(key, first, second, tuple(verdict for verdict, *_ in verdicts))))
    return found


def _held_out(run: Run) -> set[str]:
    """Return the families of the prompts that measure; a prompt without a family counts as its own."""
    folder = run.path(".")
    found: set[str] = set()
    if (folder / ANSWERS).is_file():
        found = {answer.family or key_of(answer.prompt) for answer in read_answers(folder)}
    if (folder / "recipe.yaml").is_file():
        prompts = prompts_of(load_recipe(folder / "recipe.yaml", environment=False)).held_out
        found |= {prompt.family or prompt.key for prompt in prompts}
    return found


def prompt_of(run: Run, candidate: str) -> tuple[Messages, str]:
    """Return the messages and the family of the prompt that a candidate answers.

    Raises:
        InputError: the run has lost one of the rows in between.
    """
    row = run.row(_root(run, candidate))
    if row is None or row[0] != "prompt":
        raise InputError(
            f"{run.directory}: the prompt of candidate {candidate} is missing; `audit --verify` tells more"
        )
    return tuple(Message(role, content) for role, content in row[2]["messages"]), str(row[2]["family"])


def _root(run: Run, key: str) -> str:
    while (row := run.row(key)) and row[0] == "candidate" and row[1]:
        key = row[1][0]
    return key


def _text_of(run: Run, candidate: str) -> str:
    row = run.row(candidate)
    if row is None:
        raise InputError(f"{run.directory}: candidate {candidate} is missing; `audit --verify` tells more")
    return str(row[2]["text"])


def _principle_texts(run: Run) -> dict[str, str]:
    """Return the text of each principle, as the run asked about it last."""
    found = {str(payload["id"]): str(payload["text"]) for _, _, payload in run.rows("principle")}
    file: Path = run.path(CONSTITUTION)
    if not found and file.is_file():
        found = {principle.id: principle.text for principle in load_constitution(file).principles}
    return found
