"""What a run writes beside its database: the resolved recipe, and files that are never overwritten by other content."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

from cai_lite.recipe import Recipe

PACKAGES = ("cai-lite", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")


def described(recipe: Recipe, digests: Mapping[str, str]) -> str:
    """recipe.yaml: the recipe with every default, under a header of versions and digests.

    `load_recipe` reads it back.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    header = [
        f"# Python {platform.python_version()}, {versions}",
        *(f"# {what}: {digest}" for what, digest in digests.items()),
    ]
    return "\n".join(header) + "\n" + recipe.resolved()


def version(package: str) -> str:
    """The installed version of a package, or "absent"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def write_aside(path: Path, text: str) -> Path | None:
    """Write a file. One that holds something else moves aside first, to `name.1.suffix` and on; returns where it
    went.
    """
    moved = None
    if path.exists():
        if path.read_text(encoding="utf-8") == text:
            return None
        number = 1
        while path.with_name(f"{path.stem}.{number}{path.suffix}").exists():
            number += 1
        moved = path.with_name(f"{path.stem}.{number}{path.suffix}")
        path.replace(moved)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return moved
