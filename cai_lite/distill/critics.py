"""Make training examples for a critic from the critiques that a teacher wrote in a run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from cai_lite.distill.critiques import critique_request
from cai_lite.distill.wording import wording_of
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import Candidate, Message, Messages, Prompt, digest, messages_of
from cai_lite.run.ledger import Run

PLANTED = "planted"  # author of replies that were made to test critics


class CriticExample(NamedTuple):
    """An example to learn from: the request for a critique as a chat, and the critique that the teacher wrote.

    `key`: of the critique's row in the run. `family`: of the prompt that was critiqued.
    """

    prompt: Messages
    completion: Messages
    key: str
    family: str
    principle: str
    violated: Literal["yes", "no"]
    split: Literal["train", "held_out"]


def critic_examples(
    run: Run,
    constitution: Constitution,
    *,
    authors: Collection[str] = (),
    wording: Literal["full", "short"] = "full",
    held_out: float = 0.1,
    held_out_families: Collection[str] = (),
) -> list[CriticExample]:
    """Return an example for each readable critique in the run of a draft or a revision.

    Critiques of a principle that the constitution lacks, or that was reworded since, are left out, and so are those of
    planted replies, which test critics.

    `authors`: names of the models whose critiques are used, the teachers; all if empty. Critiques of earlier versions
    name no author, and count as the teacher's. `wording`: the one in which the critic is going to be asked, which is
    "short" for the embedded models alone. `held_out`: the share of the prompt families to hold out, 0 to 1.
    `held_out_families`: families held out in any case, such as those of the run's held-out prompts.
    """
    known = {principle.id: principle for principle in constitution.principles}
    as_written = {(payload["id"], payload["text"]) for _, _, payload in run.rows("principle")}
    prompts = {key: payload for key, _, payload in run.rows("prompt")}
    candidates = {key: (parents, payload) for key, parents, payload in run.rows("candidate")}
    found = []
    for key, (of, *_), payload in run.rows("critique"):
        principle = known.get(payload["principle"])
        author = payload.get("author", "")
        if principle is None or payload["violated"] not in ("yes", "no") or not payload["text"].strip():
            continue
        if as_written and (principle.id, principle.text) not in as_written:
            continue
        prompt = _prompt_of(of, candidates, prompts)
        if prompt is None or (authors and author and author not in authors):
            continue
        text = candidates[of][1]["text"]
        candidate = Candidate(key=of, prompt=prompt, text=text, author=candidates[of][1]["author"])
        apart = prompt.family in held_out_families or _is_held_out(prompt.family, held_out)
        found.append(
            CriticExample(
                prompt=critique_request(candidate, principle, wording_of(wording), run.secret),
                completion=(Message("assistant", payload["text"]),),
                key=key,
                family=prompt.family,
                principle=principle.id,
                violated=payload["violated"],
                split="held_out" if apart else "train",
            )
        )
    return found


_Rows = dict[str, tuple[list[str], dict[str, str]]]


def _prompt_of(key: str, candidates: _Rows, prompts: dict[str, dict[str, Any]]) -> Prompt | None:
    """Return the prompt of a candidate, of which a revision knows its draft alone; None for a planted reply."""
    while key in candidates and candidates[key][0]:
        parents, payload = candidates[key]
        if payload["author"] == PLANTED:
            return None
        key = parents[0]
    if key not in prompts:
        return None
    messages = messages_of({"role": role, "content": content} for role, content in prompts[key]["messages"])
    return Prompt(key=key, messages=messages, family=prompts[key]["family"])


def _is_held_out(family: str, share: float) -> bool:
    """Return True for this share of the families; it depends on the family alone."""
    return int(digest("critic", family)[:13], 16) / 16**13 < share
