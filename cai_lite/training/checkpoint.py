"""Save and load checkpoints for exact resume: adapter, optimizer, counters and random state; and the best weights.

They hold tensors and JSON, no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cai_lite.errors import TrainingError
from cai_lite.run.files import is_sealed, sealed, share


def save(
    folder: Path, step: int, parameters: dict[str, Any], optimizer: Any, *, best: dict[str, Any] | None = None
) -> None:
    """Write `folder/step-N`, then delete older ones. `best`: the record of the best weights, with their `step`.

    It is written aside, synced and renamed first, so that there is always one complete checkpoint.
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
    (partial / "state.json").write_text(json.dumps(sealed(record)))
    share(partial)
    for file in partial.iterdir():
        _sync(file)
    final = folder / f"step-{step}"
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(folder)
    for old in folder.glob("step-*"):
        if old != final:
            shutil.rmtree(old)
    for other in folder.glob("best-*.safetensors"):
        if best is None or other.name != _best_name(best["step"]):
            other.unlink()


def save_best(folder: Path, step: int, parameters: dict[str, Any]) -> str:
    """Write the weights as the best ones so far, and return the SHA-256 of the file.

    Those that the last checkpoint names stay beside them, since a resumed training needs them.
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
    _check_file(file, sha256, f"delete {folder} to start anew")
    weights = load_file(file)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def load(folder: Path, parameters: dict[str, Any], optimizer: Any) -> dict[str, Any] | None:
    """Load the newest checkpoint into parameters, optimizer and random state; return its counters, None without one.

    Raises:
        TrainingError: a file of it is missing, or has changed since it was written.
    """
    from safetensors.torch import load_file

    found = sorted(folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    if not found:
        return None
    state = _whole(found[-1])
    weights, tensors = load_file(found[-1] / "adapter.safetensors"), load_file(found[-1] / "state.safetensors")
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


def _whole(folder: Path) -> dict[str, Any]:
    """Return state.json of a checkpoint after comparing its files with their digests."""
    mend = f"delete {folder} to start anew"
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        digests = dict(state["sha256"])
        if not is_sealed(state):
            raise ValueError
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder / 'state.json'} cannot be read; {mend}") from error
    for name, digest in digests.items():
        _check_file(folder / name, digest, mend)
    if state.get("best") and state["best"]["sha256"]:
        best = folder.parent / _best_name(state["best"]["step"])
        _check_file(best, state["best"]["sha256"], f"delete {folder.parent} to start anew")
    return state


def _check_file(file: Path, sha256: str, mend: str) -> None:
    if not file.is_file():
        raise TrainingError(f"{file} is missing; {mend}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise TrainingError(f"{file} is damaged, its digest is not the one written with it; {mend}")


def _best_name(step: int) -> str:
    return f"best-{step}.safetensors"


def _sync(path: Path) -> None:
    with suppress(OSError):  # a folder cannot be opened or synced on every system
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
