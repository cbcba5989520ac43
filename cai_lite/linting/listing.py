"""Lint several files, and print the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from cai_lite.inputs.constitution import read_constitution
from cai_lite.inputs.prompts import all_prompts
from cai_lite.inputs.yamlfile import packaged_files
from cai_lite.linting import lint
from cai_lite.run.progress import Terminal

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def lint_files(names: Sequence[str], prompts: Path | None = None) -> list[dict[str, Any]]:
    """Return the findings of several constitutions, each with its `file`.

    Raises:
        InputError: a file cannot be read or is invalid.
    """
    rows = all_prompts(prompts) if prompts is not None else []
    found = []
    for name in names:
        constitution = read_constitution(name, slow_patterns=True)
        found += [{"file": constitution.path, **asdict(finding)} for finding in lint(constitution, prompts=rows)]
    return found


def show_findings(found: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print each finding with its remedy, then the number of findings per level."""
    console = console or Terminal()
    for f in found:
        place = f"{_short(f['file'])}:{f['line']}"
        head = Text.assemble((f["level"], _COLOURS[f["level"]]), f" {f['rule']} ", (f["principle"], "bold"))
        console.print(Text(f"{place}: ") + head + Text(f": {f['message']}"), soft_wrap=True)
        console.print(Text(f"    {f['mend']}", style="dim"), soft_wrap=True)
    levels = [f["level"] for f in found]
    counts = [f"{n} {level}{'' if n == 1 else 's'}" for level in _COLOURS for n in [levels.count(level)]]
    console.print(", ".join(counts) if found else "no findings")


def _short(file: str) -> str:
    """Return the name of a packaged file, or the shorter of the given and the relative path."""
    path = Path(file)
    if path in packaged_files("constitutions").values():
        return path.name
    with suppress(ValueError):
        return min(file, str(path.relative_to(Path.cwd())), key=len)
    return file
