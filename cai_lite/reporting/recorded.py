"""What recipe.yaml of a run records: its settings, the comments on top of it, and the constitution it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.inputs.yamlfile import read_document

RECIPE = "recipe.yaml"
_COMMENTS = 50  # lines on top of the file that may be comments


def settings(folder: Path) -> Mapping[str, Any]:
    """Return the settings of recipe.yaml; {} where there is none, or where it is not one of ours."""
    path = folder / RECIPE
    if not path.is_file():
        return {}
    try:
        found = read_document(path, InputError).data
    except InputError:  # the page shows the file as it is
        return {}
    return found if isinstance(found, dict) else {}


def comments(folder: Path) -> list[str]:
    """Return the comments on top of recipe.yaml: versions of packages, digests of constitution and models."""
    path = folder / RECIPE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[:_COMMENTS] if path.is_file() else []
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def versions(folder: Path) -> str:
    """Return the versions of Python and of the packages; "" if they are not recorded."""
    return next((line for line in comments(folder) if line.startswith("Python ")), "")


def constitution_line(folder: Path) -> tuple[str, str]:
    """Return the name and version of the constitution, and its digest; "" and "" if they are not recorded."""
    line = next((line for line in comments(folder) if line.startswith("constitution ")), "")
    name, _, digest = line.removeprefix("constitution ").rpartition(": ")
    return name, digest


def constitution(folder: Path) -> Constitution | None:
    """Return the constitution of a run, or None if its file is gone or has other content by now."""
    name, (_, digest) = settings(folder).get("constitution"), constitution_line(folder)
    if not isinstance(name, str) or not digest:
        return None
    try:
        found = load_constitution(name)
    except InputError:
        return None
    return found if found.digest == digest else None
