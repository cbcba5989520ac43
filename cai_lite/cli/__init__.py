# ruff: noqa: I001  (the order of these imports is the order of the commands in the help)
"""The `cai-lite` command. Each command reads its options, calls one public function and prints the result."""

from __future__ import annotations

from cai_lite.cli.shared import app
from cai_lite.cli import walking
from cai_lite.cli import measuring
from cai_lite.cli import after
from cai_lite.cli import exporting
from cai_lite.cli import writing
from cai_lite.cli import asking

__all__ = ["after", "app", "asking", "exporting", "measuring", "walking", "writing"]
