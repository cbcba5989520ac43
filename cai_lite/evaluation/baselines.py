"""Baselines: the untrained student that is told the constitution in its prompt, the teacher, and an earlier student.

The first answers whether training was better than prompting, the second how much of the way to the teacher it went.
Both get the same prompts and the same sampling as the trained student, which is told nothing. The third, the student
with the adapter that a run went on from, is told nothing either: it answers what going on changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cai_lite.chat.base import ChatModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.on_ray import RayModel, is_embedded
from cai_lite.chat.rendering import TemplateRefusal, merged_system
from cai_lite.distill.drafts import told
from cai_lite.distill.wording import wording_of
from cai_lite.evaluation.adherence import adherence, decided_cells, rate
from cai_lite.evaluation.refusals import refusals_of
from cai_lite.evaluation.subject import Subject
from cai_lite.evaluation.winrate import win_rate_over
from cai_lite.inputs.prompts import key_of
from cai_lite.records import Candidate, Messages, Prompt, Request, Sampling
from cai_lite.stats import Figure, compare, interval, mean_figure, resampled_sums

PROMPTED, TEACHER, EARLIER = "prompted", "teacher", "earlier"
DEFAULT = (PROMPTED,)
USABLE = 0.5  # least share of answers with a text; fewer say more about the calls than about the model


def prompted_answers(subject: Subject) -> list[Candidate]:
    """Return the answers of the untrained student with the constitution in its system message; none without one."""
    if subject.before is None:
        return []
    return _answers(subject, PROMPTED, subject.answering.get("before", subject.before))


def teacher_answers(subject: Subject) -> list[Candidate]:
    """Return the answers of the teacher with the constitution in its system message; none without a teacher."""
    return [] if subject.teacher is None else _answers(subject, TEACHER, subject.teacher)


def earlier_answers(subject: Subject) -> list[Candidate]:
    """Return the answers of the student with the adapter that the run went on from; none where it began anew."""
    if subject.earlier is None:
        return []
    failing_answers(subject, subject.earlier, "answers earlier")
    return subject.answers_to(subject.prompts, "answers earlier", subject.earlier, samples=subject.samples)


def failing_answers(subject: Subject, model: ChatModel | None = None, stage: str = "answers now") -> list[Candidate]:
    """Return the answers of the trained student, or of `model`, to the prompts that failed in production."""
    if subject.earlier is None or not subject.regression:
        return []
    return subject.answers_to(subject.regression, f"{stage} to what failed", model, samples=subject.samples)


def measure_prompted(subject: Subject) -> dict[str, Any]:
    """Compare the trained student with the untrained one that is told the constitution."""
    given = prompted_answers(subject)
    if not _usable(subject, given, PROMPTED):
        return {}
    found: dict[str, Any] = {}
    keeps = subject.keeps(given, "judge the prompted answers")
    sides = _matched(given, subject.sides[-1])
    if cells := decided_cells(sides, subject.constitution, keeps):
        found["adherence_over_prompted"] = rate(cells, subject.seed)
    if subject.judges and "win_rate" in subject.metrics:
        rates = win_rate_over(subject, PROMPTED)
        found |= {"win_rate_over_prompted": rates["win_rate"]} if rates else {}
    kinds = refusals_of(subject, given, "judge the kinds of prompted replies")
    found |= {f"{name}_prompted": kinds[name] for name in ("over_refusal", "unsafe_compliance") if name in kinds}
    if (tokens := _extra_tokens(subject)) is not None:
        found["prompted_tokens"] = tokens
    return found


def measure_teacher(subject: Subject) -> dict[str, Any]:
    """Measure the teacher's adherence, and the share of the way from the base to the teacher that training went."""
    given = teacher_answers(subject)
    if not _usable(subject, given, TEACHER):
        return {}
    keeps = subject.keeps(given, "judge the teacher's answers")
    found: dict[str, Any] = {}
    if cells := decided_cells([given], subject.constitution, keeps):
        found["adherence_teacher"] = rate(cells, subject.seed)
    if subject.compared:
        cells = decided_cells(_matched(given, *subject.sides), subject.constitution, keeps)
        teacher, before, after = ([cell.kept[side] for cell in cells] for side in range(3))
        families, weights = [cell.family for cell in cells], [cell.principle.weight for cell in cells]
        closed = gap_closed(before, after, teacher, families, weights=weights, seed=subject.seed) if cells else None
        found |= {} if closed is None else {"gap_closed": closed}
    return found


def measure_earlier(subject: Subject) -> dict[str, Any]:
    """Compare adherence with that of the student as it was, over all principles and by principle, paired by prompt."""
    given = earlier_answers(subject)
    if not given:
        return {}
    failed = [failing_answers(subject, subject.earlier, "answers earlier"), failing_answers(subject)]
    keeps = subject.keeps([*given, *failed[0], *failed[1]], "judge the earlier answers")
    found = {}
    # Apart: whoever is chosen for having failed does better the next time, also without any training.
    for name, sides in (("adherence_over_earlier", [given, subject.sides[-1]]), ("regression", failed)):
        own = adherence(sides, subject.constitution, keeps, seed=subject.seed)
        found[name] = {part: figure for part, figure in own.items() if part != "splits"}
    return {name: own for name, own in found.items() if own}


