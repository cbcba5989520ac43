"""Measure the memory of the trainer's reading side: `python -m cai_lite.bench.reading 10000 100000 --form parquet`.

For each number of pairs, a process of its own reads preference data, digests and splits it, tokenizes it and cuts every
update of an epoch into passes, as a training does, without a model. Its peak memory is printed. The data is one JSONL
file, a folder of Parquet shards, or a streamed `datasets.IterableDataset` over these shards. `--read-only` ends behind
the split: what follows is the same for every form.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cai_lite.run.files import write_lines
from cai_lite.run.mapped import scratch

TEXT = "the a patient asks about rest water sleep pain doctor call today often never safe tablets child fever"
FORMS = ("jsonl", "parquet", "stream")
SHARD = 25_000  # rows of a Parquet file


def main(words: list[str]) -> None:
    """Measure each number of pairs that was given."""
    asked = argparse.ArgumentParser(prog="python -m cai_lite.bench.reading", description=__doc__)
    asked.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000], help="numbers of pairs")
    asked.add_argument("--form", choices=FORMS, default=FORMS[0], help="what the pairs are read from")
    asked.add_argument("--read-only", action="store_true", help="do not tokenize")
    given = asked.parse_args(words)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for count in given.counts:
            path = Path(folder) / f"{count}"
            write_pairs(path, count, shards=given.form != "jsonl")
            program = "import sys; from cai_lite.bench.reading import measured as m; print(m(*sys.argv[1:3], "
            program += "sys.argv[3] == '1'))"
            done = subprocess.run(
                [sys.executable, "-c", program, str(path), given.form, str(int(given.read_only))],
                check=True,
                capture_output=True,
                text=True,
            )
            print(f"{count:>9,} pairs, {given.form}: {done.stdout.strip()}", flush=True)


def write_pairs(path: Path, count: int, *, shards: bool) -> None:
    """Write pairs to a JSONL file, or to a folder of Parquet shards; the same pairs either way."""
    if not shards:
        write_lines(path, lines(count))
        return
    from datasets import Dataset, disable_progress_bars  # type: ignore[import-untyped]

    disable_progress_bars()
    path.mkdir()
    kept: list[dict[str, object]] = []
    for i, line in enumerate(lines(count), 1):
        kept.append(json.loads(line))
        if len(kept) == SHARD or i == count:
            Dataset.from_list(kept).to_parquet(str(path / f"train-{(i - 1) // SHARD:05d}.parquet"))
            kept.clear()


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


def measured(path: str, form: str = "jsonl", read_only: bool = False) -> str:
    """Read preference data as a training does; return rows, seconds and peak memory in words."""
    import resource

    from datasets import load_dataset
    from transformers import AutoTokenizer

    from cai_lite.chat.turns import Turns
    from cai_lite.chat.weights import resolve
    from cai_lite.inputs.pairs import as_pairs
    from cai_lite.training.batch import Passes, total_steps, updates
    from cai_lite.training.checks import check_rows
    from cai_lite.training.config import TrainingConfig
    from cai_lite.training.held_out import split
    from cai_lite.training.methods import METHODS
    from cai_lite.training.reference import key_of
    from cai_lite.training.stored import rows_of

    config, method, began = TrainingConfig(), METHODS["dpo"], time.perf_counter()
    worked = time.process_time()
    turns = Turns(AutoTokenizer.from_pretrained(resolve("embedded:student"), trust_remote_code=False))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with scratch(Path(path).parent, "bench") as aside:
        given: Any = path
        if form == "stream":
            files = sorted(map(str, Path(path).glob("*.parquet")))
            given = load_dataset("parquet", data_files=files, split="train", streaming=True)
        data = as_pairs(given, aside / "pairs.arrow")
        kept, held_out = split(data, method, lambda _: None)
        found = f"digest {method.data_digest(kept)[:12]}, {len(held_out)} held out"
        if not read_only:
            rows, report = rows_of(method, turns, kept, config, max_tokens=config.max_tokens, path=aside / "rows.arrow")
            method.alarms(rows, config, lambda _: None)
            check_rows(rows, turns.ends)
            key_of(rows, base="", kernels=(), initial=None)
            passes, cut = Passes("shared", config.tokens_per_batch, 0), 0
            for step, (_, batch) in enumerate(updates(len(rows), config), 1):
                cut += len(passes.cut(batch, rows))
                if step == total_steps(len(rows), config):
                    break
            found += f", {report.kept:,} rows, {cut:,} passes"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return (
        f"{found}, {time.perf_counter() - began:.0f} s ({time.process_time() - worked:.0f} CPU s), peak "
        f"{peak / unit:.0f} MB, {(peak - before) / unit:.0f} MB of them for reading"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
