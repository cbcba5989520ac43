"""Save and load checkpoints for exact resume: adapter, optimizer, counters and random state; and the best weights.

They hold tensors and JSON, no pickle. The newest two are kept: a damaged one is noticed when it is read, and training
goes on from the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cai_lite.errors import TrainingError
from cai_lite.run.files import is_sealed, sealed, share

KEPT = 2  # number of checkpoints: the newest, and the one before in case of damage
FILES = {"adapter.safetensors", "state.safetensors"}  # of a checkpoint, beside state.json


def save(
    folder: Path,
    step: int,
    parameters: dict[str, Any],
    optimizer: Any,
    *,
    best: dict[str, Any] | None = None,
    skipped: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
) -> None:
    """Write `folder/step-N`, then delete all but it and the one before.

    It is written aside, synced and renamed first, so that there is always one complete checkpoint. `best`: the record
    of the best weights, with their `step`. `skipped`: the record of skipped updates. `source`: that of the source of
    rows.
    """
    from safetensors.torch import save_file

    partial = folder / f".step-{step}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    names = {id(p): name for name, p in parameters.items()}
    moments, scalars = {}, {}
    for parameter, held in optimizer.state.items():
        for what, value in held.items():
            name = f"{names[id(parameter)]}|{what}"
            if isinstance(value, torch.Tensor):
                moments[name] = value.detach().cpu().clone()  # 8-bit moments share their map, which no file may
            else:
                scalars[name] = value
    save_file({name: p.detach().cpu().contiguous() for name, p in parameters.items()}, partial / "adapter.safetensors")
    random_state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random_state["cuda"] = torch.cuda.get_rng_state()
    save_file(
        {
            **{f"optimizer|{name}": t for name, t in moments.items()},
            **{f"random|{n}": t for n, t in random_state.items()},
        },
        partial / "state.safetensors",
    )
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(partial.iterdir())}
    record = {"step": step, "optimizer": scalars, "best": best, "sha256": digests}
    if skipped is not None:
        record["skipped"] = skipped
    if source is not None:
        record["source"] = source
    (partial / "state.json").write_text(json.dumps(sealed(record)))
    share(partial)
    for file in partial.iterdir():
        _sync(file)
    final = folder / f"step-{step}"
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(folder)
    kept, older = _newest_first(folder)[:KEPT], _newest_first(folder)[KEPT:]
    for old in older:
        shutil.rmtree(old)
    wanted = {name for name in map(_best_of, kept) if name is not None}
    for other in folder.glob("best-*.safetensors"):
        if other.name not in wanted:
            other.unlink()


def save_best(folder: Path, step: int, parameters: dict[str, Any]) -> str:
    """Write the weights as the best ones so far, and return the SHA-256 of the file.

    Those that a checkpoint names stay beside them, since a resumed training needs them.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{_best_name(step)}.partial"
    save_file({name: p.detach().cpu().contiguous() for name, p in parameters.items()}, partial)
    share(partial)
    _sync(partial)
    partial.replace(folder / _best_name(step))
    return hashlib.sha256((folder / _best_name(step)).read_bytes()).hexdigest()


def load_best(folder: Path, step: int, sha256: str, parameters: dict[str, Any]) -> None:
    """Load the best weights into the parameters.

    Raises:
        TrainingError: the file is missing, or has changed since it was written.
    """
    from safetensors.torch import load_file

    file = folder / _best_name(step)
    if damage := _damage(file, sha256):
        raise TrainingError(f"{file} {damage}; run the same command again to go on from the last whole checkpoint")
    weights = load_file(file)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def load(
    folder: Path, parameters: dict[str, Any], optimizer: Any, log: Callable[[str], None] = lambda _: None
) -> dict[str, Any] | None:
    """Load the newest whole checkpoint into parameters, optimizer and random state; return its counters.

    A checkpoint of which a file is missing or damaged is said to `log`, and the one before is taken. Where none is
    whole, None is returned and training starts anew: that costs time alone, since the result is the same to the byte,
    while an error would leave a run that nobody watches without one.
    """
    from safetensors.torch import load_file

    found = _newest_first(folder)
    for place, checkpoint in enumerate(found):
        state, damage = _whole(checkpoint)
        if state is not None:
            break
        before = f"the checkpoint before, {found[place + 1].name}, is taken" if place + 1 < len(found) else ""
        log(f"warning: {damage}; {before or 'no other checkpoint is left, so the training starts anew'}")
    else:
        return None
    weights, tensors = load_file(checkpoint / "adapter.safetensors"), load_file(checkpoint / "state.safetensors")
    held: dict[str, dict[str, Any]] = {}
    for name, value in [
        *((n.removeprefix("optimizer|"), t) for n, t in tensors.items() if n.startswith("optimizer|")),
        *state["optimizer"].items(),
    ]:
        parameter, what = name.rsplit("|", 1)
        held.setdefault(parameter, {})[what] = value
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
            if name in held:
                device = parameter.device
                optimizer.state[parameter] = {
                    w: v.to(device) if isinstance(v, torch.Tensor) and w != "step" else v for w, v in held[name].items()
                }
    torch.set_rng_state(tensors["random|cpu"])
    if "random|cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random|cuda"])
    return state


def _whole(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Return state.json of a checkpoint, or None and what is damaged, after comparing all files with their digests."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        digests = {folder / name: sha256 for name, sha256 in state["sha256"].items()}
        if not is_sealed(state) or {file.name for file in digests} != FILES:
            raise ValueError
        if state.get("best") and state["best"]["sha256"]:
            digests[folder.parent / _best_name(state["best"]["step"])] = state["best"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, f"{folder / 'state.json'} is missing or damaged"
    for file, sha256 in digests.items():
        if damage := _damage(file, sha256):
            return None, f"{file} {damage}"
    return state, ""


def _damage(file: Path, sha256: str) -> str:
    """Return what is wrong with a file, or "" where it fits its digest."""
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
    return "" if found == sha256 else "is damaged: its digest is not the one written with it"


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _best_of(checkpoint: Path) -> str | None:
    """Return the name of the file of best weights that a checkpoint needs, if any."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return _best_name(json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))["best"]["step"])
    return None


def _best_name(step: int) -> str:
    return f"best-{step}.safetensors"


def _sync(path: Path) -> None:
    with suppress(OSError):  # a folder cannot be opened or synced on every system
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
