"""Muon: momentum whose matrix updates are made orthogonal.

Source: Keller Jordan et al. 2024, kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM = 0.95
# Coefficients of the quintic iteration, from the same source: fast, and near enough to orthogonal.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon:
    """For matrices only. `lr` is the size of an update, relative to an orthogonal matrix."""

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        self.matrices = list(matrices)
        self.lr = lr
        self.momenta = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One update with `share` of the learning rate (the schedule's, 0 to 1)."""
        for matrix, momentum in zip(self.matrices, self.momenta, strict=True):
            assert matrix.grad is not None
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.add_(update, alpha=-self.lr * share * scale)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with all its singular values drawn near 1, by Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x.T if tall else x
