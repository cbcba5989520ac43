"""Krippendorff's alpha of two judges as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.stats import alpha_figure


class JudgeAgreement(evaluate.Metric):
    """`compute(predictions=[verdict, ...], references=[verdict, ...])`: an empty verdict is left out."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Agreement of two judges beyond chance: 1 where they always agree, 0 as by chance.",
            citation="Krippendorff 2011, Computing Krippendorff's Alpha-Reliability",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        units = [[said for said in pair if said] for pair in zip(predictions, references, strict=True)]
        return alpha_figure(units, [""] * len(units)).as_dict()
