"""Answer under a constitution while somebody waits: draft, critique, revise, with every step shown.

    response = cai.respond(model, "I have a headache.", "medical", critic="URL#NAME")
    print(response.text, response.revisions)

A revision takes the place of the text before it only where its critiques say that it mends something and breaks
nothing: what nobody could read makes no answer worse.

Source: Bai et al. 2022, arXiv:2212.08073, section 3.1, at the time of the answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.asking import Stage
from cai_lite.chat.local import LocalModel
from cai_lite.chat.preference import PreferenceModel
from cai_lite.chat.streaming import streamed
from cai_lite.distill.critiques import Critic, critique_each
from cai_lite.distill.drafts import draft as draft_of
from cai_lite.distill.reading import FAULTS, spoken
from cai_lite.distill.revisions import revisions_of
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.inputs.prompts import as_prompts
from cai_lite.pipeline.roles import short_if_embedded
from cai_lite.records import Candidate, Critique, Message, Prompt, Request, Sampling
from cai_lite.run.ledger import Run


@dataclass(frozen=True, slots=True)
class Piece:
    """The next words of the draft, from a model that writes piece by piece."""

    text: str


@dataclass(frozen=True, slots=True)
class Drafted:
    """The draft, whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Critiqued:
    """What the critic says of the text as it stands."""

    critiques: tuple[Critique, ...]


@dataclass(frozen=True, slots=True)
class Revised:
    """One rewrite: the principle that it is to mend, its text, and what became of it.

    `outcome`: "taken"; "not better" where it mends nothing or breaks what held; "not checked" where a critique of it
    could not be read; "unchanged"; or the fault of the reply ("cut", "empty", "refused", "failed").
    """

    principle: str
    text: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, and how it came about.

    `critiques`: of `text`, the answer. `principles`: ids of those that apply to the prompt. `faults`: what could not
    be done, in sentences; an answer with faults was not wholly checked.
    """

    text: str
    draft: str
    critiques: tuple[Critique, ...] = ()
    revisions: tuple[Revised, ...] = ()
    principles: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """Ids of the principles that the answer still breaks, by its critiques."""
        return tuple(row.principle for row in self.critiques if row.violated == "yes")


Step = Piece | Drafted | Critiqued | Revised | Response


def respond(
    model: Any, prompt: Any, constitution: Any, *, stream: Callable[[Step], None] | None = None, **how: Any
) -> Response:
    """Return the answer of `model` to a prompt under a constitution: drafted, critiqued, and revised where needed.

    `stream`: called with each step as it comes, the response last. `how`: as of `responding`.

    Raises:
        InputError, ChatError: as for `responding`.
    """
    step: Step | None = None
    for step in responding(model, prompt, constitution, **how):
        if stream is not None:
            stream(step)
    assert isinstance(step, Response), "the last step is the response"
    return step


def responding(
    model: Any,
    prompt: Any,
    constitution: Constitution | str | Path,
    *,
    critic: Any = None,
    reviser: Any = None,
    rounds: int = 1,
    tags: Sequence[str] = (),
    sampling: Sampling | None = None,
    critique_tokens: int = 256,
    run: Run | None = None,
) -> Iterator[Step]:
    """Yield each step of an answer as it comes, and last the `Response`.

    Models are what `open_model` takes or returns. `prompt`: a text, a list of messages, a dictionary as in a prompt
    file, or a `Prompt`; the tags of the last two, or `tags`, decide which principles apply. `critic`: who critiques,
    the model itself by default; `reviser`: who rewrites, likewise. `rounds`: the limit of rewrites, each for the broken
    principle of highest priority. `sampling`: of the draft; greedy by default. `critique_tokens`: the limit of a
    critique. `run`: where the calls are kept.

    Raises:
        InputError: an argument is none of these. ChatError: a model cannot be asked at all.
    """
    speaker, judging, writer = _opened(model, critic, reviser)
    policy = constitution if isinstance(constitution, Constitution) else load_constitution(constitution)
    asked, run = _prompt(prompt, tags), run or Run()
    applying = policy.applying(asked)
    sampling = sampling or Sampling(temperature=0.0)
    samplings = (
        Sampling(temperature=0.0, max_tokens=sampling.max_tokens),
        Sampling(temperature=0.0, max_tokens=critique_tokens),
    )
    ids = tuple(principle.id for principle in applying)
    request = Request(messages=asked.messages, sampling=sampling)
    for piece in streamed(speaker, request, run=run, stage="draft"):
        yield Piece(piece)
    drafts = draft_of(speaker, [asked], sampling=sampling, stage=Stage(run=run, name="draft"))
    if not drafts:
        yield _without_draft(run, request, speaker, ids)
        return
    draft = current = drafts[0]
    yield Drafted(draft.text)
    judge = _Judge(Critic(judging, Stage(run=run, name="critique")), applying, samplings[1])
    found, steps, faults = judge.of(current), list[Revised](), list[str]()
    yield Critiqued(tuple(found))
    for _ in range(rounds):
        if not _ids(found, "yes"):
            break
        made = revisions_of(
            writer,
            [current],
            [found],
            policy,
            rounds=1,
            until="satisfied",
            samplings=samplings,
            stage=Stage(run=run, name="revise"),
            critics=[judge.critic],
        )
        attempt = made.attempts[0]
        if attempt.after is None:
            steps.append(Revised(attempt.principle, "", attempt.outcome))
            faults.append(f"the revision for '{attempt.principle}' is {attempt.outcome}: the text before it stands")
            yield steps[-1]
            break
        said = judge.of(attempt.after)  # the run knows these critiques from the revision
        outcome = _outcome(found, said)
        steps.append(Revised(attempt.principle, attempt.after.text, outcome))
        yield steps[-1]
        if outcome != "taken":
            faults.append(f"the revision for '{attempt.principle}' is {outcome}: the text before it stands")
            break
        current, found = attempt.after, said
        yield Critiqued(tuple(found))
    if unread := [id_ for id_ in ids if id_ in _ids(found, "unreadable")]:
        faults.append(f"not checked, since the critique could not be read: {', '.join(unread)}")
    yield Response(
        text=current.text,
        draft=draft.text,
        critiques=tuple(found),
        revisions=tuple(steps),
        principles=ids,
        faults=tuple(faults),
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Who critiques, under which principles, and how."""

    critic: Critic
    principles: Sequence[Principle]
    sampling: Sampling

    def of(self, candidate: Candidate) -> list[Critique]:
        cells = [(candidate, principle) for principle in self.principles]
        return critique_each(self.critic.model, cells, self.critic.stage, sampling=self.sampling)


