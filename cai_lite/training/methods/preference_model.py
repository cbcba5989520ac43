"""A preference model: a score head on a LoRA trunk, which learns to score the better answer higher.

A row is a prompt with two answers, and the probability that the first is the better one; or with one answer, and the
probability that it keeps a principle, which is the same loss against an answer of score 0. The score is read at the
last token, the template's end included. Soft labels are targets as they are. There is no reference.

With `input: principle` the text of a principle stands in the system message, so that one model scores by each of them.

Source: Bradley and Terry 1952; Bai et al. 2022, arXiv:2204.05862, section 2.

Shapes: B rows of a pass, K completions of a row, 1 or 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cai_lite.chat.preference import CALIBRATION, Calibration, with_principle
from cai_lite.errors import InputError
from cai_lite.inputs.pairs import as_pairs
from cai_lite.records import PreferencePair, Rating, digest, digest_of_list
from cai_lite.training.alarms import unmoved, warn_of_length
from cai_lite.training.losses import Logps, bradley_terry
from cai_lite.training.methods.base import Measured, Method
from cai_lite.training.methods.dpo import NOT_WEIGHED, check_principles
from cai_lite.training.tokens import Example, NothingKept, Row, TokenReport, tokenize_examples

if TYPE_CHECKING:
    from torch import Tensor

    from cai_lite.chat.turns import Turns

_CARD = """---
library_name: peft
tags: [cai_lite, preference_model]
---
# A preference model

It gives an answer one number, higher for better ones, read at the last token: the stop token of the answer. The
difference of two answers to a prompt, divided by `temperature` in temperature.json, is the log-odds that the first is
the better one. With `"input": "principle"` there, the system message begins with "Rules:", a line break, "- " and the
text of a principle.

    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, trust_remote_code=False
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(model, folder).eval()

Render prompt and answer by the chat template, and leave out what it writes behind the stop token.
"""
VERDICTS = "verdicts"  # what `on` may name: all that the judges of a run said of its candidates
PRINCIPLE = "principle"


class PreferenceModelling(Method):
    """The training method "preference_model"; see `methods.Method` for its members."""

    unread = ("include_critique", "loss", "sft_weight", "reference", "rl")
    reads: Literal["logps", "score"] = "score"
    calibrates = True
    trains_student = False

    def given(
        self, data: Any, config: Any, log: Callable[[str], None], *, aside: Path | None = None
    ) -> Sequence[Rating]:
        """Return ratings of whatever people have: ratings, or pairs. Raises PairError, InputError."""
        if isinstance(data, (list, tuple)) and data and all(isinstance(row, Rating) for row in data):
            found = [row for row in data if bool(row.text) == (config.input == PRINCIPLE)]
            check_principles(found, config.principle_weights, log)
            return found
        if config.on is not None or config.input == PRINCIPLE:
            what = f"'on': '{config.on}'" if config.on is not None else "'input': 'principle'"
            raise InputError(
                f"{what} is for runs, whose constitution and judge are known; leave it out, or give a list of Rating"
            )
        pairs = as_pairs(data, aside)
        check_principles(pairs, config.principle_weights, log)
        return ratings_of(pairs)

    def rows(
        self, turns: Turns, data: Sequence[Rating], config: Any, *, max_tokens: int
    ) -> tuple[list[Row], TokenReport]:
        """Return the ratings as rows of one completion or two, with their weights."""
        factors = [config.principle_weights.get(row.principle, 1.0) for row in data]
        used = [(row, factor) for row, factor in zip(data, factors, strict=True) if factor]
        if not used:
            raise NothingKept({NOT_WEIGHED: len(data)}, len(data), "ratings", max_tokens, config.overlong)
        examples = [
            Example(
                with_principle(row.prompt, row.text) if row.text else row.prompt,
                row.completions,
                row.p,
                row.weight * factor,
                row.key,
            )
            for row, factor in used
        ]
        rows, report = tokenize_examples(
            turns, examples, max_tokens=max_tokens, overlong=config.overlong, unit="ratings"
        )
        if left_out := len(data) - len(used):
            report = replace(report, pairs=len(data), dropped={**report.dropped, NOT_WEIGHED: left_out})
        return rows, report

    def data_digest(self, data: Sequence[Rating]) -> str:
        """Return a digest of texts, labels and weights."""
        return digest_of_list(digest(r.prompt, r.completions, r.p, r.text, r.principle, r.weight) for r in data)

    def loss(
        self,
        policy: Logps,
        reference: Logps | None,
        rows: Sequence[Row],
        *,
        update: Sequence[Row],
        config: Any,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return each row's share of the mean Bradley-Terry loss; `policy` holds scores, see `losses.Logps`."""
        logits_B = _logits(policy)
        p_B = logits_B.new_tensor([row.p_chosen for row in rows])
        margins_B = logits_B.detach() * (2 * (p_B >= 0.5).to(logits_B) - 1)
        numbers = {
            "rewards/mean": policy.sums_BK.detach().sum(1) / (policy.lengths_BK > 0).sum(1),
            "rewards/accuracies": (margins_B > 0).double(),
            "rewards/margins": margins_B,
        }
        return bradley_terry(logits_B, p_B) / len(update), numbers

    def family(self, example: Rating) -> str:
        """Return the family of the prompt, or a digest of the prompt where none is named."""
        return example.family or digest(example.prompt)

    def closing(self, lines: Sequence[Mapping[str, float]], config: Any) -> str | None:
        """Return a warning if the loss has not fallen."""
        return unmoved(lines, config)

    def alarms(
        self, rows: Sequence[Row], config: Any, log: Callable[[str], None]
    ) -> Callable[[Mapping[str, float]], None]:
        """Warn of unequal lengths, which a preference model learns in place of the principles."""
        if all(len(row.completions) == 2 for row in rows):
            warn_of_length(rows, log, "preference model")
        return lambda line: None

    def beside(
        self, data: Sequence[Rating], measured: Measured | None, config: Any, log: Callable[[str], None]
    ) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """Return temperature.json, fitted on held-out ratings, and the figures of the calibration."""
        texts = {row.principle: row.text for row in data if row.text}
        found = Calibration(input=config.input, principles=dict(sorted(texts.items())))
        if measured is None:
            log("warning: nothing was held out, so the temperature is 1 and the scores are not calibrated")
        else:
            found = _calibrated(found, self, measured)
            error = found.figures.get("calibration_error")
            accuracy = found.figures.get("accuracy")
            log(
                f"calibrated on {found.n} held-out ratings: temperature {found.temperature:.3f}, bias {found.bias:.3f}"
                + (f", accuracy {accuracy['value']:.3f}" if accuracy else "")
                + (f", calibration error {error:.3f}" if error is not None else "")
            )
        return {CALIBRATION: found.as_text(), "README.md": _CARD}, {
            "calibration": {"temperature": found.temperature, **found.figures}
        }


