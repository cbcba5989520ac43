"""Explain an answer of a run's student: the principles that applied, what is said of it, and what taught it.

found = explain(Path("runs/medical"), "I have a headache.")

Checks and guards are evidence beside an answer, and so are the examples: those that share the most words with question
and answer, and those on which a step would have moved the student most towards it (see `training.influence`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cai_lite.chat import ChatModel
from cai_lite.chat.asking import Stage, ask
from cai_lite.chat.local import LocalModel
from cai_lite.chat.thoughts import split_thought
from cai_lite.distill.citing import citation
from cai_lite.distill.critiques import critique_each
from cai_lite.errors import InputError
from cai_lite.evaluation.reply_kinds import reply_kind
from cai_lite.inputs.similar import similarities
from cai_lite.pipeline.recipe import StudentSection
from cai_lite.records import Candidate, Demonstration, Message, Messages, Prompt, Request, Sampling, digest
from cai_lite.run.files import PHASES
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen, Terminal, Tick
from cai_lite.serving.guard import GUARD, Guard, open_guard
from cai_lite.serving.taught import Taught, open_taught, plain

KINDS = {
    "full_refusal": "a refusal",
    "partial_refusal": "a refusal with a part of what was asked",
    "alternative": "an alternative to what was asked",
    "caveat": "an answer with a caveat",
    "answer": "a plain answer",
}
NEAREST = 200  # examples whose influence is computed, those nearest by text
SHOWN = 5
_KEPT = {True: "kept", False: "broken", None: "cannot tell"}


def explain(
    run: Path,
    prompt: str | Messages,
    *,
    answer: str | None = None,
    tags: Sequence[str] = (),
    critic: ChatModel | None = None,
    guard: Path | None = None,
    influence: bool = True,
    nearest: int | None = NEAREST,
    shown: int = SHOWN,
    max_tokens: int = 256,
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Ask the student of a finished run, and return what explains its answer.

    `answer`: explain this answer, such as one from a log, in place of asking. `tags`: of the prompt, which decide the
    principles that apply; by default those of the same prompt in the recipe's file. `critic`: critiques the answer.
    `guard`: a folder with guard.json; by default that of a phase of the run. `influence`: also rank examples by
    influence, which takes two passes of training over each of the `nearest` by text; None takes all. `shown`: examples
    in each list.

    Raises:
        InputError: it is no finished run, or the student gives no answer. ModelError: a model cannot be opened.
    """
    taught = open_taught(run)
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    if not messages or not messages[-1].content.strip():
        raise InputError("the prompt is empty; ask something")
    given = answer is not None
    if answer is None:
        answer = _answered(taught.recipe.student, taught.adapter, messages, max_tokens)
    watch = _guard(taught, guard)
    found = {**why(taught, messages, answer, tags=tags, critic=critic, guard=watch, shown=shown), "given": given}
    if influence and taught.number is not None:
        with screen.stage("influence") if screen is not None else nullcontext() as tick:
            found |= _by_influence(taught, messages, answer, nearest, shown, tick)
    return found