def _outcome(before: Sequence[Critique], after: Sequence[Critique]) -> str:
    """Return what becomes of a revision, by the critiques of the text before it and of its own."""
    if _ids(after, "unreadable") - _ids(before, "unreadable"):
        return "not checked"
    better = _ids(after, "yes") < _ids(before, "yes") and _ids(before, "no") <= _ids(after, "no")
    return "taken" if better else "not better"


def _ids(critiques: Sequence[Critique], violated: str) -> set[str]:
    return {row.principle for row in critiques if row.violated == violated}


def _without_draft(run: Run, request: Request, model: ChatModel, ids: tuple[str, ...]) -> Response:
    """Return what there is where the draft cannot be used: a cut one is shown as it is, and nobody checked it."""
    counts = run.counts().get("draft", {})
    why = next((fault for fault in FAULTS if counts.get(fault)), "failed")
    replies = run.replies([request.key(model.digest)])
    text = next((spoken(reply.text) for reply in replies.values()), "")
    fault = f"the draft is {why}, so nothing was critiqued" + ("; raise max_tokens" if why == "cut" else "")
    return Response(text=text, draft=text, principles=ids, faults=(fault,))


def _opened(model: Any, critic: Any, reviser: Any) -> tuple[ChatModel, ChatModel, ChatModel]:
    """Return who drafts, who critiques and who revises; the embedded models are asked in their own wording."""
    speaker = open_model(model)
    others = [_in_own_wording(speaker if other is None else open_model(other)) for other in (critic, reviser)]
    for role, one in zip(("model", "critic", "reviser"), (speaker, *others), strict=True):
        if isinstance(one, PreferenceModel):
            raise InputError(f"the {role} {one.name} is a preference model, which scores answers and writes none")
    return speaker, others[0], others[1]


def _in_own_wording(model: ChatModel) -> ChatModel:
    """Return the model as critiques and revisions are asked of it: embedded ones know the short wording alone."""
    embedded = isinstance(model, LocalModel) and model.model.startswith("embedded:")
    return short_if_embedded(copy.copy(model)) if embedded else model


def _prompt(given: Any, tags: Sequence[str]) -> Prompt:
    if isinstance(given, (list, tuple)):
        given = {"messages": [m._asdict() if isinstance(m, Message) else m for m in given]}
    if isinstance(given, str):
        given = {"prompt": given}
    (found,) = as_prompts([{**given, "tags": [*tags]}] if tags and isinstance(given, dict) else [given], "train")
    return found
