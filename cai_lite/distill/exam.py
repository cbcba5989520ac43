"""An exam out of a policy: prompts of every kind for every principle, written, verified, and split by family.

    known = exam(teacher, load_constitution("policy.yaml"), n=4, verifier=other_model)
    write_text(path, exam_lines(known.prompts))

A family is one situation for one principle and kind. Families are split by hash, near copies of other prompts are
dropped, and training prompts that repeat a held-out one, or a prompt given as `against`, are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.conversations import Written, user_text
from cai_lite.distill.exam_kinds import KINDS, ExamKind, Side
from cai_lite.distill.exam_verifying import Verified, verify
from cai_lite.distill.exam_writing import Cell, Draft, cells_of, write
from cai_lite.distill.filters import NEAR, resembling
from cai_lite.distill.leaks import HeldOut
from cai_lite.distill.reading import PARSER
from cai_lite.errors import InputError, PromptError
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.prompts import as_prompts, key_of, load_prompts, split_of
from cai_lite.inputs.textfile import path_of, read_rows
from cai_lite.records import Messages, Prompt, Sampling, dicts_of, digest
from cai_lite.run.ledger import Run

ROUNDS = 2  # how often a cell that is short of prompts is written for
SPARE = 1.5  # prompts asked for, for each one wanted
MAX_TOKENS = 2048  # of a reply of the teacher

Opened = Callable[[str, ChatModel], AbstractContextManager[Stage]]
"""Opens the stage of a name, in which a model is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamPrompt:
    """A prompt of an exam. `principle`, `kind`: ids; "" where the file it was read from does not say.

    `side`: as it was verified. `second`: the other principle of a conflict. `tries`: answers of the student that could
    be judged; `broken`: how many of them broke the principle, or refused what is allowed.
    """

    prompt: Prompt
    principle: str = ""
    kind: str = ""
    side: Side = "either"
    scenario: str = ""
    second: str = ""
    tactic: str = ""
    tries: int = 0
    broken: int = 0

    @property
    def cell(self) -> str:
        """Return the name of its cell in the coverage table, see `Cell.name`."""
        return f"{self.principle}{'+' if self.second else ''}{self.second}/{self.kind}"

    @property
    def difficulty(self) -> float | None:
        """Return the share of the student's answers that were wrong, 0 to 1; None if it was not measured."""
        return self.broken / self.tries if self.tries else None

    @property
    def too_easy(self) -> bool:
        """Return whether the student was asked, and never wrong."""
        return self.tries > 0 and self.broken == 0


@dataclass(kw_only=True)
class Exam:
    """The prompts of an exam, its cells, and by the name of a cell the counts of what happened there.

    The counts: "written", "unreadable", "near another", "near --against", "verified", why others were not verified,
    "leaks" (training prompts that repeat a held-out one), "kept", and failed calls by kind of failure.
    """

    constitution: Constitution
    prompts: list[ExamPrompt]
    cells: list[Cell]
    counts: dict[str, Counter[str]]
    wanted: int
    lacks: dict[tuple[str, str], str] = field(default_factory=dict)
    """By (principle, ""), ("", kind) or (principle, kind): why the writer has no prompts of it at all."""


def plain(run: Run) -> Opened:
    """Return what opens a stage of a run, without a bar."""
    return lambda name, model: nullcontext(Stage(run=run, name=name))


def exam(
    teacher: ChatModel,
    constitution: Constitution,
    *,
    n: int = 4,
    kinds: Sequence[ExamKind] = KINDS,
    principles: Sequence[str] = (),
    verifier: ChatModel | None = None,
    against: Iterable[Messages] = (),
    held_out: float = 0.2,
    seed: int = 0,
    max_tokens: int = MAX_TOKENS,
    run: Run | None = None,
    opened: Opened | None = None,
) -> Exam:
    """Return an exam with up to `n` verified prompts for every principle and kind.

    `principles`: the ids of those that are examined; all if empty. `verifier`: asked about each prompt, the teacher if
    None. `against`: prompts that none of the exam may repeat. `held_out`: share of families to hold out, 0 to 1.
    `seed`: of the writer's sampling. `max_tokens`: the limit of each reply; thinking models need some thousands.
    `run`: keeps every reply and every prompt, also those that were rejected.

    Raises:
        InputError: the teacher is too small to write, or a principle is unknown.
    """
    for model in (teacher, verifier or teacher):
        if model.wording == "short":
            raise InputError(
                f"{model.name} is too small to write an exam or to verify it; --teacher embedded:grammar has one"
            )
    run = run or Run()
    opened = opened or plain(run)
    cells = cells_of(constitution, kinds, principles)
    counts = {cell.name: Counter[str]() for cell in cells}
    known = HeldOut(against)
    kept: list[ExamPrompt] = []
    tried: list[Messages] = []  # also what was rejected: the same text gets no second chance
    sampling = Sampling(temperature=1.0, max_tokens=max_tokens, seed=seed)
    for number in range(ROUNDS):
        has = Counter(row.cell for row in kept)
        short = [(cell, _calls_for(n - has[cell.name])) for cell in cells if has[cell.name] < n]
        if not short:
            break
        again = " again" if number else ""
        with opened(f"write{again}", teacher) as stage:
            drafts = write(teacher, short, constitution, stage, sampling=sampling, first=number * 100)
        fresh = _fresh([cell for cell, _ in short], drafts, tried, known, counts)
        tried += [written.messages for _, written, _ in fresh]
        with opened(f"verify{again}", verifier or teacher) as stage:
            asked = [(cell, written.messages) for cell, written, _ in fresh]
            said = verify(verifier or teacher, asked, stage, sampling=Sampling(temperature=0.0, max_tokens=max_tokens))
            stage.keep("exam", (_ledger_row(*row, of) for row, of in zip(fresh, said, strict=True)))
        for (cell, written, tags), of in zip(fresh, said, strict=True):
            counts[cell.name][of.result] += 1
            if of.result == "verified" and of.side is not None and has[cell.name] < n:
                has[cell.name] += 1
                kept.append(_exam_prompt(cell, written, tags, of.side, held_out))
        kept = without_leaks(kept, counts)
    kept = [row for cell in cells for row in kept if row.cell == cell.name]
    for row in kept:
        counts[row.cell]["kept"] += 1
    return Exam(constitution=constitution, prompts=kept, cells=cells, counts=counts, wanted=n)


