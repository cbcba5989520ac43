"""The win rate, plain and at equal length, as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.evaluation.winrate import equal_length
from cai_lite.stats import mean_figure


class WinRate(evaluate.Metric):
    """`compute(predictions=[text, ...], references=[text, ...], wins=[0 to 1, ...])`: wins of the predictions, by any
    judge; both rates with n and a 95 % interval.
    """

    def _info(self):
        return evaluate.MetricInfo(
            description="How often a reply is preferred to the reference, and the same at equal length.",
            citation="Dubois et al. 2024, Length-Controlled AlpacaEval, arXiv:2404.04475",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, wins):
        longer = [len(a.split()) - len(b.split()) for a, b in zip(predictions, references, strict=True)]
        alone = [""] * len(wins)
        return {
            "win_rate": mean_figure(wins, alone).as_dict(),
            "win_rate_equal_length": equal_length(wins, longer, alone).as_dict(),
        }
