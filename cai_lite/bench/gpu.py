"""Measure on a GPU what `cai-lite plan` predicts: `python -m cai_lite.bench.gpu --out FILE.json`.

Models of 7B with random weights, in NF4 and bfloat16, with prompts as long as completions and four times as long: the
peak memory of a training step beside the plan, tokens per second of training and of drafting, and TRL beside it where
it is installed. Everything runs in processes of its own, one at a time. It runs on a CPU, too, with small shapes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cai_lite.bench.case import SHAPES, Case, case_of, config_of, model_of
from cai_lite.bench.run import OURS, bench, opponents
from cai_lite.errors import CaiError, InputError, ModelError
from cai_lite.run.progress import Terminal
from cai_lite.training.config import MEMORY_SHARE, Lora, TrainingConfig

SIZES = ("qwen2.5-7b", "llama-2-7b")
RATIOS = ((512, 512), (1024, 256))
DRAFTS = 256  # replies drafted


def measure(case: Case, *, drafts: int, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return figures of one case: the plan, the training step, its tokens per second, and those of drafting.

    What the plan says cannot fit is not tried, and `skipped` says why.
    """
    planned = plan_of(case)
    total = memory_of(case)
    if total is not None and planned["plain"] > MEMORY_SHARE * total:
        case = dataclasses.replace(case, checkpointing=True)
    peak = planned["checkpointed" if case.checkpointing else "plain"]
    found: dict[str, Any] = {"case": dataclasses.asdict(case), "planned_peak_bytes": peak}
    if total is not None and peak > total:
        return {**found, "skipped": f"the plan is {peak / 1e9:.1f} GB, the GPU has {total / 1e9:.1f} GB"}
    against = opponents("trl-best") if find_spec("trl") else []
    trained = bench(case, against, progress)
    ours = trained["contenders"][OURS]
    measured = ours["model_bytes"] + ours["peak_bytes"]
    tokens = sum(row.tokens for batch in case.batches()[1:] for row in batch) / case.steps
    progress("drafting")
    return {
        **found,
        "measured_peak_bytes": measured,
        "measured_over_planned": measured / peak,
        "training_tokens_per_second": tokens / ours["seconds"],
        "drafting": _drafted(case, drafts),
        "contenders": trained["contenders"],
        "ratios": trained["ratios"],
        "machine": trained["machine"],
    }


def plan_of(case: Case) -> dict[str, int]:
    """Return the planned peak of the heaviest step, in bytes, without and with every layer recomputed."""
    import torch

    from cai_lite.training.memory import footprint_of

    found = footprint_of(
        config_of(case),
        max(case.batches(), key=lambda batch: sum(row.tokens for row in batch)),
        TrainingConfig(lora=Lora(rank=case.rank)),
        layout="shared",
        quantised=case.load == "nf4",
        dtype=torch.float32 if case.device == "cpu" else torch.bfloat16,
    )
    return {"plain": found.peak(0), "checkpointed": found.peak(found.layers)}


