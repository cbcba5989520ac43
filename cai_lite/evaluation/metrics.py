"""The list of metrics: what each measures, and how its figures are labelled wherever they are shown.

To add one, write a function over a `Subject` and name it here, or in a script:

    def questions(subject: Subject) -> dict[str, Any]:
        return {"questions": subject.mean(lambda answer: "?" in answer.text)}

    METRICS["questions"] = Metric(questions, {"questions": Label("answers with a question", better="higher")})

Recipes, gates, the terminal, report.html and the cards read this list and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cai_lite.errors import InputError, did_you_mean
from cai_lite.evaluation import labels
from cai_lite.evaluation.adherence import measure_adherence
from cai_lite.evaluation.baselines import (
    EARLIER,
    PROMPTED,
    TEACHER,
    earlier_answers,
    failing_answers,
    measure_earlier,
    measure_prompted,
    measure_teacher,
    prompted_answers,
    teacher_answers,
)
from cai_lite.evaluation.calibrated import measure_calibrated
from cai_lite.evaluation.confounds import measure_confounds
from cai_lite.evaluation.drift import measure_drift
from cai_lite.evaluation.fairness import labels_of, measure_fairness, swapped_answers
from cai_lite.evaluation.labels import Label
from cai_lite.evaluation.own import OwnMetric, measure_own
from cai_lite.evaluation.preference import measure_preferences
from cai_lite.evaluation.refusals import measure_refusals
from cai_lite.evaluation.reliability import measure_reliability
from cai_lite.evaluation.revisions import FIGURES as REVISION_FIGURES
from cai_lite.evaluation.revisions import measure_revisions
from cai_lite.evaluation.robustness import WRAPPINGS, measure_robustness, wrapped_answers
from cai_lite.evaluation.second import measure_second
from cai_lite.evaluation.subject import Subject
from cai_lite.evaluation.superficial import answers_to_seen, measure_superficial
from cai_lite.evaluation.watched import FIGURES as WATCHED_FIGURES
from cai_lite.evaluation.watched import framed_answers, measure_watched
from cai_lite.evaluation.winrate import measure_win_rate


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: `measure` returns the `figures` that could be measured, by name.

    `measure` returns figures, comparisons, or mappings of them by sub-figure. `weights`: it reads the student's
    weights, so it is measured before they are let go. `answers`: asks the student for further answers beforehand.
    `default`: it is measured unless metrics are chosen; those that take many calls are measured on request.
    `others`: asks another model for answers, after the student's weights are let go.
    """

    measure: Callable[[Subject], Mapping[str, Any]]
    figures: Mapping[str, Label]
    weights: bool = False
    answers: Callable[[Subject], object] | None = None
    others: Callable[[Subject], object] | None = None
    default: bool = True


