"""How often the trained student's answer is preferred to the base model's, as it is and at equal length.

Judges like length. The second figure is what is left when it tells nothing: a logistic model of the preference over
the difference in words, read off where that is zero (Dubois et al. 2024, "Length-Controlled AlpacaEval").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cai_lite.records import Candidate, Verdict
from cai_lite.stats import Figure, interval, mean_figure, resampled_weights

_STEPS = 30


def win_rate(
    verdicts: Sequence[Verdict], before: str, *, equal: Sequence[Candidate] = (), seed: int = 0
) -> dict[str, dict[str, float]]:
    """`win_rate` and `win_rate_equal_length`, figures from 0 to 1 over prompts; one half is no difference.

    `verdicts`: of answers of two authors to the same prompts; `before` names the base model. Verdicts of one prompt
    under several principles are weighed together. `equal`: answers that both gave word for word, which nobody needs to
    judge: half a win each. Empty where nothing could be read.
    """
    of_prompt: dict[str, list[tuple[float, float, float]]] = {}
    families: dict[str, str] = {}
    for v in verdicts:
        if v.p_first is None or before not in (v.first.author, v.second.author) or v.first.author == v.second.author:
            continue
        base, trained = (v.first, v.second) if v.first.author == before else (v.second, v.first)
        p = v.p_first if trained is v.first else 1 - v.p_first
        key = v.first.prompt.key
        longer = len(trained.text.split()) - len(base.text.split())
        of_prompt.setdefault(key, []).append((p, longer, v.weight))
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
    found = {"win_rate": mean_figure(wins, of_family, seed=seed).as_dict()}
    controlled = equal_length(wins, longer_by, of_family, seed=seed)
    return {**found, "win_rate_equal_length": controlled.as_dict()}


def equal_length(wins: Sequence[float], longer: Sequence[float], families: Sequence[str], *, seed: int = 0) -> Figure:
    """P(win) at no difference in words, by logistic regression; `longer`: words that the winner's side has more."""
    y_N, x_N = np.asarray(wins, float), np.asarray(longer, float)
    spread = x_N.std()
    if spread == 0:  # all differ alike: length can tell nothing apart from the rest
        return mean_figure(wins, families, seed=seed)
    x_N = np.tanh(x_N / spread)
    weights_RN = resampled_weights(families, seed)
    fitted_R = _at_zero(y_N, x_N, np.vstack([np.ones(len(y_N)), weights_RN]))
    low, high = interval(fitted_R[1:])
    return Figure(float(fitted_R[0]), len(y_N), low, high)


def _at_zero(
    y_N: NDArray[np.float64], x_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The fitted probability at x = 0 for each row of weights: Newton's method on the logistic likelihood.

    A ridge of one ten-thousandth of the data keeps a sample that is separated by length from running away.
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
