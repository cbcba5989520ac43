"""Predict the time of a whole run, part by part, from counts of calls and tokens and the speed of a graphics card.

What is assumed stands in constants here and is shown with the result; `cai-lite preflight` measures instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cai_lite.evaluation.robustness import WRAPPED_LIMIT, WRAPPINGS
from cai_lite.evaluation.subject import PAIRED_LIMIT
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.prompts import Prompts
from cai_lite.pipeline.ready import calls_for_prompted
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.sources import PROMPTED, REVISIONS
from cai_lite.preflight.devices import Device
from cai_lite.preflight.sizes import completions_of
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS

if TYPE_CHECKING:
    from cai_lite.logps.footprint import Footprint

FLOPS_SHARE = 0.4  # share of the card's matrix speed that training and decoding reach
BANDWIDTH_SHARE = 0.6  # share of the card's memory bandwidth that decoding reaches
CACHE_SHARE = 0.8  # share of the free memory that the keys and values of a batch of replies may take
MOST_ROWS = 256  # replies decoded together, at most
BROKEN = 0.5  # share of the drafts that break one of their principles and are revised, and again in each further round
KEPT = 0.5  # share of the comparisons that become pairs
WORDING = 250  # tokens of instructions and principle around the texts that a teacher is shown
CRITIQUE = 150  # tokens of a critique
VERDICT = 8  # tokens of a verdict
TRAINING = "training"  # the name of this part of a run
READING = 10  # a server reads so many times as many tokens a second as it writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a run: who works, its calls (rows of a training), tokens read and written by all, and hours.

    `phase`: the number of the training that it is.
    """

    part: str
    by: str
    calls: int
    tokens_in: int
    tokens_out: int
    hours: float | None
    phase: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the part as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "phase"}

    def times(self, rounds: int) -> Part:
        """Return the part as so many rounds repeat it."""
        hours = None if self.hours is None else rounds * self.hours
        tokens_in, tokens_out = rounds * self.tokens_in, rounds * self.tokens_out
        return replace(self, calls=rounds * self.calls, tokens_in=tokens_in, tokens_out=tokens_out, hours=hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The numbers of calls that making pairs takes, by their kind, and of the pairs that come of it."""

    drafts: int
    critiques: int
    revisions: int
    verdicts: int
    pairs: int

    @classmethod
    def of(cls, recipe: Recipe, prompts: int) -> Counted:
        """Return the counts of making pairs from so many prompts."""
        n, rules, judge = recipe.draft.n, recipe.pair.rules, recipe.judge
        drafts, critiques, revisions, revised = prompts * n * recipe.drafts, 0, 0, 0
        if recipe.revises:
            per_draft = recipe.critique.principles_per_draft
            rounds = range(1, recipe.revise.rounds + 1)
            again = BROKEN if recipe.revise.until == "satisfied" else 1.0
            critics = max(1, len(recipe.critique.critics))
            revisions = critics * round(sum(drafts * BROKEN * again ** (number - 1) for number in rounds))
            critiques = (drafts + revisions) * per_draft * critics
            revised = round(drafts * BROKEN) if rounds else 0
        by_teacher = prompts if {"teacher_over_student", "ranked"} & set(rules) else 0
        learnt_only = revised if "revision_over_draft" not in rules else 0  # by a phase, and not compared
        revised -= learnt_only
        candidates = n + (by_teacher + revised) / max(1, prompts)
        compared = {
            "revision_over_draft": revised,
            "teacher_over_student": drafts,
            "best_over_worst": prompts * n * (n - 1) // 2,
            "ranked": round(prompts * candidates * (candidates - 1) / 2),
        }
        asked = sum(compared[rule] for rule in rules)
        of_prompt = math.inf if recipe.pair.per_prompt is None else recipe.pair.per_prompt * prompts
        questions = 2 * asked if judge.mode == "pairwise" else len(rules) * (drafts + revised)
        return cls(
            drafts=drafts,
            critiques=critiques,
            revisions=revisions + by_teacher,
            verdicts=questions * judge.principles * judge.votes * max(1, len(judge.models)),
            pairs=round(sum(min(KEPT * compared[rule], of_prompt) for rule in rules)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Mean lengths of prompts and completions, in tokens."""

    prompt: int
    completion: int


def parts_of(
    recipe: Recipe,
    constitution: Constitution,
    prompts: Prompts,
    *,
    lengths: Lengths,
    pairs: int | None,
    teacher_rate: float,
) -> list[Part]:
    """Return the parts of a run in their order, without the hours of those that the student works on.

    `teacher_rate`: tokens that the teacher's server writes per second, all calls together. The hours of a teacher on
    this machine are unknown, and so None.
    """
    served = all(section.url is not None for section in recipe.all_teachers)
    metrics, samples = set(recipe.evaluate.metrics), recipe.evaluate.samples
    held_out = len(prompts.held_out)
    paired = min(held_out, recipe.evaluate.pair_prompts or held_out) if "preference_accuracy" in metrics else 0
    wrapped = len(WRAPPINGS) * min(held_out, WRAPPED_LIMIT) if "robustness" in metrics else 0
    seen = min(len(prompts.train), PAIRED_LIMIT) if "superficial" in metrics else 0
    per_prompt = sum(p.applies(x) for x in prompts.held_out for p in constitution.principles) / max(1, held_out)
    rounds, judged = recipe.repeats.n, bool(recipe.all_teachers or recipe.judge.models)
    answers = (1 + rounds) * samples * (held_out + seen) + rounds * wrapped
    by_judge = judged and recipe.evaluate.oracle is None
    scored = round(per_prompt * ((1 + rounds) * samples * held_out + rounds * wrapped)) if by_judge else 0
    kinds = (1 + rounds) * samples * held_out if recipe.evaluate.refusals == "judge" else 0
    questions = 2 * recipe.judge.principles if judged and "win_rate" in metrics else 0
    compared = min(held_out, PAIRED_LIMIT) * samples * questions
    failing = round(per_prompt * len(prompts.train)) if recipe.weighs else 0
    training, held = Counted.of(recipe, len(prompts.train)), Counted.of(recipe, paired)
    p, c = lengths.prompt, lengths.completion

    def student(part: str, calls: int) -> Part:
        return Part(part=part, by="student", calls=calls, tokens_in=calls * p, tokens_out=calls * c, hours=None)

    def teacher(part: str, counted: Counted, judged: int = 0, *, drafts: int = 0) -> Part:
        one = counted.verdicts if recipe.judge.mode == "pairwise" else 0
        alone = counted.verdicts - one + judged
        texts = drafts * p + counted.critiques * (p + c) + counted.revisions * (p + c + CRITIQUE)
        texts += one * (p + 2 * c) + alone * (p + c)
        calls = drafts + counted.critiques + counted.revisions + counted.verdicts + judged
        written = counted.critiques * CRITIQUE + (counted.revisions + drafts) * c
        written += (counted.verdicts + judged) * VERDICT
        read = texts + WORDING * calls
        hours = (written + read / READING) / teacher_rate / 3600 if served else None
        return Part(part=part, by="teacher", calls=calls, tokens_in=read, tokens_out=written, hours=hours)

    by_student, draws = recipe.draft.from_ == "student", recipe.draft.best_of
    nothing = Counted(drafts=0, critiques=0, revisions=0, verdicts=0, pairs=0)
    rows = training.pairs if pairs is None else pairs
    told = len(prompts.train) * recipe.draft.n if any(phase.on == PROMPTED for phase in recipe.phases) else 0
    alone = calls_for_prompted(recipe, len(prompts.train)) if told else 0
    on_policy = [phase for phase in recipe.phases if METHODS[phase.method].on_policy]
    sampled = round(len(prompts.train) * sum(phase.epochs * phase.rl.samples for phase in on_policy))
    found = [
        *(
            part.times(rounds)
            for part in (
                student("drafts", training.drafts * by_student * draws),
                teacher("critiques, revisions, verdicts", training, drafts=training.drafts * (not by_student) * draws),
                student("answers under the constitution, with critiques and revisions", alone),
                student("samples to reward", sampled),
                teacher("rewards", nothing, round(per_prompt * sampled * any(each.rl.judge for each in on_policy))),
                *_trainings(recipe, training, rows, lengths, told, len(prompts.train)),
            )
        ),
        teacher("judging what still fails", nothing, (rounds - 1) * failing),
        student("held-out drafts", held.drafts * by_student * draws),
        teacher("held-out verdicts", held, drafts=held.drafts * (not by_student) * draws),
        student("answers before and after", answers),
        teacher("judging the answers", nothing, scored + rounds * compared + kinds),
    ]
    return [part for part in found if part.calls]


def _trainings(
    recipe: Recipe, counted: Counted, pairs: int, lengths: Lengths, told: int, prompts: int
) -> Iterator[Part]:
    """Yield the part of each phase; there is one name for a single one, and several are told apart by their number.

    `told`: the number of the student's answers under the constitution; `prompts`: of the training prompts.
    """
    learnt = {REVISIONS: min(counted.revisions, round(counted.drafts * BROKEN)), PROMPTED: told}
    for number, phase in enumerate(recipe.phases):
        many = completions_of(recipe, phase)
        rows = prompts if METHODS[phase.method].on_policy else learnt.get(phase.on or "", pairs)
        if phase.include_critique:  # each critique and each revision behind it is a row of its own
            rows *= 3
        elif phase.method == "listwise":
            rows = max(1, round(pairs / (many * (many - 1) / 2)))
        yield Part(
            part=f"{TRAINING} {number}, {phase.method}" if len(recipe.phases) > 1 else TRAINING,
            by="student",
            calls=rows,
            tokens_in=round(rows * phase.epochs * (lengths.prompt + many * lengths.completion)),
            tokens_out=0,
            hours=None,
            phase=number,
        )


def training_hours(
    recipe: Recipe,
    config: Any,
    found: Footprint,
    recomputed: int,
    device: Device,
    lengths: Lengths,
    rows: int,
    *,
    phase: TrainingConfig | None = None,
) -> float:
    """Return the hours of a training of so many rows; `phase`: which one, the first if left out.

    A token takes 2N operations forward (N: weights of the layers), 2N for the gradients of the inputs, 2N more in
    recomputed layers, and 2N once for the reference. The output head runs on completion tokens only.
    """
    text = config.get_text_config()
    body, head = found.matrices, text.vocab_size * text.hidden_size
    phase = phase or recipe.phases[0]
    many, epochs = completions_of(recipe, phase), phase.epochs
    tokens = lengths.prompt + many * lengths.completion
    method = METHODS[phase.method]
    reference = 2 / epochs if method.needs_reference(phase) else 0
    if method.on_policy:  # each sample is read by the policy and by the reference, then learnt from some times
        reference, epochs = 4 / phase.rl.ppo_epochs, epochs * phase.rl.ppo_epochs
    flops = tokens * body * (4 + 2 * recomputed / found.layers + reference)
    flops += many * lengths.completion * head * (4 + reference)
    return float(rows * epochs * flops) / (device.tflops * 1e12 * FLOPS_SHARE) / 3600


def decoding_speed(config: Any, found: Footprint, load: str, device: Device, free: float, lengths: Lengths) -> float:
    """Return the tokens per second that the student writes, as many replies at a time as memory takes.

    A step reads all weights and all keys and values once; NF4 weights are written out in 16 bits and read again. It
    takes the longer of that traffic and of the matrix products. `free`: bytes of memory for a whole model.
    """
    text = config.get_text_config()
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    keys = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    row = 2 * 2 * text.num_hidden_layers * keys * width * (lengths.prompt + lengths.completion)
    rows = max(1, min(MOST_ROWS, int(CACHE_SHARE * (free - found.weights) / row)))
    traffic = found.weights + (4 * found.matrices if load == "nf4" else 0)
    traffic += rows * row * (lengths.prompt + lengths.completion / 2) / (lengths.prompt + lengths.completion)
    flops = 2 * rows * (found.matrices + text.vocab_size * text.hidden_size)
    seconds = max(traffic / (device.bandwidth * 1e9 * BANDWIDTH_SHARE), flops / (device.tflops * 1e12 * FLOPS_SHARE))
    return float(rows / seconds)
