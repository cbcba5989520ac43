"""`cai-lite doctor`: examine this machine and, if a URL is given, a model server."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.faults import ROOM_TO_THINK
from cai_lite.chat.probe import probe
from cai_lite.errors import ChatError, ModelError, without_secrets
from cai_lite.run.files import PACKAGES, version
from cai_lite.run.progress import Terminal
from cai_lite.training.config import Lora
from cai_lite.training.trainable import check_trainable


def examine(
    url: str | None = None,
    model: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    template: Mapping[str, Any] | None = None,
    *,
    student: str | None = None,
) -> dict[str, Any]:
    """Return the installed packages, the devices, whether NF4 works, and the features of the server at `url`, if given.

    `faults` lists what does not work. `api_key_env` is the environment variable with the server's API key, `template`
    holds variables of the model's chat template. `student`: a model folder or hub id; whether it can be trained is
    checked.
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
            found["server"] = {
                "url": without_secrets(url),
                "model": model,
                **asdict(probe(_endpoint(url, model, api_key_env, template))),
            }
        except ChatError as error:
            faults.append(str(error))
    if student is not None:
        try:
            found["student"] = {"model": student, "notes": check_trainable(student, lora=Lora())}
        except ModelError as error:
            faults.append(str(error))
    absent = [name for name, is_ in found["packages"].items() if is_ == "absent" and name != "cai-lite"]
    found["faults"] = faults + [f"{name} is not installed" for name in absent]
    if found["nf4"]:
        found["faults"].append(f"4-bit weights do not work on this machine: {found['nf4']}")
    return found


def show_examination(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the examination as a table, then its faults."""
    console = console or Terminal()
    table = Table(show_header=False, box=None)
    table.add_row("machine", f"Python {found['python']} on {found['system']}, {found['cores']} cores")
    gpus = ", ".join(f"{gpu['name']} with {gpu['memory_gb']} GB" for gpu in found["gpus"])
    table.add_row("GPU", gpus or "none; models run on the CPU")
    table.add_row("disk", f"{found['free_disk_gb']} GB free in the current folder")
    table.add_row("4-bit weights", Text(found["nf4"] or "supported"))
    if student := found.get("student"):
        table.add_row("student", Text("\n".join(student["notes"]) or f"{student['model']} can be trained"))
    table.add_row("packages", ", ".join(f"{name} {version}" for name, version in found["packages"].items()))
    if server := found.get("server"):
        features = [f"{'' if server[name] else 'no '}{words}" for name, words in _FEATURES.items()]
        table.add_row("server", Text(f"answers '{server['answers']}'; {', '.join(features)}"))
        if server["thinks"]:
            table.add_row("", Text(_thinking(server["switch"])))
        if not server["log_probs"]:
            table.add_row(
                "",
                "without log-probabilities a verdict is a single word; set judge.votes to 3 or more to average several",
            )
    console.print(table, highlight=False)
    for fault in found["faults"]:
        console.print(Text(f"! {fault}"), style="red", highlight=False)


_FEATURES = {"log_probs": "log-probabilities", "several": "several answers per call", "schema": "JSON schemas"}


def _endpoint(url: str, model: str | None, api_key_env: str, template: Mapping[str, Any] | None) -> EndpointModel:
    from cai_lite.chat import open_model

    opened = open_model(url, model=model, api_key_env=api_key_env, template=template)
    assert isinstance(opened, EndpointModel), "a URL opens an endpoint"
    return opened


def _thinking(switch: Mapping[str, Any] | None) -> str:
    """Return what to set for a model that thinks before it answers; `switch` is what stopped it, if anything did."""
    room = f"critique.max_tokens, revise.max_tokens and judge.max_tokens to {ROOM_TO_THINK} or more"
    if switch is None:
        return f"this model thinks before it answers, and no known variable of its chat template stops it: set {room}"
    variables = ", ".join(f"{name}: {str(value).lower()}" for name, value in switch.items())
    return f"this model thinks before it answers: set teacher.template: {{{variables}}} in the recipe, or {room}"


def _nf4_error() -> str:
    """Return why a matrix cannot be quantised to NF4 and back on this machine, or "" if it can."""
    import torch

    try:
        from bitsandbytes import functional

        device = "cuda" if torch.cuda.is_available() else "cpu"
        weight_HH = torch.randn(64, 64, dtype=torch.bfloat16, device=device)
        quantised, state = functional.quantize_4bit(weight_HH, quant_type="nf4")
        error_ = (functional.dequantize_4bit(quantised, state) - weight_HH).abs().mean().item()
    except Exception as error:  # a broken installation may raise any exception
        return f"{type(error).__name__}: {error}"
    return "" if error_ < 0.2 else f"the mean error of a quantised matrix is {error_:.2f}, should be below 0.2"
