"""Measure the memory of the trainer's reading side: `python -m cai_lite.bench.reading 10000 100000`.

For each number of pairs, a process of its own reads a preference file, digests and splits it, tokenizes it and cuts
every update of an epoch into passes, as a training does, without a model. Its peak memory is printed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cai_lite.run.files import write_lines
from cai_lite.run.mapped import scratch

TEXT = "the a patient asks about rest water sleep pain doctor call today often never safe tablets child fever"


def main(counts: list[str]) -> None:
    """Measure each number of pairs that was given."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for count in counts or ["10000", "100000"]:
            path = Path(folder) / f"{count}.jsonl"
            write_lines(path, lines(int(count)))
            program = "import sys; from cai_lite.bench.reading import measured; print(measured(sys.argv[1]))"
            done = subprocess.run(
                [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
            )
            path.unlink()
            print(f"{int(count):>9,} pairs: {done.stdout.strip()}", flush=True)


def lines(count: int) -> Iterator[str]:
    """Yield the lines of a preference file with evidence, about 1.5 kB each; a prompt has two pairs on average."""
    draw, words = random.Random(count), TEXT.split()

    def text(most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(5, most)))

    for i in range(count):
        asked = f"{i // 2} {text(30)}"
        row = {
            "prompt": [{"role": "user", "content": asked}],
            "chosen": [{"role": "assistant", "content": text(60)}],
            "rejected": [{"role": "assistant", "content": text(60)}],
            "key": f"{i:024x}",
            "principle": "urgent-care",
            "p_chosen": 0.9,
            "margin": 0.4,
            "rule": "revision_over_draft",
            "family": f"family {i // 8}",
            "parents": [],
            "evidence": {"verdicts": [{"principle": "urgent-care", "text": text(120)}]},
        }
        yield json.dumps(row) + "\n"


def measured(path: str) -> str:
    """Read a preference file as a training does; return rows, seconds and the peak memory of this process in words."""
    import resource

    from transformers import AutoTokenizer

    from cai_lite.chat.turns import Turns
    from cai_lite.chat.weights import resolve
    from cai_lite.inputs.pairs import read_pairs
    from cai_lite.training.batch import Passes, total_steps, updates
    from cai_lite.training.checks import check_rows
    from cai_lite.training.config import TrainingConfig
    from cai_lite.training.held_out import split
    from cai_lite.training.methods import METHODS
    from cai_lite.training.reference import key_of
    from cai_lite.training.stored import rows_of

    config, method, began = TrainingConfig(), METHODS["dpo"], time.perf_counter()
    turns = Turns(AutoTokenizer.from_pretrained(resolve("embedded:student"), trust_remote_code=False))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with scratch(Path(path).parent, "bench") as aside:
        data, _ = read_pairs(path, aside=aside / "pairs.arrow")
        kept, held_out = split(data, method, lambda _: None)
        method.data_digest(kept)
        rows, report = rows_of(method, turns, kept, config, max_tokens=config.max_tokens, path=aside / "rows.arrow")
        method.alarms(rows, config, lambda _: None)
        check_rows(rows, turns.ends)
        key_of(rows, base="", kernels=(), initial=None)
        passes, cut = Passes("shared", config.tokens_per_batch, 0), 0
        for step, (_, batch) in enumerate(updates(len(rows), config), 1):
            cut += len(passes.cut(batch, rows))
            if step == total_steps(len(rows), config):
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return (
        f"{report.kept:,} rows and {len(held_out)} held out, {cut:,} passes, {time.perf_counter() - began:.0f} s, peak "
        f"{peak / unit:.0f} MB, {(peak - before) / unit:.0f} MB of them for reading"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