def gap_closed(
    before: Sequence[float],
    after: Sequence[float],
    teacher: Sequence[float],
    families: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Figure | None:
    """Return (after - before) / (teacher - before) of the weighted means, with an interval by bootstrap over families.

    1: the student reached the teacher; below 0: training led away from it. None where the teacher is not clearly better
    than the student before (the 95 % interval of the difference holds 0), since a share of nothing says nothing.
    """
    ahead = compare(before, teacher, families, seed=seed, weights=weights).change
    if ahead.low <= 0:
        return None
    weight_N = np.ones(len(families)) if weights is None else np.asarray(weights, float)
    gained_N, gap_N = (np.asarray(side, float) - np.asarray(before, float) for side in (after, teacher))
    sums = resampled_sums(families, np.column_stack([gained_N * weight_N, gap_N * weight_N]), seed)
    drawn = sums[sums[:, 1] > 0]
    low, high = interval(drawn[:, 0] / drawn[:, 1])
    return Figure(float((gained_N * weight_N).sum() / (gap_N * weight_N).sum()), len(families), low, high)


def four_sides(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the overall adherence of base, prompted, trained and teacher, as far as evaluation.json has them."""
    overall, over = metrics.get("adherence", {}).get("overall", {}), metrics.get("adherence_over_prompted", {})
    figures = {
        "base": overall.get("before"),
        "prompted": over.get("before"),
        "trained": overall.get("after"),
        "teacher": metrics.get("adherence_teacher"),
    }
    return {name: figure["value"] for name, figure in figures.items() if figure}


def _answers(subject: Subject, name: str, model: ChatModel) -> list[Candidate]:
    """Ask a model that is told the constitution, once; each answer bears the plain prompt, by which it is judged.

    Prompts that do not fit into the model's context with the constitution are left out, and the number is said.
    """
    if name not in subject.told:
        asked = _told(subject, name, model)
        if left_out := len(subject.prompts) - len(asked):
            subject.screen.warn(
                f"{name}: {left_out:,} of {len(subject.prompts):,} held-out prompts do not fit into the context of "
                f"{model.name} together with the constitution and {subject.sampling.max_tokens} tokens of reply; they "
                "are left out of this comparison"
            )
        requests = [prompt for _, prompt in asked]
        answers = subject.answers_to(requests, f"answers {name}", model, samples=subject.samples)
        plain = [prompt for prompt, _ in asked for _ in range(subject.samples)]
        subject.told[name] = [replace(c, prompt=prompt) for c, prompt in zip(answers, plain, strict=True)]
    return subject.told[name]


def _told(subject: Subject, name: str, model: ChatModel) -> list[tuple[Prompt, Prompt]]:
    """Return each prompt that fits with the one that tells the constitution, without asking the model.

    A template that refuses a system message gets it in front of the first user turn, as with `system: merge`. How a
    local model renders the prompts is remembered, so that a finished evaluation need not open it again.
    """
    wording = wording_of(
        "short" if is_embedded(model) else model.wording
    )  # the only one that models of their size can learn
    made = [told(wording, prompt, subject.constitution) for prompt in subject.prompts]
    how = ["system"] * len(made)
    if isinstance(model, LocalModel | RayModel):
        memo, decided_by = f"rendering {name}", (model.digest, list(map(key_of, made)), subject.sampling.max_tokens)
        how = subject.run.recall(memo, *decided_by) or [_rendering(model, asked, subject.sampling) for asked in made]
        subject.run.remember(memo, how, *decided_by)
    found = []
    for prompt, messages, way in zip(subject.prompts, made, how, strict=True):
        if way:
            asked = merged_system(messages) if way == "merged" else messages
            found.append((prompt, replace(prompt, key=key_of(asked), messages=asked)))
    return found


def _rendering(model: LocalModel | RayModel, messages: Messages, sampling: Sampling) -> str:
    """Return how a local model is told: "system" (a message), "merged" (into the user's turn), or "" (does not fit)."""
    try:
        return "system" if model.fits(Request(messages=messages, sampling=sampling)) else ""
    except TemplateRefusal:
        return "merged" if model.fits(Request(messages=merged_system(messages), sampling=sampling)) else ""


def _usable(subject: Subject, answers: Sequence[Candidate], name: str) -> bool:
    """Return whether enough answers have a text to compare with; warn if they have not."""
    given = sum(bool(candidate.text) for candidate in answers)
    if answers and given < USABLE * len(answers):
        subject.screen.warn(
            f"{name}: only {given:,} of {len(answers):,} answers have a text, so this comparison is left out; if the "
            "model's chat template refuses a system message, set 'system: merge' for it"
        )
        return False
    return bool(answers)


def _matched(answers: Sequence[Candidate], *others: Sequence[Candidate]) -> list[list[Candidate]]:
    """Return `answers`, then those of the others to the same prompts."""
    keys = {candidate.prompt.key for candidate in answers}
    return [list(answers), *([one for one in side if one.prompt.key in keys] for side in others)]


def _extra_tokens(subject: Subject) -> Figure | None:
    """Return the mean number of prompt tokens a call that telling the constitution adds, by the replies' own counts."""
    model = subject.answering.get("before", subject.before)
    assert model is not None, "there are prompted answers"
    extra, families = [], []
    for plain, asked in _told(subject, PROMPTED, model):
        keys = [Request(messages=p.messages, sampling=subject.sampling).key(model.digest) for p in (plain, asked)]
        counted = [reply.tokens_in for reply in subject.run.replies(keys).values() if reply.tokens_in > 0]
        if len(counted) == 2:
            extra.append(float(counted[1] - counted[0]))
            families.append(plain.family)
    return mean_figure(extra, families, seed=subject.seed) if extra else None
