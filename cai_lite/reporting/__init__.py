"""Report a run: one self-contained page, the model card and the data set card, from the same figures."""

from __future__ import annotations

from cai_lite.reporting.page import report

__all__ = ["report"]