def memory_of(case: Case) -> float | None:
    """Return the memory of the GPU in bytes, None for a CPU. Asked in a process of its own, which leaves none taken."""
    if case.device == "cpu":
        return None
    code = "import torch; print(torch.cuda.mem_get_info()[0])"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def draft(case: Case, drafts: int) -> dict[str, Any]:
    """Return how fast replies of random tokens are decoded by `LocalModel`, in this process."""
    import torch

    from cai_lite.chat.local import LocalModel
    from cai_lite.chat.weights import open_weights
    from cai_lite.records import Message, Request, Sampling

    model, tokenizer = model_of(case).eval(), open_weights("embedded:student")[1]
    # So many words that the rendered prompt has about as many tokens as asked for, all below the vocabulary's size.
    word = tokenizer("the", add_special_tokens=False)["input_ids"]
    text = " ".join(["the"] * max(1, case.prompt_tokens // max(1, len(word))))

    class Opened(LocalModel):
        def opened(self) -> tuple[Any, Any]:
            return model, tokenizer

    sampling = Sampling(max_tokens=case.completion_tokens)
    asked = [Request(messages=(Message("user", text),), sampling=sampling, index=i) for i in range(drafts)]
    if case.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    replies = [reply for batch in Opened("embedded:student").answer(asked) for reply in batch.values()]
    seconds = time.perf_counter() - began
    written = sum(reply.tokens_out for reply in replies)
    return {
        "replies": len(replies),
        "prompt_tokens": replies[0].tokens_in,
        "tokens": written,
        "seconds": seconds,
        "tokens_per_second": written / seconds,
        "peak_bytes": torch.cuda.max_memory_allocated() if case.device == "cuda" else 0,
    }


def _drafted(case: Case, drafts: int) -> dict[str, Any]:
    """Return the figures of `draft`, run in a process of its own.

    Raises:
        ModelError: it failed.
    """
    asked = json.dumps({"case": dataclasses.asdict(case), "drafts": drafts})
    command = [sys.executable, "-m", "cai_lite.bench.gpu", "--draft", asked]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ModelError(f"drafting stopped: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def show(found: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """Print one row for each case."""
    console = console or Terminal()
    table = Table(title="Measured beside the plan", caption="tokens/s: of training, of drafting; x: seconds over ours")
    for column in ("model", "load", "tokens", "recomputed", "peak, GB", "plan, GB", "training", "drafting", "trl"):
        table.add_column(column, justify="right")
    for row in found:
        case = row["case"]
        head = (case["shape"], case["load"], f"{case['prompt_tokens']}:{case['completion_tokens']}")
        recomputed, planned = "all" if case["checkpointing"] else "none", f"{row['planned_peak_bytes'] / 1e9:.2f}"
        if "skipped" in row or "failed" in row:
            table.add_row(*head, recomputed, "", planned, "skipped" if "skipped" in row else "failed", "", "")
            continue
        table.add_row(
            *head,
            recomputed,
            f"{row['measured_peak_bytes'] / 1e9:.2f}",
            planned,
            f"{row['training_tokens_per_second']:,.0f}",
            f"{row['drafting']['tokens_per_second']:,.0f}",
            *(f"{ratio['seconds']:.2f}x" for ratio in row["ratios"].values()),
        )
    console.print(table)
    for row in found:
        if "skipped" in row or "failed" in row:
            console.print(f"{row['case']['shape']}, {row['case']['load']}: {row.get('skipped') or row['failed']}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all cases and write the figures after each, so that what was measured is kept if one fails."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.gpu", description="Measure what `plan` predicts.")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--shapes", nargs="+", default=SIZES, choices=list(SHAPES), help="shapes of the model")
    parser.add_argument("--loads", nargs="+", default=("nf4", "bfloat16"), help="dtypes of the weights")
    parser.add_argument("--ratios", nargs="+", default=RATIOS, type=_ratio, help="prompt:completion, in tokens")
    parser.add_argument("--device", default="cuda", help="cuda, cpu or auto")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--drafts", type=int, default=DRAFTS, help="replies to draft")
    parser.add_argument("--draft", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.draft is not None:
        asked = json.loads(given.draft)
        sys.stdout.write(json.dumps(draft(Case(**asked["case"]), asked["drafts"])) + "\n")
        return
    if given.out is None:
        parser.error("--out FILE.json is needed")
    console, rows = Terminal(stderr=True), list[dict[str, Any]]()
    for shape in given.shapes:
        for load in given.loads:
            for prompt, completion in given.ratios:
                try:
                    case = case_of(
                        shape=shape,
                        device=given.device,
                        load=load,
                        prompt_tokens=prompt,
                        completion_tokens=completion,
                        pairs=given.pairs,
                        steps=given.steps,
                    )
                except InputError as error:
                    parser.error(str(error))
                rows.append(_row(case, given.drafts, console))
                given.out.parent.mkdir(parents=True, exist_ok=True)
                given.out.write_text(json.dumps({"format": 1, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    show(rows)


def _row(case: Case, drafts: int, console: Console) -> dict[str, Any]:
    def progress(text: str) -> None:
        ratio = f"{case.prompt_tokens}:{case.completion_tokens}"
        console.print(f"{case.shape}, {case.load}, {ratio}: {text}", highlight=False)

    try:
        return measure(case, drafts=drafts, progress=progress)
    except CaiError as error:
        return {"case": dataclasses.asdict(case), "planned_peak_bytes": 0, "failed": str(error)}


def _ratio(text: str) -> tuple[int, int]:
    try:
        prompt, completion = map(int, text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"should be PROMPT:COMPLETION, such as 1024:256, got '{text}'") from error
    return prompt, completion


if __name__ == "__main__":
    main()
