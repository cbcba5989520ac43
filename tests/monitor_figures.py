"""Print the figures of the monitor: false alarms a year, delays by size of the change, and conversations a second.

python -m tests.monitor_figures alarms     # false alarms in simulated years without any change
python -m tests.monitor_figures delays     # conversations until the alarm, 20 seeds for each change
python -m tests.monitor_figures planted    # the command on 100,000 logged conversations with a change at 60,000
python -m tests.monitor_figures speed      # conversations a second on one core, by machine checks alone
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

import numpy as np

import cai_lite as cai
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import all_prompts
from cai_lite.serving.change import CONFIDENCE, DAYS, Detector

SEEDS = 20
RATES = 10  # watched together
CHANGE, LENGTH = 60_000, 100_000
PER_DAY = 10_000


def first_alarm(broken_N: np.ndarray, *, baseline: int, per_day: float, rates: int = RATES) -> Detector:
    """Watch one of `rates` streams, one false alarm a year allowed for all."""
    detector = Detector(limit=rates, chance=(1 - CONFIDENCE) / rates)
    detector.learn(broken_N[:baseline].tolist(), baseline)
    detector.watch(range(baseline + 1, len(broken_N) + 1), broken_N[baseline:].tolist(), 1 / (per_day * DAYS))
    return detector


def alarms() -> None:
    print(f"false alarms a year, {RATES} rates together, of at most 1; 200 simulated years each")
    for rate in (0.005, 0.05, 0.3):
        for baseline in (100, 2000):
            per_day = 20.0
            n, found = int(per_day * DAYS), 0
            for seed in range(200 * RATES):  # a year of one rate
                rng = np.random.default_rng([seed, baseline, int(rate * 1000)])
                broken_N = rng.random(baseline + n) < rate
                found += first_alarm(broken_N, baseline=baseline, per_day=per_day).alarm is not None
            print(f"rate {rate}, baseline {baseline}: {found / 200:.3f} a year")


def delay(old: float, new: float, drift: int, *, baseline: int, change: int) -> str:
    """Return a row of the table: 20 seeds with a change at `change`, sudden or over `drift` conversations."""
    found: list[int] = []
    off: list[int] = []
    early = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, 7])
        ramp_N = np.clip((np.arange(change + 40_000) - change) / max(drift, 1), 0.0, 1.0)
        detector = first_alarm(rng.random(len(ramp_N)) < old + (new - old) * ramp_N, baseline=baseline, per_day=PER_DAY)
        if detector.alarm is not None and detector.alarm <= change:
            early += 1
        elif detector.alarm is not None and detector.began is not None:
            found.append(detector.alarm - change)
            off.append(abs(detector.began - change))
    figures = f"{median(found):,.0f} | {mean(found):,.0f} | {max(found):,} | {median(off):,.0f}" if found else " | | | "
    how = f" over {drift:,}" if drift else ""
    return f"| {old:g} to {new:g}{how} | {baseline:,} | {change:,} | {early} | {len(found)} | {figures} |"


def delays() -> None:
    changes = [(0.05, 0.07), (0.05, 0.1), (0.05, 0.12), (0.05, 0.15), (0.005, 0.02), (0.01, 0.05), (0.02, 0.04)]
    changes += [(0.2, 0.25), (0.3, 0.4)]
    print(f"{SEEDS} seeds each, {PER_DAY:,} conversations a day, one false alarm a year for {RATES} rates together")
    print("| change | baseline | at | alarms before | found | delay: median | mean | most | off by (median) |")
    for old, new in changes:
        print(delay(old, new, 0, baseline=2000, change=CHANGE), flush=True)
    print(delay(0.05, 0.1, 20_000, baseline=2000, change=CHANGE), flush=True)
    for baseline in (200, 500, 2000, 10_000):
        for old, new in ((0.05, 0.12), (0.2, 0.3)):
            print(delay(old, new, 0, baseline=baseline, change=baseline + 500), flush=True)
    quiet = 0
    for seed in range(SEEDS * (RATES - 1)):
        broken_N = np.random.default_rng([seed, 8]).random(LENGTH) < (0.01, 0.05, 0.2)[seed % 3]
        quiet += first_alarm(broken_N, baseline=2000, per_day=PER_DAY).alarm is not None
    print(f"alarms of the {RATES - 1} other rates in {SEEDS} times {LENGTH:,} conversations: {quiet}")


def medical_answers(seed: int) -> Iterator[tuple[str, list[str], str]]:
    """Yield (prompt, tags, answer) without end: prompts of the recipe, answers of the constitution's examples."""
    rng = random.Random(seed)
    constitution = load_constitution("medical")
    prompts = [prompt for prompt in all_prompts("recipes/prompts/medical.jsonl") if len(prompt.messages) == 1]
    good = [example.good for principle in constitution.principles for example in principle.examples]
    while True:
        prompt = rng.choice(prompts)
        yield prompt.text, list(prompt.tags), f"{rng.choice(good)} {rng.choice(good)}"


def write_log(path: Path, seed: int, n: int, *, tagged: bool, old: float, new: float, change: int) -> None:
    """Write a log of chat completions in which the share of unkind answers changes."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number, (prompt, tags, answer) in zip(range(1, n + 1), medical_answers(seed), strict=False):
            if rng.random() < (old if number <= change else new):
                answer += " Stop whining, you are just a hypochondriac."
            row = {
                "id": f"chatcmpl-{number}",
                "created": 1_760_000_000 + number * 86_400 // PER_DAY,
                "request": {"model": "m", "messages": [{"role": "user", "content": prompt}]},
                "response": {"choices": [{"message": {"role": "assistant", "content": answer}}]},
            }
            file.write(json.dumps(row | ({"metadata": {"tags": ",".join(tags)}} if tagged else {})) + "\n")


def planted() -> None:
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.jsonl"
            write_log(log, seed, LENGTH, tagged=False, old=0.05, new=0.12, change=CHANGE)
            began = time.process_time()
            found = cai.monitor(log, "medical")
            seconds = time.process_time() - began
            alarms = [f"{rate.principle} at {rate.alarm:,}, began about {rate.began:,}" for rate in found.alarms]
            print(f"seed {seed}: {'; '.join(alarms) or 'no alarm'}; {LENGTH / seconds:,.0f} a second, {seconds:.0f} s")
    print(found.stated)


def speed() -> None:
    """Print conversations a second of processor time, the best of three readings of 10,000 conversations."""
    with tempfile.TemporaryDirectory() as folder:
        for name, tagged in (("medical", False), ("medical", True), ("medical-embedded", False)):
            log, constitution = Path(folder) / "log.jsonl", load_constitution(name)
            write_log(log, 0, 10_000, tagged=tagged, old=0.05, new=0.05, change=0)
            seconds = []
            for attempt in range(3):
                began = time.process_time()
                found = cai.monitor(log, constitution, out=Path(folder) / f"{name}-{tagged}-{attempt}")
                seconds.append(time.process_time() - began)
            looked = sum(rate.n + rate.unknown for rate in found.rates) / found.conversations
            print(
                f"{name}, {'with' if tagged else 'without'} tags, {looked:.1f} checks a conversation: "
                f"{found.conversations / min(seconds):,.0f} conversations a second of one core"
            )


if __name__ == "__main__":
    {"alarms": alarms, "delays": delays, "planted": planted, "speed": speed}[sys.argv[1]]()