def ratings_of(pairs: Sequence[PreferencePair]) -> list[Rating]:
    """Return a rating of two answers for each pair, the chosen one first."""
    return [
        Rating(
            prompt=pair.prompt,
            completions=(pair.chosen, pair.rejected),
            p=pair.p_chosen,
            principle=pair.principle,
            key=pair.key or digest(pair.prompt, pair.chosen, pair.rejected),
            family=pair.family,
            weight=pair.weight,
        )
        for pair in pairs
    ]


def _logits(scores: Logps) -> Tensor:
    """Return the log-odds that the first completion is good, or better than the second, shape [B]."""
    if scores.sums_BK.shape[1] == 1:
        return scores.sums_BK[:, 0]
    return scores.sums_BK[:, 0] - scores.sums_BK[:, 1]  # a missing one has score 0


def _calibrated(found: Calibration, method: PreferenceModelling, measured: Measured) -> Calibration:
    """Return the calibration with temperature, bias and figures of the held-out ratings.

    Ratings of single answers decide both, where there are any. Pairs decide the temperature alone; the bias is then
    halfway between the mean score of the first answers and that of the second ones.
    """
    from cai_lite.training.calibration import figures, fit_logistic, fit_temperature, smoothed

    families = {row.key: method.family(row) for row in measured.examples}
    logits, width = _logits(measured.values).tolist(), measured.values.sums_BK
    single = [i for i, row in enumerate(measured.rows) if len(row.completions) == 1]
    chosen = single or list(range(len(measured.rows)))
    scores = [logits[i] for i in chosen]
    labels = [measured.rows[i].p_chosen for i in chosen]
    named = [families.get(measured.rows[i].key, digest(measured.rows[i].prompt_ids)) for i in chosen]
    if single:
        temperature, bias = fit_logistic(scores, labels)
    else:
        temperature, bias = fit_temperature(scores, smoothed(labels)), float(width.mean())
    shown = figures(scores, labels, named, pairs=not single)
    return replace(found, temperature=temperature, bias=bias, n=len(chosen), figures=shown)
