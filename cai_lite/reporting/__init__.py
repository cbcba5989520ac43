"""A run, to be looked at: one self-contained page, and the model card, both from the same numbers."""

from __future__ import annotations

from cai_lite.reporting.page import report

__all__ = ["report"]
