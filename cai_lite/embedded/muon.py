"""Muon, an optimiser for weight matrices: momentum whose updates are orthogonalised.

Source: Keller Jordan et al. 2024, kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM = 0.95
# Coefficients of the quintic Newton-Schulz iteration, from the same source.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon:
    """The Muon optimiser, for matrices only. `lr` is the size of an update relative to an orthogonal matrix."""

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        self.matrices = list(matrices)
        self.lr = lr
        self.momenta = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Update all matrices with `share` (0 to 1) of the learning rate, as the schedule gives it."""
        for matrix, momentum in zip(self.matrices, self.momenta, strict=True):
            assert matrix.grad is not None
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.add_(update, alpha=-self.lr * share * scale)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return the matrix with all singular values close to 1, by `steps` Newton-Schulz iterations."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
