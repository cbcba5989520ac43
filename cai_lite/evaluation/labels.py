"""Describe a figure once: its label, unit and direction, where it is shown, and what it takes to measure it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cai_lite.evaluation.refusals import BENIGN, UNSAFE, tagged
from cai_lite.inputs.constitution import Constitution
from cai_lite.records import Prompt


class Section(NamedTuple):
    """A table of the report. `columns`: headings of a comparison's two sides and of their difference."""

    title: str
    note: str = ""
    columns: tuple[str, str, str] = ("before", "after", "change")


ADHERENCE = Section("Adherence")
BASELINES = Section(
    "Beside prompting and the teacher",
    "the same prompts and sampling; the base and the teacher have the constitution in their system message",
    ("prompted", "trained", "change"),
)
EARLIER = Section(
    "Beside the adapter that the run went on from",
    "the same prompts, sampling and principles; a gate of the run asks of each unchanged principle not to be worse",
    ("earlier", "now", "change"),
)
REFUSALS = Section("Refusals")
PREFERENCES = Section("Preferences")
DRIFT = Section("Form and drift")
ROBUSTNESS = Section(
    "Robustness",
    "adherence of the model to plain prompts, and to the same prompts wrapped",
    ("plain", "wrapped", "change"),
)
FAIRNESS = Section("Fair, and the same when unwatched", "differences near 0 are good")
SUPERFICIAL = Section("Superficial compliance", "gaps near 0 are good")
OTHER = Section("Other metrics")
PAIRS = Section("Training pairs", "0.5 means that the property does not order the pairs, 1 that it orders all of them")
REVISIONS = Section("Revisions", "by a fresh critique of each rewrite under every principle drawn for its prompt")
JUDGE = Section("Judge reliability", "each comparison is judged in both orders, and some answers are judged twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is known of an evaluation before any model is asked.

    `metrics`: their names, and those of baselines. `own`: those of the user's own. `teacher`: there is one to answer
    as a baseline. `compared`: a second model is measured for comparison. `adapter`: the model is a local one whose
    adapter can be switched off. `pairs`, `held_out_pairs`, `seen`: whether there are training pairs, held-out pairs
    and training prompts. `oracle`: the embedded world's oracle scores too. `judges`: how many there are. `second`:
    a judge without a part in the training is named. `kinds_judged`: the first judge decides the kinds of replies.
    `revisions`: drafts are revised. `earlier`: training went on from an adapter of an earlier run; `regression`:
    there are prompts that failed in production.
    """

    metrics: Collection[str]
    constitution: Constitution
    prompts: Sequence[Prompt]
    compared: bool = True
    adapter: bool = True
    pairs: bool = True
    held_out_pairs: bool = True
    seen: bool = True
    oracle: bool = False
    judges: int = 1
    second: bool = False
    teacher: bool = False
    own: Mapping[str, Any] = field(default_factory=dict)
    kinds_judged: bool = False
    revisions: bool = True
    earlier: bool = False
    regression: bool = False


class Need(NamedTuple):
    """A condition without which a figure cannot be measured, and the reason to give where it does not hold."""

    holds: Callable[[Planned], bool]
    otherwise: str


COMPARED = Need(lambda plan: plan.compared, "the model is measured alone; name a second one with --against")
ADAPTER = Need(lambda plan: plan.adapter, "it takes a local model with an adapter that can be switched off")
TRAINING_PAIRS = Need(lambda plan: plan.pairs, "it takes the training pairs, and this run makes none")
HELD_OUT_PAIRS = Need(lambda plan: plan.held_out_pairs, "it takes held-out pairs, and this run makes none")
SEEN_PROMPTS = Need(lambda plan: plan.seen, "it takes the training prompts, and this run has none")
ORACLE = Need(lambda plan: plan.oracle, "it takes evaluate.oracle, which the embedded models alone have")
REVISED = Need(lambda plan: plan.revisions, "it takes revisions, and this run makes none")
JUDGES = Need(lambda plan: plan.judges > 1, "it takes several judges")
SECOND = Need(lambda plan: plan.second, "it takes a judge without a part in the training: evaluate.second_judge")
TEACHER_NAMED = Need(lambda plan: plan.teacher, "it takes a teacher, and there is none")
GONE_ON = Need(lambda plan: plan.earlier, "it takes an earlier run to go on from: `from` in the recipe")
FAILED = Need(lambda plan: plan.regression, "it takes prompts that failed in production: from.failures in the recipe")
WIN_RATE = Need(lambda plan: "win_rate" in plan.metrics, "it takes 'win_rate' among evaluate.metrics")
JUDGE_NAMED = Need(lambda plan: plan.judges > 0, "it takes a judge; name one as judge.by")
KINDS_JUDGED = Need(lambda plan: plan.kinds_judged, "it takes evaluate.refusals: judge")
CHECKS = Need(
    lambda plan: any(principle.checks is not None for principle in plan.constitution.principles),
    "no principle of the constitution has machine checks",
)
DECIDED = Need(
    lambda plan: plan.judges > 0 or plan.oracle or CHECKS.holds(plan),
    "there is no judge, and no principle of the constitution has machine checks; name a judge as judge.by",
)
BENIGN_PROMPTS = Need(lambda plan: any(tagged(p, BENIGN) for p in plan.prompts), f"no prompt has the tag '{BENIGN}'")
UNSAFE_PROMPTS = Need(lambda plan: any(tagged(p, UNSAFE) for p in plan.prompts), f"no prompt has the tag '{UNSAFE}'")


@dataclass(frozen=True, slots=True)
class Label:
    """One figure of evaluation.json, as every table names it.

    `better`: the direction of improvement. `change`: whether the figure has the sides before, after and change:
    where two models are "compared", "always", or "never". `parts`: labels of sub-figures, by name; with
    `by_principle`, the sub-figures are principles and splits of the prompts, too; `splits` is false where there are
    principles alone.
    """

    text: str
    unit: str = ""
    better: Literal["higher", "lower", "neutral"] = "neutral"
    section: Section = OTHER
    change: Literal["compared", "always", "never"] = "compared"
    needs: tuple[Need, ...] = ()
    parts: Mapping[str, Label] = field(default_factory=dict)
    by_principle: bool = False
    splits: bool = True

    @property
    def heading(self) -> str:
        """The label with its unit."""
        return f"{self.text} ({self.unit})" if self.unit else self.text