def without_leaks(rows: Sequence[ExamPrompt], counts: dict[str, Counter[str]]) -> list[ExamPrompt]:
    """Return the rows without training prompts that repeat a held-out one, also with small changes."""
    reserved = HeldOut(row.prompt.messages for row in rows if row.prompt.split == "held_out")
    kept = []
    for row in rows:
        if row.prompt.split == "train" and reserved.matches(row.prompt.messages):
            counts[row.cell]["leaks"] += 1
        else:
            kept.append(row)
    return kept


def exam_lines(prompts: Iterable[ExamPrompt]) -> str:
    """Return the prompts as lines of a prompts file. Besides what every such file has, a line names `principle`,
    `kind` and `side`, and where they are known `scenario`, `second`, `tactic`, `difficulty` and `too_easy`.
    """
    return "".join(json.dumps(_row(row), ensure_ascii=False) + "\n" for row in prompts)


def read_exam(path: str | Path, held_out: float = 0.2) -> list[ExamPrompt]:
    """Read an exam, or any prompts file: the training prompts, then the held-out ones.

    Raises:
        PromptError: the file cannot be read, or has no training prompt.
    """
    known = load_prompts(path, held_out, max_bad=0.0)
    said: dict[str, dict[str, Any]] = {}
    for _, value in read_rows(path_of(path, PromptError), PromptError):
        said.setdefault(as_prompts([value], "train")[0].key, value)
    return [_read_row(prompt, said[prompt.key]) for prompt in (*known.train, *known.held_out)]


def _read_row(prompt: Prompt, value: dict[str, Any]) -> ExamPrompt:
    names = ("principle", "kind", "scenario", "second", "tactic")
    texts = {name: value[name] for name in names if isinstance(value.get(name), str)}
    side = value.get("side")
    return ExamPrompt(prompt=prompt, side=side if side in ("allowed", "denied") else "either", **texts)


def _row(row: ExamPrompt) -> dict[str, Any]:
    single = len(row.prompt.messages) == 1
    named = {name: getattr(row, name) for name in ("scenario", "second", "tactic")}
    measured = {"difficulty": row.difficulty, "too_easy": row.too_easy} if row.tries else {}
    return {
        **({"prompt": row.prompt.text} if single else {"messages": dicts_of(row.prompt.messages)}),
        "family": row.prompt.family,
        "tags": list(row.prompt.tags),
        "split": row.prompt.split,
        **{name: getattr(row, name) for name in ("principle", "kind", "side")},
        **{name: value for name, value in named.items() if value},
        **measured,
    }


def _fresh(
    cells: Sequence[Cell],
    drafts: Sequence[Draft],
    tried: Sequence[Messages],
    known: HeldOut,
    counts: dict[str, Counter[str]],
) -> list[tuple[Cell, Written, tuple[str, ...]]]:
    """Return what was written and repeats neither what was tried before, another one, nor one of `against`."""
    rows = [(cell, written, tags) for cell, draft in zip(cells, drafts, strict=True) for written, tags in draft.written]
    for cell, draft in zip(cells, drafts, strict=True):
        counts[cell.name] += draft.counts
    texts = user_text(tried)
    repeated = resembling([*texts, *user_text([written.messages for _, written, _ in rows])], NEAR)[len(texts) :]
    fresh = []
    for (cell, written, tags), near in zip(rows, repeated, strict=True):
        if near:
            counts[cell.name]["near another"] += 1
        elif known.matches(written.messages):
            counts[cell.name]["near --against"] += 1
        else:
            fresh.append((cell, written, tags))
    return fresh


def _exam_prompt(cell: Cell, written: Written, tags: tuple[str, ...], side: Side, held_out: float) -> ExamPrompt:
    situation = " ".join(written.scenario.lower().split()) or written.messages[0].content
    family = f"{cell.name}/{digest('scenario', situation)[:8]}"
    prompt = Prompt(
        key=key_of(written.messages),
        messages=written.messages,
        family=family,
        tags=tuple(dict.fromkeys((*tags, f"slice:{cell.kind.id}", *cell.kind.tags))),
        split=split_of(family, held_out),
    )
    second = cell.second.id if cell.second else ""
    return ExamPrompt(
        prompt=prompt,
        principle=cell.principle.id,
        kind=cell.kind.id,
        side=side,
        scenario=written.scenario,
        second=second,
    )


def _calls_for(missing: int) -> int:
    return max(missing + 1, round(SPARE * missing))


def _ledger_row(
    cell: Cell, written: Written, tags: tuple[str, ...], said: Verified
) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """Return the row of the ledger, which also keeps what was rejected, and why."""
    key = digest("exam", PARSER, cell.name, dicts_of(written.messages), said)
    payload = {"cell": cell.name, "scenario": written.scenario, "messages": written.messages, "tags": tags}
    return key, (), {**payload, "result": said.result, "side": said.side}


def with_tries(row: ExamPrompt, *, tries: int, broken: int) -> ExamPrompt:
    """Return the row with what the student's answers to it came to."""
    return replace(row, tries=tries, broken=broken)
