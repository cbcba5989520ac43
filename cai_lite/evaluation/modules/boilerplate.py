"""Boilerplate, the share of replies that occur more than once, as an `evaluate` module."""

from collections import Counter

import datasets
import evaluate

from cai_lite.stats import wilson


class Boilerplate(evaluate.Metric):
    """`compute(predictions=[text, ...])` with one reply per prompt returns the rate, n and Wilson's 95 % interval."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of replies that were also given to another prompt.",
            citation="cai_lite",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions):
        times = Counter(predictions)
        return wilson(sum(times[text] > 1 for text in predictions), len(predictions)).as_dict()
