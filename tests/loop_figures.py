"""Walk one whole loop in the medical demo by its commands, and print its figures.

    python -m tests.loop_figures OUT [SEED]

A first run whose training prompts tell of no warning sign; a review of 50 pairs of it; its student in production, where
people do tell of them; `monitor`, which finds what fails; the next round, which learns from review and failures; and
the comparison with the first run on held-out prompts. A second next round, without the failures, shows what these add.

The reviewer is no person: it is the oracle of the toy world, named "oracle (stand-in)", which also measures the result.
What it reviews are answers to training prompts. No prompt that was reviewed or that failed is among those that measure,
and neither is one of the same family as a logged one.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cai_lite as cai
from cai_lite.embedded.grammar import DOMAINS
from cai_lite.embedded.oracle import keeps
from cai_lite.embedded.prompts import rows
from cai_lite.evaluation.result import read_answers
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.human import iso, read_human
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import load_recipe

REVIEWED, LOGGED, SEED = 50, 400, 0
REVIEWER = "oracle (stand-in)"
RED_FLAG = "red-flag"
POLICY = "medical-embedded"


def main(out: Path, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    first, second = out / "first", out / "second"
    settings = [
        f"prompts.file={_prompts(out)}",
        "evaluate.metrics=[adherence]",
        "evaluate.baselines=[]",
        f"seed={seed}",
    ]
    recipe = ["run", "medical", "--profile", "embedded", *(word for s in settings for word in ("--set", s)), "--json"]
    _, begun = command(*recipe, "--out", str(first))
    show("first run, adherence by the oracle", begun["evaluation"]["metrics"]["adherence"]["principles"])

    reviewed = _reviewed(first, out / "votes.jsonl")
    said = read_human(first / "human.jsonl")
    kappa = reviewed["judge_kappa"]
    print(f"\n{len(said)} votes by {sorted({row.by for row in said})}: {reviewed['raters']}")
    print(f"  kappa with the judge {kappa['value']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}], n {kappa['n']}\n")

    log, failures = _log(out / "log.jsonl", first, seed), out / "failures.jsonl"
    watched = ["monitor", str(log), "--constitution", POLICY, "--run", str(first), "--failures", str(failures)]
    status, found = command(*watched, "--json")
    print(f"\nmonitor: {found['conversations']} conversations, exit status {status}")
    for rate in found["rates"]:
        base = rate["baseline"]["value"] if rate["baseline"] else float("nan")
        found_so = f"broken {rate['broken']} of {rate['n']} (usual {base:.2f}), alarm at {rate['alarm']}"
        if rate["n"]:
            print(f"  {rate['principle']}: {found_so}")
    for theme in found["themes"][:3]:
        print(f"  theme: {theme['n']} of '{theme['family']}' break {', '.join(theme['principles'])}")
    print(f"  {'; '.join(found['notes'])}")

    _next_round("with the failures", second, *recipe, "--from", str(first), "--failures", str(failures))
    _next_round("without them", out / "without", *recipe, "--from", str(first))
    _check_apart(first, second, log)


def _next_round(what: str, out: Path, *words: str) -> None:
    status, ended = command(*words, "--out", str(out))
    since = ended["since"]
    print(f"\nnext round {what}: exit status {status}")
    print(
        f"  {since['asked']:,} calls asked, {since['known']:,} replies taken over; corrections {since['corrections']}"
    )
    show("since the first run, by the oracle, on held-out prompts", since["principles"])
    if "regression" in since:
        show("tests from failures", {"all principles": since["regression"]})
    for gate in ended["evaluation"]["gates"]:
        print(f"  gate {gate['name']} {gate['wanted']}: {gate['found']:.3f} {'holds' if gate['holds'] else 'FAILS'}")


def command(*words: str) -> tuple[int, dict[str, Any]]:
    """Run a command; return its exit status and what it prints as JSON."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "cai_lite", *words], capture_output=True, text=True, check=False)
    print(f"$ cai-lite {' '.join(words)}   ({time.monotonic() - began:.0f} s)", flush=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


def show(title: str, figures: dict[str, Any]) -> None:
    """Print comparisons by name, with their 95 % intervals."""
    print(f"\n{title}")
    for name, figure in figures.items():
        before, after, change = (figure[side] for side in ("before", "after", "change"))
        bounds = f"[{change['low']:+.2f}, {change['high']:+.2f}]"
        print(
            f"  {name}: {before['value']:.2f} -> {after['value']:.2f}, {change['value']:+.2f} {bounds}, n {change['n']}"
        )


def _prompts(out: Path) -> Path:
    """Write the demo's prompts without the training prompts that tell of warning signs."""
    path = Path(load_recipe("medical", profile="embedded").prompts.file)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [row for row in lines if row["split"] == "held_out" or RED_FLAG not in row["tags"]]
    file = out / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return file


def _reviewed(run: Path, file: Path) -> Any:
    """Let the oracle vote on pairs of the run, through the files of `review`; return its agreement with the judge."""
    asked = ["review", str(run), "--pairs", "--random", "--sample", str(REVIEWED), "--json"]
    command(*asked, "--export", str(file))
    items = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    ids = {principle.id for principle in load_constitution(POLICY).principles}
    rules = [rule.id for rule in DOMAINS["medical"].rules if rule.id in ids]
    for item in items:
        asks, answers = item["fields"]["prompt"], [item["fields"][f"response_{letter}"] for letter in "ab"]
        kept = [sum(keeps("medical", id_, asks, answer) is True for id_ in rules) for answer in answers]
        more = kept[0] - kept[1]
        said = "tie" if not more else "a" if more > 0 else "b"
        item["answers"] = {REVIEWER: {"decision": said, "confidence": 10, "at": iso(time.time())}}
    file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return command(*asked, "--import", str(file))[1]


def _log(file: Path, run: Path, seed: int) -> Path:
    """Write what the student of the run answers in production, to prompts that nobody measures."""
    held_out = load_prompts(load_recipe(run / "recipe.yaml").prompts.file).held_out
    texts, families = {prompt.text for prompt in held_out}, {prompt.family for prompt in held_out}
    drawn = rows(DOMAINS["medical"], seed=1000 + seed, train=2 * LOGGED, held_out=0)
    fresh = [row for row in drawn if row["messages"][0]["content"] not in texts and row["family"] not in families]
    random.Random(seed).shuffle(fresh)
    sampling = cai.Sampling(temperature=0.3, max_tokens=96, seed=seed)
    model = cai.open_model("embedded:student", adapter=run / "adapter")
    answers = cai.draft(
        model, [{k: v for k, v in row.items() if k != "split"} for row in fresh[:LOGGED]], sampling=sampling
    )
    lines = [
        {
            "prompt": answer.prompt.text,
            "answer": answer.text,
            "tags": answer.prompt.tags,
            "family": answer.prompt.family,
        }
        for answer in answers
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def _check_apart(first: Path, second: Path, log: Path) -> None:
    """Check that nothing that was reviewed or logged is among the prompts that measure."""
    measured = {row.prompt[-1].content for row in read_answers(second)}
    reviewed = {row.prompt[-1].content for row in read_human(first / "human.jsonl")}
    logged = {json.loads(line)["prompt"] for line in log.read_text(encoding="utf-8").splitlines()}
    assert not measured & (reviewed | logged), "a prompt that measures was reviewed or failed"
    others = f"{len(reviewed)} reviewed and {len(logged)} logged ones"
    print(f"\n{len(measured)} prompts measure; none of them is among {others}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEED)