def why(
    taught: Taught,
    messages: Messages,
    answer: str,
    *,
    tags: Sequence[str] = (),
    critic: ChatModel | None = None,
    guard: Guard | None = None,
    shown: int = SHOWN,
) -> dict[str, Any]:
    """Return what explains an answer without any gradient: principles, kind, and the examples nearest by text.

    `principles`: those that apply, each with what machine checks, critic and guard say of the answer, as far as there
    are any. A citation in the answer is cut off before: naming a principle is not keeping it.
    """
    prompt = _prompt(taught, messages, tags)
    cited = citation(answer, taught.constitution.principles)
    plain_answer = answer if cited is None else cited.rest
    applying = taught.constitution.applying(prompt)
    rows: dict[str, dict[str, Any]] = {
        principle.id: {
            "id": principle.id,
            "text": principle.text,
            **({"checks": principle.checks.passed(plain_answer)} if principle.checks is not None else {}),
        }
        for principle in applying
    }
    if critic is not None:
        candidate = Candidate(
            key=digest("explain", prompt.key, plain_answer), prompt=prompt, text=plain_answer, author="student"
        )
        asked = [(candidate, principle) for principle in applying]
        for row in critique_each(critic, asked, Stage(run=Run(), name="critique")):
            rows[row.principle]["critique"] = {"violated": row.violated, "text": row.text, "by": row.author}
    if guard is not None:
        for finding in guard.look([messages], [plain_answer])[0]:
            if finding.principle in rows:
                rows[finding.principle]["guard"] = {"p_broken": finding.p, "stopped": finding.stopped}
    return {
        "run": str(taught.run),
        "prompt": [message._asdict() for message in messages],
        "answer": answer,
        "kind": reply_kind(plain_answer),
        "tags": list(prompt.tags),
        "principles": list(rows.values()),
        "not_applied": [p.id for p in taught.constitution.principles if p.id not in rows],
        **({"cites": cited.principle} if cited is not None else {}),
        "learnt": "" if taught.number is None else taught.phase.on or "pairs",
        "examples": len(taught.lessons),
        "text": _by_text(taught, messages, answer, shown),
    }


def show_explained(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `explain` returned: the answer, a table of principles, and examples by influence and by text."""
    console = console or Terminal()
    console.print(Text.assemble(("answer: ", "bold"), found["answer"]))
    _show_kind(found, console)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text("principles that apply"), title_justify="left")
    seen = [name for name in ("checks", "critique", "guard") if any(name in row for row in found["principles"])]
    for name in ("principle", "says", *seen):
        table.add_column(name, overflow="fold")
    for row in found["principles"]:
        table.add_row(*(Text(cell) for cell in (row["id"], row["text"], *(_cell(row, name) for name in seen))))
    console.print(table if found["principles"] else Text("no principle applies to this prompt"))
    if found["not_applied"]:
        console.print(
            Text(f"not applied: {', '.join(found['not_applied'])}; a prompt's tags decide, see --tag", style="dim")
        )
    if not found["learnt"]:
        console.print(Text("the student learnt from samples of its own alone, so there are no examples to show"))
    titles = {"influence": "taught most by, as the gradients say (cosine)", "text": "nearest by words (tf-idf, cosine)"}
    for name, title in titles.items():
        if found.get(name):
            of = found["ranked"] if name == "influence" else found["examples"]
            console.print(Text(f"{title}, of {of:,} examples", style="bold"))
            console.print(Group(*(_example(one) for one in found[name])))
    keys = [one["key"] for name in ("influence", "text") for one in found.get(name, ()) if one["key"]]
    if keys:
        console.print(Text(f"trace one back: cai-lite audit {found['run']} {keys[0]}"))


def show_why(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `why` returned in few lines, for `chat --why`."""
    console = console or Terminal()
    _show_kind(found, console)
    said = [row["id"] + (f" ({_KEPT[row['checks']]})" if "checks" in row else "") for row in found["principles"]]
    console.print(Text(f"  principles, by machine checks: {', '.join(said) or 'none'}", style="dim"))
    for one in found["text"][:3]:
        told = " ".join(f"{one['key'][:12]} {one['prompt']} -> {one['chosen']}".split())
        console.print(Text(f"  like {told}", style="dim"), no_wrap=True, overflow="ellipsis")


def _show_kind(found: Mapping[str, Any], console: Console) -> None:
    console.print(Text(f"  this is {KINDS[found['kind']]}, by rules of English", style="dim"))
    if "cites" in found:
        console.print(Text(f"  it cites: {found['cites'] or 'no principle of the constitution'}", style="dim"))


def _cell(row: Mapping[str, Any], name: str) -> str:
    """Return what checks, critic or guard say of one principle."""
    if name not in row:
        return ""
    if name == "checks":
        return _KEPT[row["checks"]]
    if name == "guard":
        return f"{row['guard']['p_broken']:.0%} broken{', stopped' if row['guard']['stopped'] else ''}"
    said = {"yes": "broken", "no": "kept", "unreadable": "unreadable"}[row["critique"]["violated"]]
    return f"{said}: {row['critique']['text']}"


def _example(one: Mapping[str, Any]) -> Text:
    named = ", ".join(filter(None, (one["key"][:12], one["principle"])))
    text = Text.assemble((f"  {one['score']:+.2f} ", "bold"), (f"{named}  ", "dim"), one["prompt"])
    text.append(f"\n        learnt: {one['chosen']}", style="green")
    if one["rejected"]:
        text.append(f"\n        not: {one['rejected']}", style="dim")
    return text


def _answered(student: StudentSection, adapter: Path, messages: Messages, max_tokens: int) -> str:
    """Return the student's greedy answer. Raises InputError where there is none."""
    model = LocalModel(
        student.model, load=student.load, adapter=adapter, template=student.template or None, system=student.system
    )
    request = Request(messages=messages, sampling=Sampling(temperature=0.0, max_tokens=max_tokens))
    reply = ask(model, [request], run=Run(), stage="explain")[0]
    model.close()
    answer = split_thought(reply.text).answer
    if not answer.strip():
        raise InputError(f"the student gives no answer ({reply.outcome}: {reply.fault or 'empty'})")
    return answer


def _prompt(taught: Taught, messages: Messages, tags: Sequence[str]) -> Prompt:
    """Return the prompt with the tags given, or those of the same prompt in the recipe's file."""
    asked = Prompt(key=digest("prompt", [m._asdict() for m in messages]), messages=messages, family="")
    own = tuple(tags) or taught.tags.get(plain(asked.text), ())
    return Prompt(key=asked.key, messages=messages, family=asked.key, tags=own)


def _guard(taught: Taught, folder: Path | None) -> Guard | None:
    """Open the guard of a folder, or of the run's last phase that has one."""
    own = sorted((taught.run / PHASES).glob(f"*/{GUARD}"))
    where = folder if folder is not None else own[-1].parent if own else None
    return open_guard(where) if where is not None else None


def _by_text(taught: Taught, messages: Messages, answer: str, shown: int) -> list[dict[str, Any]]:
    scores = similarities(_joined(messages, answer), [f"{one.prompt}\n{one.chosen}" for one in taught.lessons])
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:shown]
    return [{**asdict(taught.lessons[i]), "score": scores[i]} for i in best if scores[i] > 0]


