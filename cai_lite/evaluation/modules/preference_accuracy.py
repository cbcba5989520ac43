"""Preference accuracy of a reward model or an adapted policy, as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.evaluation.preference import preference_accuracy


class PreferenceAccuracy(evaluate.Metric):
    """`compute(predictions=[reward of chosen minus reward of rejected, ...])`; ties count one half."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of pairs whose chosen side has the greater reward.",
            citation="Rafailov et al. 2023, DPO, arXiv:2305.18290",
            features=datasets.Features({"predictions": datasets.Value("float64")}),
        )

    def _compute(self, predictions):
        return preference_accuracy(predictions, [""] * len(predictions)).as_dict()
