"""The files of a run directory: how they are written, moved aside and recorded in the manifest.

Every text file is written by `write_text` or `write_lines`, which replace the old file in one step, so that a kill
leaves either the old content or the new. All of them raise `DiskError` if the disk is full, read-only or gone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.records import digest
from cai_lite.run.disk import writing

PACKAGES = ("cai-lite", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")
MANIFEST = "manifest.json"
PHASES = "phases"  # the folder of the trainings of a run, where there are several
ROUNDS = "rounds"  # the folder of the rounds of a run, where there are several
ROUNDS_FILE = "rounds.json"  # what the rounds came to
CONSTITUTION = "constitution.yaml"  # the file that the run was made with, as it was then
RECORDED = (
    "recipe.yaml",
    CONSTITUTION,
    "pairs.jsonl",
    "corrective.jsonl",
    "revisions.jsonl",
    "prompted.jsonl",
    "dataset_card.md",
    "evaluation.json",
    "answers.jsonl",
    "report.html",
    "metrics.jsonl",
    "training.json",
    ROUNDS_FILE,
)
OF_A_ROUND = ("pairs.jsonl", "revisions.jsonl", "evaluation.json", "answers.jsonl")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: the old content stays until the new one is complete."""
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file from its lines, each with its line end, in one step and with one line in memory."""
    with writing(path):
        _partial(path, lines).replace(path)


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file, whose folder is made if needed."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")


def write_aside(path: Path, text: str | Iterable[str]) -> Path | None:
    """Write a text file; an existing file with other content is first renamed to `name.1.suffix`, `name.2.suffix`, ....

    `text`: the whole text, or its lines, each with its line end. Returns the new name of the old file, or None if
    nothing was renamed.
    """
    with writing(path):
        partial = _partial(path, (text,) if isinstance(text, str) else text)
        moved = None
        if path.exists():
            if sha256(partial) == sha256(path):
                partial.unlink()
                return None
            moved = free_name(path)
            path.replace(moved)
        partial.replace(path)
        return moved


def _partial(path: Path, lines: Iterable[str]) -> Path:
    """Write `path.partial`, synced so that no crash of the machine can leave it empty; without it after an error."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return partial


def share(path: Path) -> None:
    """Let a file, or each file of a folder, be read by whoever may read its folder, as the umask gave that its rights.

    For files of libraries that write to a temporary file first, which nobody else may read.
    """
    for file in (path, *path.rglob("*")):
        if file.is_file():
            file.chmod(file.parent.stat().st_mode & 0o666)


def move_aside(folder: Path, names: Sequence[str], into: str) -> Path:
    """Move the named files and folders of `folder` into the first free of `into.1`, `into.2`, ...; return which."""
    with writing(folder):
        aside = free_name(folder / into)
        aside.mkdir()
        for name in names:
            if (folder / name).exists():
                (folder / name).rename(aside / name)
    return aside


def move_folders_aside(folders: Sequence[Path]) -> Path:
    """Move folders of one parent into the first free of `PARENT.1`, `PARENT.2`, ... beside it; return which."""
    aside = free_name(folders[0].parent)
    aside.mkdir()
    for folder in folders:
        folder.rename(aside / folder.name)
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


def write_manifest(directory: Path, *written: str) -> list[str]:
    """Write manifest.json, the SHA-256 of every result file, and of its own entries under its own name.

    `written`: the files that the caller wrote or compared with what it would write; "reference/" stands for all files
    of that folder. Any other file that no longer fits its entry keeps the old entry, so that it is not certified.

    Returns:
        a sentence for each such file.
    """
    path, found = directory / MANIFEST, file_digests(directory)
    recorded, wrong = read_manifest(directory) if path.is_file() else (None, [])
    if recorded is None:
        entries = {name: sha for name, sha in found.items() if not wrong or name.startswith(written)}
    else:
        mine = {name for name in (*recorded, *found) if name.startswith(written)}
        wrong += list(differences(recorded, found, mine))
        entries = {name: sha for name, sha in recorded.items() if name not in mine}
        # Files that earlier versions did not record are added; one more file in adapter/ is somebody else's.
        entries |= {n: sha for n, sha in found.items() if n in mine or (n not in recorded and not _in_adapter(n))}
    write_text(path, json.dumps({**entries, MANIFEST: _own_digest(entries)}, indent=1) + "\n")
    return wrong


