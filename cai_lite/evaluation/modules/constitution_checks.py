"""The share of replies that pass the machine checks of a constitution, per principle, as an `evaluate` module."""

import datasets
import evaluate

from cai_lite.inputs.constitution import load_constitution
from cai_lite.stats import wilson


class ConstitutionChecks(evaluate.Metric):
    """`compute(predictions=[text, ...], constitution="medical")` returns a rate per principle with checks.

    `principles`: only these ids; the caller decides which ones apply to the prompts of the replies. A rate counts the
    replies that the checks decide; `abstained` is the number of the others. An empty reply fails. A principle whose
    checks decide no reply is left out.
    """

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of replies that pass the regular expressions and length limits of a constitution.",
            citation="Bai et al. 2022, Constitutional AI, arXiv:2212.08073",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions, constitution, principles=None):
        found = {}
        for principle in load_constitution(constitution).principles:
            if principle.checks is not None and (principles is None or principle.id in principles):
                passed = [principle.checks.passed(text) if text.strip() else False for text in predictions]
                decided = [one for one in passed if one is not None]
                if decided:
                    rate = wilson(sum(decided), len(decided)).as_dict()
                    found[principle.id] = {**rate, "abstained": len(passed) - len(decided)}
        return found