def _by_influence(
    taught: Taught, messages: Messages, answer: str, nearest: int | None, shown: int, tick: Tick | None
) -> dict[str, Any]:
    """Return the examples with the greatest influence, of the `ranked` nearest by text; only positive ones teach."""
    from cai_lite.training.influence import influences  # which imports torch
    from cai_lite.training.student import Student

    scores = similarities(_joined(messages, answer), [f"{one.prompt}\n{one.chosen}" for one in taught.lessons])
    places = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:nearest]
    own = taught.recipe.student
    found = influences(
        Student(own.model, own.load, own.template or {}, own.system),
        Demonstration(prompt=messages, completion=(Message("assistant", answer),)),
        [taught.examples[i] for i in places],
        config=taught.phase,
        adapter=taught.trained,
        before=taught.before,
        progress=tick,
    )
    best = [
        {**asdict(taught.lessons[places[one.example]]), "score": one.cosine, "dot": one.dot}
        for one in found[:shown]
        if one.cosine > 0
    ]
    return {"influence": best, "ranked": len(places)}


def _joined(messages: Messages, answer: str) -> str:
    return "\n".join([*(message.content for message in messages), answer])


def teller(taught: Taught) -> Callable[[Messages, str], None]:
    """Return what prints the short explanation of an answer to a conversation, for `chat --why`."""

    def tell(messages: Messages, answer: str) -> None:
        show_why(why(taught, messages, answer, shown=3))

    return tell
