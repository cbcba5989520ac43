"""How often a reward model or an adapted policy orders pairs rightly, as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.evaluation.preference import preference_accuracy


class PreferenceAccuracy(evaluate.Metric):
    """`compute(predictions=[reward of chosen less reward of rejected, ...])`; a tie counts one half."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of pairs whose chosen side has the greater reward.",
            citation="Rafailov et al. 2023, DPO, arXiv:2305.18290",
            features=datasets.Features({"predictions": datasets.Value("float64")}),
        )

    def _compute(self, predictions):
        return preference_accuracy(predictions, [""] * len(predictions)).as_dict()
