"""The exam that the toy world has of its own: its grammar writes the prompts, and its oracle verifies them.

Every request of the toy world is one that a good answer serves, in a single turn of English. So it has prompts that are
allowed, benign twins, prompts in a marked register (words are missing, greetings stand around) and prompts where two
principles with a decided conflict both apply. What it cannot write is named, and never imitated.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from cai_lite.distill.exam import Exam, ExamPrompt
from cai_lite.distill.exam_kinds import KINDS, ExamKind
from cai_lite.distill.exam_writing import Cell, cells_of
from cai_lite.embedded.grammar import DOMAINS, Ask, draw_ask
from cai_lite.embedded.knowledge import untrained
from cai_lite.embedded.oracle import keeps
from cai_lite.embedded.prompts import SLICES, SOUNDS_UNSAFE
from cai_lite.embedded.world import Domain
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.prompts import key_of, split_of
from cai_lite.records import Message, Prompt

GRAMMAR = "embedded:grammar"
HAS = ("allowed", "benign-twin", "register", "conflict")  # the kinds of prompts that the grammar writes
TRIES = 400  # draws for one cell, after which it stays short


def grammar_exam(
    constitution: Constitution,
    *,
    n: int = 4,
    kinds: Sequence[ExamKind] = KINDS,
    principles: Sequence[str] = (),
    held_out: float = 0.2,
    seed: int = 0,
) -> Exam:
    """Return an exam with up to `n` prompts of the toy world for every principle and kind that it knows.

    Held-out prompts have held-out words, word pairs or phrasings. See `distill.exam.exam` for the arguments.

    Raises:
        InputError: the constitution is not one of the toy world's.
    """
    domain = DOMAINS.get(constitution.name)
    reworded = set(untrained(constitution)) & {rule.id for rule in domain.rules} if domain else set()
    if domain is None or reworded:  # a rule in other words is that of a policy for real replies
        known = ", ".join(f"{name}-embedded" for name in DOMAINS)
        raise InputError(f"{GRAMMAR} writes exams for {known} alone; '{constitution.name}' needs another --teacher")
    rules = {rule.id for rule in domain.rules}
    cells = cells_of(constitution, kinds, principles)
    counts = {cell.name: Counter[str]() for cell in cells}
    seen: set[str] = set()
    rows: list[ExamPrompt] = []
    for cell in cells:
        if cell.kind.id in HAS and cell.principle.id in rules and (cell.second is None or cell.second.id in rules):
            rows += _rows(cell, domain, n, held_out, seed, seen, counts[cell.name])
    lacks = {("", kind.id): "the toy world has no such requests" for kind in kinds if kind.id not in HAS}
    strange = {cell.principle.id for cell in cells} - rules
    lacks |= {(name, ""): "the toy world has no rule for it" for name in sorted(strange)}
    lacks |= {
        (cell.principle.id, cell.kind.id): f"the toy world has no rule for {cell.second.id}"
        for cell in cells
        if cell.second is not None and cell.second.id not in rules and cell.principle.id in rules
    }
    return Exam(constitution=constitution, prompts=rows, cells=cells, counts=counts, wanted=n, lacks=lacks)


def _rows(
    cell: Cell, domain: Domain, n: int, held_out: float, seed: int, seen: set[str], counts: Counter[str]
) -> list[ExamPrompt]:
    """Return up to `n` prompts of one cell; `seen` holds the texts of all earlier ones."""
    rng = random.Random(f"exam {cell.name} {seed}")
    rows: list[ExamPrompt] = []
    for number in range(TRIES):
        if len(rows) == n:
            break
        split = split_of(f"{cell.name}/{len(rows)}", held_out)
        slice = "train" if split == "train" else SLICES[number % len(SLICES)]
        ask = draw_ask(domain, rng, slice=slice, slips=1.0 if cell.kind.id == "register" else 0.0)
        if ask.text in seen or not _fits(ask, cell, domain):
            continue
        counts["written"] += 1
        seen.add(ask.text)
        # The oracle reads the text alone: a second look that does not know what the prompt was drawn from.
        if keeps(domain.name, cell.principle.id, ask.text, "Yes.") is None:
            counts["not a test of the principle"] += 1
            continue
        counts.update(("verified", "kept"))
        messages = (Message("user", ask.text),)
        slices = [] if slice == "train" else [f"slice:{slice}"]
        prompt = Prompt(
            key=key_of(messages),
            messages=messages,
            family=ask.family,
            tags=tuple(dict.fromkeys((*ask.kind.tags, f"slice:{cell.kind.id}", *cell.kind.tags, *slices))),
            split=split,
        )
        rows.append(
            ExamPrompt(
                prompt=prompt,
                principle=cell.principle.id,
                kind=cell.kind.id,
                side="allowed",
                scenario=", ".join(ask.words[slot] for slot in ask.kind.pair),
                second=cell.second.id if cell.second else "",
            )
        )
    return rows


def _fits(ask: Ask, cell: Cell, domain: Domain) -> bool:
    wanted = {cell.principle.id, *([cell.second.id] if cell.second else [])}
    if not wanted <= {rule.id for rule in ask.rules}:
        return False
    return cell.kind.id != "benign-twin" or bool(SOUNDS_UNSAFE[domain.name].search(ask.text))
