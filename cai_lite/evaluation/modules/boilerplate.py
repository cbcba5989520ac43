"""Share of replies that are given word for word more than once, as an `evaluate` module."""

from collections import Counter

import datasets
import evaluate

from cai_lite.stats import wilson


class Boilerplate(evaluate.Metric):
    """`compute(predictions=[text, ...])`, one reply a prompt, gives the rate with n and Wilson's 95 % interval."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Replies that another prompt got, too.",
            citation="cai_lite",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions):
        times = Counter(predictions)
        return wilson(sum(times[text] > 1 for text in predictions), len(predictions)).as_dict()
