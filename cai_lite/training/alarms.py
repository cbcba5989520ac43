"""What is said aloud while a training runs: signs of a collapse that looks like success."""

from __future__ import annotations

from collections.abc import Callable, Mapping

FALL = 0.5  # share of its log-probability that the chosen side may lose against the reference
MARGIN = 20.0  # mean reward margin: the loss has long been flat, and the weights still run


class Alarms:
    """Looks at the lines of metrics.jsonl; says each thing once."""

    def __init__(self, beta: float, log: Callable[[str], None]) -> None:
        self._beta, self._log = beta, log
        self._said: set[str] = set()

    def look(self, line: Mapping[str, float]) -> None:
        """`line`: one update's numbers."""
        moved = line["rewards/chosen"] / self._beta
        before = line["logps/chosen"] - moved
        if moved < -FALL * abs(before):
            self._say(
                "fall",
                f"step {line['step']}: warning: the log-probability of the chosen answers fell from {before:.1f} to "
                f"{line['logps/chosen']:.1f}; the student may be losing its language: lower train.learning_rate, or "
                "raise train.sft_weight or train.loss.beta",
            )
        if line["rewards/margins"] > MARGIN:
            self._say(
                "margin",
                f"step {line['step']}: warning: the reward margin is {line['rewards/margins']:.1f}, far beyond what "
                "separates the pairs: train fewer steps, or lower train.learning_rate",
            )

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log(text)