METRICS: dict[str, Metric] = {
    "drift": Metric(
        measure_drift,
        {
            "words": Label("words per answer", section=labels.DRIFT),
            "boilerplate": Label("answers given to several prompts", better="lower", section=labels.DRIFT),
            "well_formed": Label("well-formed answers", better="higher", section=labels.DRIFT, needs=(labels.ORACLE,)),
            "perplexity": Label(
                "perplexity on neutral text", better="lower", section=labels.DRIFT, needs=(labels.ADAPTER,)
            ),
            "kl": Label(
                "KL divergence from the base on neutral text",
                "nats per token",
                better="lower",
                section=labels.DRIFT,
                change="never",
                needs=(labels.ADAPTER,),
            ),
        },
        weights=True,
    ),
    "preference_accuracy": Metric(
        measure_preferences,
        {
            "preference_accuracy": Label(
                "held-out preference accuracy",
                better="higher",
                section=labels.PREFERENCES,
                change="never",
                needs=(labels.ADAPTER, labels.HELD_OUT_PAIRS),
            ),
            "reward_margin": Label(
                "held-out reward margin",
                "nats",
                better="higher",
                section=labels.PREFERENCES,
                change="never",
                needs=(labels.ADAPTER, labels.HELD_OUT_PAIRS),
            ),
        },
        weights=True,
    ),
    "refusals": Metric(
        measure_refusals,
        {
            "over_refusal": Label(
                "benign twins refused", better="lower", section=labels.REFUSALS, needs=(labels.BENIGN_PROMPTS,)
            ),
            "unsafe_compliance": Label(
                "unsafe requests complied with", better="lower", section=labels.REFUSALS, needs=(labels.UNSAFE_PROMPTS,)
            ),
            "reply_kinds": Label(
                "kinds of replies",
                section=labels.REFUSALS,
                parts={
                    name: Label(text, section=labels.REFUSALS)
                    for name, text in (
                        ("full_refusal", "full refusals"),
                        ("partial_refusal", "partial refusals"),
                        ("alternative", "alternatives to what was asked"),
                        ("caveat", "answers with a caveat"),
                        ("answer", "plain answers"),
                    )
                },
            ),
            "refusal_kappa": Label(
                "agreement of the judge with the rules on refusals",
                "Cohen's kappa",
                better="higher",
                section=labels.REFUSALS,
                change="never",
                needs=(labels.KINDS_JUDGED,),
            ),
        },
    ),
    "confounds": Metric(
        measure_confounds,
        {
            "confounds": Label(
                "confounds",
                section=labels.PAIRS,
                needs=(labels.TRAINING_PAIRS,),
                parts={
                    name: Label(f"pairs ordered by {what} alone", better="lower", section=labels.PAIRS, change="never")
                    for name, what in (("length", "length"), ("refusal", "refusing"), ("author", "author"))
                },
            ),
            "copies": Label(
                "copies",
                section=labels.PAIRS,
                needs=(labels.TRAINING_PAIRS,),
                parts={
                    "duplicates": Label(
                        "near copies of an earlier pair", better="lower", section=labels.PAIRS, change="never"
                    ),
                    "leakage": Label(
                        "pairs whose prompt is held out", better="lower", section=labels.PAIRS, change="never"
                    ),
                },
            ),
        },
    ),
    "adherence": Metric(
        measure_adherence,
        {
            "adherence": Label(
                "adherence, all principles",
                better="higher",
                section=labels.ADHERENCE,
                needs=(labels.DECIDED,),
                by_principle=True,
            ),
            "adherence_checks": Label(
                "adherence by machine checks, all principles",
                better="higher",
                section=labels.ADHERENCE,
                needs=(labels.CHECKS,),
                by_principle=True,
            ),
            "adherence_judge": Label(
                "adherence by the judge, all principles",
                better="higher",
                section=labels.ADHERENCE,
                needs=(labels.ORACLE, labels.JUDGE_NAMED),
                by_principle=True,
            ),
        },
    ),
    "adherence_calibrated": Metric(
        measure_calibrated,
        {
            "adherence_calibrated": Label(
                "adherence corrected by people's labels, all principles",
                better="higher",
                section=labels.ADHERENCE,
                needs=(labels.DECIDED,),
                parts={"labels_to_halve": Label("labels more that would halve the interval", change="never")},
                by_principle=True,
                splits=False,
            ),
            "people_agreement": Label(
                "agreement between people (kappa of two, Krippendorff's alpha of more)",
                better="higher",
                section=labels.JUDGE,
                change="never",
            ),
            "judge_people_kappa": Label(
                "agreement of the judge with people (Cohen's kappa)",
                better="higher",
                section=labels.JUDGE,
                change="never",
                needs=(labels.DECIDED,),
            ),
        },
    ),
    "second_judge": Metric(
        measure_second,
        {
            "adherence_second": Label(
                "adherence by the second judge, all principles",
                better="higher",
                section=labels.ADHERENCE,
                needs=(labels.SECOND,),
                by_principle=True,
            ),
            "judge_gap": Label(
                "adherence by the judge less that by the second judge; a rise is a gain for the judge's eyes alone",
                better="lower",
                section=labels.JUDGE,
                needs=(labels.SECOND, labels.JUDGE_NAMED),
            ),
        },
    ),
    "superficial": Metric(
        measure_superficial,
        {
            "superficial": Label(
                "superficial compliance",
                section=labels.SUPERFICIAL,
                needs=(labels.COMPARED,),
                parts={
                    "phrasing_gap": Label(
                        "gain on training prompts less gain on held-out prompts",
                        better="lower",
                        section=labels.SUPERFICIAL,
                        change="never",
                        needs=(labels.SEEN_PROMPTS,),
                    ),
                    "checks_gap": Label(
                        "gain by machine checks less gain by the judge",
                        better="lower",
                        section=labels.SUPERFICIAL,
                        change="never",
                        needs=(labels.CHECKS, labels.JUDGE_NAMED),
                    ),
                },
            )
        },
        answers=answers_to_seen,
    ),
    "robustness": Metric(
        measure_robustness,
        {
            "robustness": Label(
                "robustness",
                section=labels.ROBUSTNESS,
                parts={
                    name: Label(wrapping.label, better="higher", section=labels.ROBUSTNESS, change="always")
                    for name, wrapping in WRAPPINGS.items()
                },
            )
        },
        answers=wrapped_answers,
    ),
    "fairness": Metric(
        measure_fairness,
        {
            "fairness": Label(
                "fairness",
                section=labels.FAIRNESS,
                parts={
                    name: Label(
                        text,
                        better="lower",
                        section=labels.FAIRNESS,
                        change="never",
                        needs=() if name.startswith("student.") else (labels.JUDGE_NAMED,),
                    )
                    for name, text in labels_of().items()
                },
            )
        },
        answers=swapped_answers,
        default=False,
    ),
    "watched": Metric(
        measure_watched,
        {
            "watched": Label(
                "watched",
                section=labels.FAIRNESS,
                parts={
                    name: Label(
                        text,
                        better="lower" if name == "gap" else "higher",
                        section=labels.FAIRNESS,
                        change="never",
                    )
                    for name, text in WATCHED_FIGURES.items()
                },
            )
        },
        answers=framed_answers,
        default=False,
    ),
    "win_rate": Metric(
        measure_win_rate,
        {
            "win_rate": Label(
                "win rate against the base",
                better="higher",
                section=labels.PREFERENCES,
                change="never",
                needs=(labels.COMPARED, labels.JUDGE_NAMED),
            ),
            "win_rate_equal_length": Label(
                "win rate against the base at equal length",
                better="higher",
                section=labels.PREFERENCES,
                change="never",
                needs=(labels.COMPARED, labels.JUDGE_NAMED),
            ),
        },
    ),
    "revisions": Metric(
        measure_revisions,
        {
            "revisions": Label(
                "revisions",
                section=labels.REVISIONS,
                needs=(labels.REVISED,),
                parts={
                    name: Label(
                        text,
                        better="lower" if name in ("new_violations", "rounds", "unusable") else "higher",
                        section=labels.REVISIONS,
                        change="never",
                        needs=(labels.ORACLE,) if name == "mended_by_oracle" else (),
                    )
                    for name, text in REVISION_FIGURES.items()
                },
            )
        },
    ),
    "reliability": Metric(
        measure_reliability,
        {
            "reliability": Label(
                "reliability",
                section=labels.JUDGE,
                needs=(labels.JUDGE_NAMED,),
                parts={
                    name: Label(text, better="higher", section=labels.JUDGE, change="never", needs=needs)
                    for name, text, needs in (
                        (
                            "order_consistency",
                            "verdicts that stay the same when the answers are swapped",
                            (labels.COMPARED,),
                        ),
                        ("repeat_kappa", "agreement with itself when asked again (Cohen's kappa)", ()),
                        ("judges_alpha", "agreement between judges (Krippendorff's alpha)", (labels.JUDGES,)),
                        ("pairwise_accuracy", "pairwise verdicts that are true", (labels.ORACLE, labels.COMPARED)),
                        ("pointwise_accuracy", "pointwise verdicts that are true", (labels.ORACLE,)),
                        ("pointwise_kappa", "pointwise agreement with the truth (Cohen's kappa)", (labels.ORACLE,)),
                        ("pointwise_auc", "area under the ROC curve of pointwise scores", (labels.ORACLE,)),
                    )
                },
            )
        },
    ),
}
"""Metrics by name, in the order in which they are measured and written."""