def read_manifest(directory: Path) -> tuple[dict[str, str] | None, list[str]]:
    """Return the entries of manifest.json, without its own, and what is wrong with it; None if it cannot be read."""
    try:
        entries: dict[str, str] = dict(json.loads((directory / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None, [f"{MANIFEST} cannot be read"]
    own = entries.pop(MANIFEST, None)  # manifests of earlier versions have none
    return entries, [] if own in (None, _own_digest(entries)) else [f"{MANIFEST} was changed after the run wrote it"]


def differences(
    recorded: Mapping[str, str], found: Mapping[str, str], leave_out: Collection[str] = ()
) -> Iterator[str]:
    """Yield a sentence for each file that was changed or removed since, and for each file added to adapter/."""
    for name, sha in recorded.items():
        if name not in leave_out and found.get(name) != sha:
            yield f"{name} was changed after the run wrote it" if name in found else f"{name} is missing"
    for name in found:
        if name not in recorded and name not in leave_out and _in_adapter(name):
            yield f"{name} was not written by the run"


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each result file of a run directory, by relative path."""
    paths = [directory / name for name in RECORDED]
    for folder in round_folders(directory):
        paths += [folder / name for name in OF_A_ROUND]
    for folder in training_folders(directory):
        paths += [folder / name for name in ("metrics.jsonl", "training.json") if folder != directory]
        paths += sorted([*(folder / "adapter").rglob("*"), *(folder / "reference").glob("*.safetensors")])
    return {path.relative_to(directory).as_posix(): sha256(path) for path in paths if path.is_file()}


def phase_folders(directory: Path) -> list[Path]:
    """Return the folders of a run's phases in their order, phases/0-METHOD and so on; none where there is one alone."""
    found = [path for path in (directory / PHASES).glob("*-*") if path.is_dir() and path.name.split("-")[0].isdigit()]
    return sorted(found, key=lambda path: int(path.name.split("-")[0]))


def round_folders(directory: Path) -> list[Path]:
    """Return the folders of a run's rounds in their order, rounds/1 and so on; none where there is one alone."""
    found = [path for path in (directory / ROUNDS).glob("*") if path.is_dir() and path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def training_folders(directory: Path) -> list[Path]:
    """Return every folder of a run in which a training may stand: its own, those of phases and of rounds."""
    return [folder for top in (directory, *round_folders(directory)) for folder in (top, *phase_folders(top))]


def methods_of(directory: Path) -> list[str]:
    """Return the training methods that made the adapter of a run, in order: of its phases, or of its one training.

    Rounds repeat the methods of the first, which are returned once.
    """
    if rounds := round_folders(directory):
        return methods_of(rounds[0])
    phases = phase_folders(directory)
    if phases:
        return [path.name.partition("-")[2] for path in phases]
    try:
        return [str(json.loads((directory / "training.json").read_text(encoding="utf-8")).get("method", "dpo"))]
    except (OSError, ValueError, AttributeError):
        return ["dpo"]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_record(path: Path, fields: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Return the object in a JSON file that this library wrote. `fields`: those it must have, with their types.

    Raises:
        InputError: the file is damaged.
    """
    return _record(path, None, path.read_bytes(), fields or {})


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the objects in the lines of a file that this library wrote, such as metrics.jsonl.

    Raises:
        InputError: a line is damaged.
    """
    return [_record(path, number, line, {}) for number, line in enumerate(path.read_bytes().splitlines(), 1)]


def _record(path: Path, line: int | None, content: bytes, fields: Mapping[str, type]) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in fields.items()):
        raise InputError.at(path, line, "damaged since it was written; put back a copy, or delete it to do without it")
    return found


def unfit(directory: Path, digests: Mapping[str, str]) -> list[str]:
    """Return the names of the files that are missing or do not fit their SHA-256."""
    return [
        name for name, sha in digests.items() if not (directory / name).is_file() or sha256(directory / name) != sha
    ]


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with a digest of itself, for a JSON file that must notice its own damage."""
    return {**record, "digest": digest("sealed", record)}


def is_sealed(record: Mapping[str, Any]) -> bool:
    """Return whether a record that was read fits its own digest; True without one, as earlier versions wrote it."""
    return "digest" not in record or sealed({k: v for k, v in record.items() if k != "digest"}) == dict(record)


def trained(directory: Path, *, anew: bool) -> list[str]:
    """Return the files that training.json vouches for: those that fit their digests in it, and itself.

    `anew`: the training was not found finished, so that it wrote or compared reference/ too, and took the old model
    card away with the old adapter.
    """
    try:
        record = json.loads((directory / "training.json").read_text(encoding="utf-8"))
        digests = dict(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not is_sealed(record):
        return []
    more = ["reference/", "adapter/README.md"] if anew else []
    return ["training.json", *(digests.keys() - set(unfit(directory, digests))), *more]


def _in_adapter(name: str) -> bool:
    return name.startswith("adapter/") or "/adapter/" in name


def _own_digest(entries: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(entries.items())).encode()).hexdigest()
