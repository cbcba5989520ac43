"""The files of a run directory: how they are written, moved aside and recorded in the manifest.

Every text file is written by `write_text` or `write_lines`, which replace the old file in one step, so that a kill
leaves either the old content or the new.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PACKAGES = ("cai-lite", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")
MANIFEST = "manifest.json"
RECORDED = ("recipe.yaml", "pairs.jsonl", "dataset_card.md", "evaluation.json", "report.html", "metrics.jsonl")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: the old content stays until the new one is complete."""
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file from its lines, each with its line end, in one step and with one line in memory."""
    _partial(path, lines).replace(path)


def write_aside(path: Path, text: str | Iterable[str]) -> Path | None:
    """Write a text file; an existing file with other content is first renamed to `name.1.suffix`, `name.2.suffix`, ....

    `text`: the whole text, or its lines, each with its line end. Returns the new name of the old file, or None if
    nothing was renamed.
    """
    partial = _partial(path, (text,) if isinstance(text, str) else text)
    moved = None
    if path.exists():
        if _sha256(partial) == _sha256(path):
            partial.unlink()
            return None
        moved = free_name(path)
        path.replace(moved)
    partial.replace(path)
    return moved


def _partial(path: Path, lines: Iterable[str]) -> Path:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
    return partial


def move_aside(folder: Path, names: Sequence[str], into: str) -> Path:
    """Move the named files and folders of `folder` into the first free of `into.1`, `into.2`, ...; return which."""
    aside = free_name(folder / into)
    aside.mkdir()
    for name in names:
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return aside


def free_name(path: Path) -> Path:
    """Return the first of `stem.1.suffix`, `stem.2.suffix`, ... beside `path` that does not exist."""
    number = 1
    while (free := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return free


def recipe_text(resolved: str, digests: Mapping[str, str]) -> str:
    """Return recipe.yaml: the resolved recipe under a comment header of package versions and model digests."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    header = [
        f"# Python {platform.python_version()}, {versions}",
        *(f"# {what}: {digest}" for what, digest in digests.items()),
    ]
    return "\n".join(header) + "\n" + resolved


def version(package: str) -> str:
    """Return the installed version of a package, or "absent"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def write_manifest(directory: Path, *only: str) -> None:
    """Write manifest.json, the SHA-256 of every result file; with `only`, refresh the entries of these files."""
    path, found = directory / MANIFEST, file_digests(directory)
    if only and path.is_file():
        recorded = json.loads(path.read_text(encoding="utf-8"))
        found = {**recorded, **{name: found[name] for name in only if name in found}}
    write_text(path, json.dumps(found, indent=1) + "\n")


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each result file of a run directory, by relative path."""
    return dict(_digests(directory))


def _digests(directory: Path) -> Iterator[tuple[str, str]]:
    adapter = sorted(p for p in (directory / "adapter").glob("*") if p.is_file())
    for path in [*(directory / name for name in RECORDED), *adapter]:
        if path.is_file():
            yield path.relative_to(directory).as_posix(), _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
