# ruff: noqa: I001  (the commands stand in the help in the order in which they are imported here)
"""The `cai-lite` command. Each command is thin: it reads its options, calls one public function, prints the result."""

from __future__ import annotations

from cai_lite.cli.shared import app
from cai_lite.cli import walking
from cai_lite.cli import measuring
from cai_lite.cli import writing
from cai_lite.cli import asking

__all__ = ["app", "asking", "main", "measuring", "walking", "writing"]


def main() -> None:
    """The entry point of the `cai-lite` script."""
    app()