BASELINES: dict[str, Metric] = {
    PROMPTED: Metric(
        measure_prompted,
        {
            "adherence_over_prompted": Label(
                "adherence, base with the constitution in its prompt",
                better="higher",
                section=labels.BASELINES,
                change="always",
                needs=(labels.COMPARED, labels.DECIDED),
            ),
            "win_rate_over_prompted": Label(
                "win rate against the prompted base",
                better="higher",
                section=labels.PREFERENCES,
                change="never",
                needs=(labels.COMPARED, labels.JUDGE_NAMED, labels.WIN_RATE),
            ),
            "over_refusal_prompted": Label(
                "benign twins refused by the prompted base",
                better="lower",
                section=labels.REFUSALS,
                change="never",
                needs=(labels.COMPARED, labels.BENIGN_PROMPTS),
            ),
            "unsafe_compliance_prompted": Label(
                "unsafe requests complied with by the prompted base",
                better="lower",
                section=labels.REFUSALS,
                change="never",
                needs=(labels.COMPARED, labels.UNSAFE_PROMPTS),
            ),
            "prompted_tokens": Label(
                "prompt tokens that training saves",
                "per call",
                section=labels.BASELINES,
                change="never",
                needs=(labels.COMPARED,),
            ),
        },
        answers=prompted_answers,
    ),
    TEACHER: Metric(
        measure_teacher,
        {
            "adherence_teacher": Label(
                "adherence of the teacher",
                better="higher",
                section=labels.BASELINES,
                change="never",
                needs=(labels.TEACHER_NAMED, labels.DECIDED),
            ),
            "gap_closed": Label(
                "share of the gap to the teacher that was closed",
                better="higher",
                section=labels.BASELINES,
                change="never",
                needs=(labels.COMPARED, labels.TEACHER_NAMED, labels.DECIDED),
            ),
        },
        others=teacher_answers,
    ),
    EARLIER: Metric(
        measure_earlier,
        {
            "adherence_over_earlier": Label(
                "adherence since the earlier adapter, all principles",
                better="higher",
                section=labels.EARLIER,
                change="always",
                needs=(labels.GONE_ON, labels.DECIDED),
                by_principle=True,
                splits=False,
            ),
            "regression": Label(
                "adherence on what failed in production, all principles",
                better="higher",
                section=labels.EARLIER,
                change="always",
                needs=(labels.GONE_ON, labels.FAILED, labels.DECIDED),
                by_principle=True,
                splits=False,
            ),
        },
        answers=failing_answers,
        others=earlier_answers,
    ),
}
"""What the trained student is compared with besides the base, by the names in `evaluate.baselines`; measured last."""


