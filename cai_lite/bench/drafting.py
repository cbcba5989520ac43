"""Measure how fast drafts are decoded, beside transformers' own `generate`: `python -m cai_lite.bench.drafting`.

The model is a small Llama with random weights whose output layer is scaled so that its distributions are as sharp as a
language model's: 96 % of the probability lies on 256 tokens of 32,000. Both sample at temperature 1 from the whole
vocabulary. Runs alternate, and medians are shown; CPU seconds matter where other programs run at the same time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from cai_lite.run.progress import Terminal

OURS, THEIRS = "cai_lite", "generate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """What is measured: batches of `sizes` rows, of `prompt` and `reply` tokens each, `repeats` times."""

    sizes: tuple[int, ...] = (8, 32, 128)
    prompt: int = 128
    reply: int = 64
    repeats: int = 3


def bench_drafting(asked: Drafting, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return seconds, CPU seconds and tokens per second of both decoders, by batch size."""
    import torch

    model = _model()
    found: dict[str, Any] = {}
    for size in asked.sizes:
        generator = torch.Generator().manual_seed(size)
        ids_BT = torch.randint(3, model.config.vocab_size, (size, asked.prompt), generator=generator).to(model.device)
        runs: dict[str, list[tuple[float, float]]] = {OURS: [], THEIRS: []}
        for repeat in range(asked.repeats):
            progress(f"{size} rows, {repeat + 1} of {asked.repeats}")
            for name in (OURS, THEIRS) if repeat % 2 else (THEIRS, OURS):
                runs[name].append(_timed(DECODERS[name], model, ids_BT, asked.reply))
        found[str(size)] = {
            name: {
                "seconds": median(seconds for seconds, _ in times),
                "cpu_seconds": median(cpu for _, cpu in times),
                "tokens_per_second": size * asked.reply / median(seconds for seconds, _ in times),
            }
            for name, times in runs.items()
        }
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"format": 1, "prompt": asked.prompt, "reply": asked.reply, "device": device, "batches": found}


def _ours(model: Any, ids_BT: Any, reply: int) -> None:
    import torch

    from cai_lite.chat.decoding import decode
    from cai_lite.records import Request, Sampling

    sampling = Sampling(temperature=1.0, max_tokens=reply)
    asked = [Request(messages=(), sampling=sampling, index=row) for row in range(len(ids_BT))]
    with torch.inference_mode():
        decode(model, ids_BT.tolist(), asked, ends=set(), pad=0)


def _theirs(model: Any, ids_BT: Any, reply: int) -> None:
    import torch

    options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "eos_token_id": None, "pad_token_id": 0}
    model.generate(ids_BT, attention_mask=torch.ones_like(ids_BT), max_new_tokens=reply, **options)


DECODERS: dict[str, Callable[[Any, Any, int], None]] = {OURS: _ours, THEIRS: _theirs}


def _model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model: Any = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(15)
    model.generation_config.eos_token_id = None
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _timed(decoder: Callable[[Any, Any, int], None], model: Any, ids_BT: Any, reply: int) -> tuple[float, float]:
    """Return (seconds, CPU seconds) of a run; decoding ends with a copy to the host, so no GPU work is left over."""
    wall, cpu = time.perf_counter(), time.process_time()
    decoder(model, ids_BT, reply)
    return time.perf_counter() - wall, time.process_time() - cpu


def show(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the figures as a table."""
    table = Table(title=f"{found['prompt']} prompt and {found['reply']} reply tokens, {found['device']}")
    table.add_column("rows", justify="right")
    for name in DECODERS:
        table.add_column(f"{name}: tokens/s", justify="right")
        table.add_column("CPU s", justify="right")
    for size, row in found["batches"].items():
        cells = [cell for name in DECODERS for cell in (row[name]["tokens_per_second"], row[name]["cpu_seconds"])]
        table.add_row(size, *(f"{cell:.1f}" for cell in cells))
    (console or Terminal()).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.drafting", description="Measure decoding.")
    default = Drafting()
    parser.add_argument("--sizes", type=int, nargs="+", default=default.sizes, help="rows of a batch")
    parser.add_argument("--prompt", type=int, default=default.prompt, help="tokens of a prompt")
    parser.add_argument("--reply", type=int, default=default.reply, help="tokens of a reply")
    parser.add_argument("--repeats", type=int, default=default.repeats, help="runs of which the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    given = vars(parser.parse_args(arguments))
    file = given.pop("json")
    console = Terminal(stderr=True)
    found = bench_drafting(Drafting(**given | {"sizes": tuple(given["sizes"])}), console.print)
    show(found)
    if file is not None:
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
