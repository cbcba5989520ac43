"""The share of replies that refuse, as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.evaluation.reply_kinds import refuses
from cai_lite.stats import wilson


class RefusalRate(evaluate.Metric):
    """`compute(predictions=[text, ...])` returns the rate, n and Wilson's 95 % interval."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of replies that refuse to help, by rules of English.",
            citation="Roettger et al. 2024, XSTest, arXiv:2308.01263",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions):
        return wilson(sum(map(refuses, predictions)), len(predictions)).as_dict()
