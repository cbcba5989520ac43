"""Win rate: how often the answer after training is preferred to the answer before, as it is and at equal length.

Judges like length. The win rate at equal length is read from a logistic model of the preference over the difference in
words, where that is zero (Dubois et al. 2024, "Length-Controlled AlpacaEval").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cai_lite.evaluation.subject import Subject
from cai_lite.records import Candidate, Verdict
from cai_lite.stats import Figure, interval, mean_figure, resampled_weights

_STEPS = 30


def measure_win_rate(subject: Subject) -> dict[str, Figure]:
    """Measure both win rates; nothing for a single model, or without a judge."""
    if not subject.compared or not subject.judges:
        return {}
    return win_rate_over(subject, "before")


def win_rate_over(subject: Subject, side: str) -> dict[str, Figure]:
    """Measure both win rates of the answers after training against those of `side`."""
    first, after = subject.paired_answers(side)
    equal = [b for a, b in zip(first, after, strict=True) if a.text == b.text]
    return win_rate(subject.verdicts(subject.judging.mode, side), equal=equal, seed=subject.seed)


def win_rate(verdicts: Sequence[Verdict], *, equal: Sequence[Candidate] = (), seed: int = 0) -> dict[str, Figure]:
    """Return `win_rate` and `win_rate_equal_length`, from 0 to 1 over prompts; 0.5 means no difference.

    `verdicts`: of the answer before (`first`) against the answer after (`second`). Verdicts of one prompt under several
    principles are averaged by weight. `equal`: answers that both models gave word for word, which nobody judges: half a
    win each. Empty where no verdict could be read.
    """
    of_prompt: dict[str, list[tuple[float, float, float]]] = {}
    families: dict[str, str] = {}
    for v in verdicts:
        if v.p_first is None:
            continue
        key = v.first.prompt.key
        longer = len(v.second.text.split()) - len(v.first.text.split())
        of_prompt.setdefault(key, []).append((1 - v.p_first, longer, v.weight))
        families[key] = v.first.prompt.family
    for answer in equal:
        of_prompt.setdefault(answer.prompt.key, []).append((0.5, 0, 1.0))
        families[answer.prompt.key] = answer.prompt.family
    if not of_prompt:
        return {}
    wins, longer_by = (
        [sum(row[what] * row[2] for row in rows) / sum(w for *_, w in rows) for rows in of_prompt.values()]
        for what in (0, 1)
    )
    of_family = [families[key] for key in of_prompt]
    return {
        "win_rate": mean_figure(wins, of_family, seed=seed),
        "win_rate_equal_length": equal_length(wins, longer_by, of_family, seed=seed),
    }


def equal_length(wins: Sequence[float], longer: Sequence[float], families: Sequence[str], *, seed: int = 0) -> Figure:
    """Return P(win) at no difference in words, by logistic regression. `longer`: words after less words before."""
    y_N, x_N = np.asarray(wins, float), np.asarray(longer, float)
    spread = x_N.std()
    if spread == 0 or np.ptp(y_N) == 0:  # a difference, or a result, that is the same everywhere separates no effect
        return mean_figure(wins, families, seed=seed)
    x_N = np.tanh(x_N / spread)
    weights_RN = resampled_weights(families, seed)
    fitted_R = _at_zero(y_N, x_N, np.vstack([np.ones(len(y_N)), weights_RN]))
    low, high = interval(fitted_R[1:])
    return Figure(float(fitted_R[0]), len(y_N), low, high)


def _at_zero(
    y_N: NDArray[np.float64], x_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fitted probability at x = 0 for each row of weights, by Newton's method on the logistic likelihood.

    A ridge of 1e-4 per observation keeps the fit finite where length separates the outcomes.
    """
    beta_R2 = np.zeros((len(weights_RN), 2))
    design_N2 = np.column_stack([np.ones(len(x_N)), x_N])
    ridge = 1e-4 * len(y_N) * np.eye(2)
    for _ in range(_STEPS):
        p_RN = 1 / (1 + np.exp(-np.clip(beta_R2 @ design_N2.T, -30, 30)))
        slope_R2 = (weights_RN * (y_N - p_RN)) @ design_N2 - beta_R2 @ ridge
        curve_R22 = np.einsum("rn,ni,nj->rij", weights_RN * p_RN * (1 - p_RN), design_N2, design_N2) + ridge
        beta_R2 = beta_R2 + np.linalg.solve(curve_R22, slope_R2[..., None])[..., 0]
    return np.asarray(1 / (1 + np.exp(-beta_R2[:, 0])))
