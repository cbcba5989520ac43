"""Run all contenders in turn, step by step; report medians, and whether their numbers agree."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from cai_lite.bench.case import Case
from cai_lite.errors import InputError, ModelError, did_you_mean

OURS = "cai_lite"
AGAINST = {
    "": [],
    "trl": ["trl", "trl as shipped"],
    "trl-best": ["trl"],
    "flash-preference": ["flash-preference"],
    "itself": ["plain rows", "plain rows, not fused"],
}


def opponents(against: str) -> list[str]:
    """Return the contenders that `--against` names. Raises InputError."""
    if against not in AGAINST:
        known = ", ".join(filter(None, AGAINST))
        raise InputError(f"against should be one of {known}, got '{against}'{did_you_mean(against, AGAINST)}")
    return AGAINST[against]


def bench(case: Case, against: Sequence[str], progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return figures of each contender, and ratios of every other one to ours.

    Seconds and bytes, medians over the steps. On a CPU the contenders take turns, step by step, so that a slow moment
    counts for all; on a GPU one runs after the other, since its memory holds one model.

    Raises:
        ModelError: a contender could not be set up.
    """
    names = [OURS, *against]
    batches = case.batches()
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{i}.safetensors" for i, name in enumerate(names)}
        turns = [names] if case.device == "cpu" else [[name] for name in names]
        lines: dict[str, list[dict[str, float]]] = {}
        ready: dict[str, dict[str, Any]] = {}
        for together in turns:
            for name, (begun, steps) in _in_turns(together, case, files, progress).items():
                ready[name], lines[name] = begun, steps
        agreement = {name: _agreement(lines[OURS], lines[name], files[OURS], files[name]) for name in against}
    ceiling = matrix_ceiling(case)
    rows = {}
    for name in names:
        timed = lines[name][1:]
        share = median(
            case.useful_flops(batch) / line["seconds"] / ceiling for batch, line in zip(batches[1:], timed, strict=True)
        )
        rows[name] = {
            "seconds": median(line["seconds"] for line in timed),
            "cpu_seconds": median(line["cpu_seconds"] for line in timed),
            "pairs_per_second": case.pairs / median(line["seconds"] for line in timed),
            "peak_bytes": max(line["peak_bytes"] for line in timed),
            "model_bytes": ready[name]["model_bytes"],
            "setup_seconds": ready[name]["setup_seconds"],
            "useful_flops_share": share,
        }
    return {
        "format": 1,
        "case": dataclasses.asdict(case),
        "contenders": rows,
        "ratios": {
            name: {
                "seconds": _ratio(lines, name, "seconds"),
                "cpu_seconds": _ratio(lines, name, "cpu_seconds"),
                "peak_bytes": rows[OURS]["peak_bytes"] / max(1, rows[name]["peak_bytes"]),
                **agreement[name],
            }
            for name in against
        },
        "ceiling_flops": ceiling,
        "machine": _machine(case),
    }


def _in_turns(
    names: Sequence[str], case: Case, files: Mapping[str, Path], progress: Callable[[str], None]
) -> dict[str, tuple[dict[str, Any], list[dict[str, float]]]]:
    """Return what each contender said when it was set up, and the figures of its steps; they take turns."""
    workers: dict[str, _Worker] = {}
    lines: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    try:
        for name in names:
            progress(f"setting up {name}")
            workers[name] = _Worker(name, case, files[name])
        for i in range(case.steps + 1):
            progress(f"{', '.join(names)}: step {i} of {case.steps}")
            for name in names if i % 2 else reversed(names):  # so that no contender always finds a warm cache
                lines[name].append(workers[name].step(i))
    finally:
        for worker in workers.values():
            worker.close()
    return {name: (workers[name].ready, lines[name]) for name in names}


class _Worker:
    def __init__(self, name: str, case: Case, gradients: Path) -> None:
        self._name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cai_lite.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        asked = {"contender": name, "case": dataclasses.asdict(case), "gradients": str(gradients)}
        try:
            self.ready = self._ask(json.dumps(asked))
        except ModelError:
            self.close()
            raise

    def step(self, i: int) -> dict[str, float]:
        return self._ask(str(i))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with suppress(BrokenPipeError):  # output for a contender that has ended
                    stream.close()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        reply = ""
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            pass  # it has ended: the last lines of its log say why
        if not reply:
            self._log.seek(0)
            last = self._log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise ModelError(f"{self._name} stopped: {' / '.join(last)}")
        answer: dict[str, Any] = json.loads(reply)
        if "error" in answer:
            raise ModelError(f"{self._name}: {answer['error']}")
        return answer


def matrix_ceiling(case: Case) -> float:
    """Return the speed of the fastest of several matrix products in the case's precision, in FLOP/s."""
    import torch

    size = 8192 if case.device == "cuda" else 1024
    dtype = torch.float32 if case.load == "float32" else torch.bfloat16
    matrix = torch.randn(size, size, device=case.device, dtype=torch.float32 if case.device == "cpu" else dtype)
    best = float("inf")
    for _ in range(12):
        began = time.perf_counter()
        matrix @ matrix
        if case.device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _ratio(lines: dict[str, list[dict[str, float]]], name: str, what: str) -> float:
    """Return the median over the steps of the other's time divided by ours, so that a slow moment counts for both."""
    return median(other[what] / ours[what] for ours, other in zip(lines[OURS][1:], lines[name][1:], strict=True))


def _agreement(
    ours: list[dict[str, float]], other: list[dict[str, float]], mine: Path, theirs: Path
) -> dict[str, float]:
    """Return the largest differences on the first batch: log-probabilities in nats, gradients, and their maximum."""
    from safetensors.torch import load_file

    our_gradients, their_gradients = load_file(mine), load_file(theirs)
    names = {name.replace(".default.", "."): name for name in their_gradients}
    difference = max(
        float((gradient - their_gradients[names[name.replace(".default.", ".")]]).abs().max())
        for name, gradient in our_gradients.items()
    )
    largest = max(float(gradient.abs().max()) for gradient in our_gradients.values())
    logps = max(abs(ours[0][side] - other[0][side]) for side in ("logps/chosen", "logps/rejected"))
    return {"logps_difference": logps, "gradient_difference": difference, "gradient_largest": largest}


def _machine(case: Case) -> dict[str, str]:
    import torch

    gpu = torch.cuda.get_device_name() if case.device == "cuda" else ""
    versions = {}
    for package in ("torch", "transformers", "peft", "bitsandbytes", "trl", "flash-pref"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "device": gpu or f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        **versions,
    }
