"""Run one contender in a process of its own: `python -m cai_lite.bench.worker`, which reads requests line by line.

Each has a process of its own so that its peak memory can be measured; the parent runs one step of each in turn.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def main() -> None:
    """Read {"contender", "case", "gradients"} and answer {"ready"}; then answer each step number with its figures."""
    asked = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that what the libraries print is not taken for an answer
    import torch
    from safetensors.torch import save_file

    from cai_lite.bench.case import Case, model_of
    from cai_lite.bench.contenders import CONTENDERS
    from cai_lite.errors import CaiError
    from cai_lite.training.config import Lora
    from cai_lite.training.student import lora_parameters, with_adapter

    def answer(**line: Any) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    try:
        case = Case(**asked["case"])
        make = CONTENDERS[asked["contender"]]
        for name in ("trl", "datasets"):  # so that their code does not count as memory of the step
            if asked["contender"].startswith("trl"):
                __import__(name)
        model = with_adapter(
            model_of(case),
            lora=Lora(rank=case.rank),
            init_adapter=None,
            seed=case.seed,
        )
        torch.manual_seed(case.seed + 1)
        with torch.no_grad():
            for name, parameter in lora_parameters(model).items():
                if "lora_B" in name:  # zeros would hide the gradients of the other matrices
                    parameter.normal_(std=0.01)
        gc.collect()
        before = _memory(case.device)
        began = time.perf_counter()
        batches = case.batches()
        step = make(model, batches, case)
        answer(ready=True, setup_seconds=time.perf_counter() - began, model_bytes=before)
    except (CaiError, ImportError) as error:
        answer(error=str(error))
        return
    if asked["gradients"]:
        # Save the gradients of the first batch before they are clipped.
        utils: Any = torch.nn.utils
        clip = utils.clip_grad_norm_

        def keep(parameters: Any, limit: float) -> Any:
            save_file(
                {n: p.grad.float().cpu() for n, p in lora_parameters(model).items() if p.grad is not None},
                asked["gradients"],
            )
            utils.clip_grad_norm_ = clip
            return clip(parameters, limit)

        utils.clip_grad_norm_ = keep
    for line in sys.stdin:
        _reset_peak(case.device)
        wall, cpu = time.perf_counter(), time.process_time()
        numbers = step(int(line))
        if case.device == "cuda":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer(seconds=wall, cpu_seconds=cpu, peak_bytes=_peak(case.device) - before, **numbers)


def _memory(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.memory_allocated()
    return _status("VmRSS")


def _peak(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return _status("VmHWM")


def _reset_peak(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # on Linux, this resets the peak


def _status(name: str) -> int:
    """Return a memory figure of this process in bytes, or 0 where the system has none."""
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
