"""The student's half: tokens, batch, logprobs, losses, reference, student, loop, checkpoint.

`train` is loaded on first use, so that a recipe can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cai_lite.training.loop import TrainingResult, train

__all__ = ["TrainingResult", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'cai_lite.training' has no attribute '{name}'")
    from cai_lite.training import loop

    return getattr(loop, name)
