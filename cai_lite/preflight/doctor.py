"""`cai-lite doctor`: what this machine has, and what a teacher's server can do."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.probe import probe
from cai_lite.errors import ChatError
from cai_lite.run.files import PACKAGES, version


def examine(url: str | None = None, model: str | None = None, api_key_env: str = "OPENAI_API_KEY") -> dict[str, Any]:
    """Packages, devices, whether NF4 works here, and, where a `url` is given, what the server does. What does not work
    stands under `faults`.
    """
    import torch

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in (*PACKAGES, "datasets", "evaluate", "openai")},
        "cores": os.cpu_count() or 1,
        "free_disk_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "gpus": [
            {"name": torch.cuda.get_device_name(i), "memory_gb": round(torch.cuda.mem_get_info(i)[1] / 1e9, 1)}
            for i in range(torch.cuda.device_count())
        ],
        "nf4": _nf4_error(),
    }
    faults = []
    if url is not None:
        try:
            found["server"] = {"url": url, "model": model, **asdict(probe(_endpoint(url, model, api_key_env)))}
        except ChatError as error:
            faults.append(str(error))
    absent = [name for name, is_ in found["packages"].items() if is_ == "absent" and name != "cai-lite"]
    found["faults"] = faults + [f"{name} is not installed" for name in absent]
    if found["nf4"]:
        found["faults"].append(f"4-bit weights do not work here: {found['nf4']}")
    return found


def show_examination(found: dict[str, Any], console: Console | None = None) -> None:
    """A line for each thing, and what is wrong last."""
    console = console or Console()
    table = Table(show_header=False, box=None)
    table.add_row("machine", f"Python {found['python']} on {found['system']}, {found['cores']} cores")
    gpus = ", ".join(f"{gpu['name']} with {gpu['memory_gb']} GB" for gpu in found["gpus"])
    table.add_row("GPU", gpus or "none: models run on the CPU")
    table.add_row("disk", f"{found['free_disk_gb']} GB free here")
    table.add_row("4-bit weights", Text(found["nf4"] or "work"))
    table.add_row("packages", ", ".join(f"{name} {version}" for name, version in found["packages"].items()))
    if server := found.get("server"):
        does = [f"{'' if server[name] else 'no '}{words}" for name, words in _DOES.items()]
        table.add_row("server", Text(f"answers '{server['answers']}'; {', '.join(does)}"))
        if not server["log_probs"]:
            table.add_row("", "its verdicts are words: judge.votes of 3 or more make them soft")
    console.print(table, highlight=False)
    for fault in found["faults"]:
        console.print(Text(f"! {fault}"), style="red", highlight=False)


_DOES = {"log_probs": "log-probabilities", "several": "several answers a call", "schema": "JSON schemas"}


def _endpoint(url: str, model: str | None, api_key_env: str) -> EndpointModel:
    from cai_lite.chat import open_model

    opened = open_model(url, model=model, api_key_env=api_key_env)
    assert isinstance(opened, EndpointModel), "an address opens an endpoint"
    return opened


def _nf4_error() -> str:
    """Why a matrix cannot be held in NF4 and read back here; empty where it can."""
    import torch

    try:
        from bitsandbytes import functional

        device = "cuda" if torch.cuda.is_available() else "cpu"
        weight_HH = torch.randn(64, 64, dtype=torch.bfloat16, device=device)
        held, state = functional.quantize_4bit(weight_HH, quant_type="nf4")
        off = (functional.dequantize_4bit(held, state) - weight_HH).abs().mean().item()
    except Exception as error:  # whatever a broken installation raises is what the user wants to read
        return f"{type(error).__name__}: {error}"
    return "" if off < 0.2 else f"a matrix comes back {off:.2f} off"