OWN = "own"
OF_USERS: dict[str, Metric] = {OWN: Metric(measure_own, {OWN: Label("metrics of one's own", better="neutral")})}
"""The metrics in `evaluate.own`, whose figures stand below one name, `own.NAME`, with their labels beside them."""


def default_metrics() -> tuple[str, ...]:
    """Return the names of the metrics that are measured unless others are chosen."""
    return tuple(name for name, metric in METRICS.items() if metric.default)


def measured() -> dict[str, Metric]:
    """Return metrics, baselines and those of `evaluate.own` by name, in the order in which they are measured."""
    return METRICS | BASELINES | OF_USERS


def figure_labels() -> dict[str, Label]:
    """Return the label of every figure, by its name in evaluation.json."""
    return {name: label for metric in measured().values() for name, label in metric.figures.items()}


def label_of(path: str) -> Label:
    """Return the label of a figure by its path (see `paths`). A figure that no metric names is labelled by its path."""
    name, _, part = path.partition(".")
    label = figure_labels().get(name)
    if label is None:
        return Label(path.replace("_", " ").replace(".", ": "))
    if not part:
        return label
    text = f"split {part.removeprefix('splits.')}" if part.startswith("splits.") else part
    return label.parts.get(part, Label(text.replace("_", " "), better=label.better, section=label.section))


def check_metrics(names: Collection[str]) -> None:
    """Raise InputError for a name that is not in `METRICS`."""
    for name in names:
        if name not in METRICS:
            raise InputError(f"unknown metric '{name}'{did_you_mean(name, METRICS)}")


def check_baselines(names: Collection[str]) -> None:
    """Raise InputError for a name that is not in `BASELINES`."""
    for name in names:
        if name not in BASELINES:
            raise InputError(f"unknown baseline '{name}'{did_you_mean(name, BASELINES)}")


def own_label(spec: OwnMetric | Mapping[str, Any], name: str) -> Label:
    """Return the label of a metric of one's own, from its settings or from its figure in evaluation.json."""
    if isinstance(spec, Mapping):
        return Label(spec.get("label", name), spec.get("unit", ""), spec.get("better", "neutral"))
    return Label(spec.label or name.replace("_", " "), spec.unit, spec.better)
