"""Plant faults in a copy of the library, one at a time, and say which of them the tests notice.

    python tests/planted.py              # every fault: about a quarter of an hour on two cores
    python tests/planted.py clip votes   # those whose names hold one of these words

A fault is a small change that a person could make by mistake. It is noticed if one of the tests named with it fails;
the whole suite has more tests, so one that survives here may still be noticed there. The copy has no files beside the
repository, as a stranger's clone. Exits with 1 if less than 95 % are noticed, or if a fault no longer fits the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
NOTICED = 0.95


class Fault(NamedTuple):
    """A change of `file` under cai_lite/: `before`, which must stand there once, becomes `after`."""

    name: str
    file: str
    before: str
    after: str
    tests: str


FAULTS = [
    # Those that an earlier version of the tests let pass
    Fault(
        "evaluation on the training prompts",
        "pipeline/steps.py",
        "prompts=prompts.held_out,",
        "prompts=prompts.train,",
        "pipeline/test_walk.py",
    ),
    Fault(
        "temperature left out of a call's key",
        "records.py",
        "return (self.temperature, self.top_p, self.max_tokens,",
        "return (self.top_p, self.max_tokens,",
        "test_records.py",
    ),
    Fault(
        "Retry-After ignored",
        "chat/calling.py",
        "max(fault.pause, backoff(attempts))",
        "backoff(attempts)",
        "chat/test_calling.py::test_a_retry_after_is_waited_for_and_never_hurries_a_call",
    ),
    Fault(
        "a flipped verdict kept at several votes",
        "distill/pairwise.py",
        "if flipped and not all(reply.log_probs for order in self.replies for reply in order):",
        "if flipped and len(read_given) == 1 and not all(r.log_probs for order in self.replies for r in order):",
        "distill/test_verdicts.py",
    ),
    Fault(
        "clipping ignored",
        "training/loop.py",
        "parameters.values(), limit or math.inf)",
        "parameters.values(), math.inf)",
        "training/test_loop.py",
    ),
    # Inputs
    Fault(
        "families split between the sides",
        "inputs/prompts.py",
        "return [row.split or given.get(family) or by_hash(family) for",
        "return [row.split or given.get(family) or by_hash(row.messages[-1].content) for",
        "inputs/test_prompts.py",
    ),
    Fault(
        "training prompts that equal held-out ones kept",
        "inputs/prompts.py",
        'if split == "train" and (words[i] in copies or any(',
        'if split == "train" and (False and any(',
        "inputs/test_prompts.py",
    ),
    Fault(
        "mandatory principles drawn like any other",
        "inputs/constitution.py",
        "by_need = sorted(by_key, key=lambda p: not p.mandatory)",
        "by_need = by_key",
        "inputs/test_constitution.py",
    ),
    Fault(
        "tags of principles ignored",
        "inputs/constitution.py",
        "return not self.applies_to or not set(self.applies_to).isdisjoint(prompt.tags)",
        "return True",
        "inputs/test_constitution.py",
    ),
    Fault(
        "machine checks see letter case",
        "inputs/checks.py",
        "return re.compile(plain(pattern), re.IGNORECASE)\n",
        "return re.compile(plain(pattern))\n",
        "inputs/test_checks.py",
    ),
    # The teacher's half
    Fault(
        "the constitution left out of the teacher's own answers",
        "pipeline/make_pairs.py",
        "sampling=sampling_of(recipe), constitution=constitution, stage=stage",
        "sampling=sampling_of(recipe), stage=stage",
        "pipeline/test_make_pairs.py",
    ),
    Fault(
        "cut drafts kept",
        "distill/reading.py",
        'return None if reply.outcome == "ok" else reply.outcome',
        'return None if reply.outcome in ("ok", "cut") else reply.outcome',
        "distill",
    ),
    Fault(
        "an unreadable critique taken for a violation",
        "distill/critiques.py",
        'violated: Violated = "unreadable" if verdict is None else "no" if',
        'violated: Violated = "no" if',
        "distill/test_stages.py distill/test_faults.py",
    ),
    Fault(
        "revisions that break another principle kept",
        "distill/revisions.py",
        "broken, said = new.violated() & state.kept(), new.said",
        "broken, said = set[str](), new.said",
        "distill/test_stages.py",
    ),
    Fault(
        "revisions aimed at the lowest priority",
        "inputs/constitution.py",
        "return self.priority, -self.weight, self.id",
        "return -self.priority, -self.weight, self.id",
        "distill/test_stages.py",
    ),
    Fault(
        "an unreadable verdict read as a tie",
        "distill/reading.py",
        'if why == "empty" or said is None:\n        return "unreadable"',
        'if why == "empty" or said is None:\n        return 0.5',
        "distill/test_verdicts.py distill/test_faults.py",
    ),
    Fault(
        "the second order read as the first",
        "distill/pairwise.py",
        "p_given, p_swapped = sum(read_given) / len(read_given), 1 - sum(read_swapped) / len(read_swapped)",
        "p_given, p_swapped = sum(read_given) / len(read_given), sum(read_swapped) / len(read_swapped)",
        "distill/test_verdicts.py",
    ),
    Fault(
        "the better side rejected",
        "distill/pairs.py",
        "(first, second) if p_first > 0.5 else (second, first)",
        "(second, first) if p_first > 0.5 else (first, second)",
        "distill/test_pairs.py",
    ),
    Fault(
        "the weights of principles ignored in a pair",
        "distill/pairs.py",
        "return sum(v.weight * _p(v) for v in counted) / sum(v.weight for v in counted)",
        "return sum(_p(v) for v in counted) / len(counted)",
        "distill/test_pairs.py",
    ),
    Fault(
        "no limit on labels after a chain of thought",
        "distill/pairs.py",
        "AFTER_THOUGHT if any(v.reasoned for v in group) else 1.0",
        "AFTER_THOUGHT if all(v.reasoned and v.flipped for v in group) else 1.0",
        "distill/test_pairs.py",
    ),
    Fault(
        "pairs of held-out prompts trained on",
        "pipeline/make_pairs.py",
        "held_out=[prompt.messages for prompt in held_out],",
        "held_out=[],",
        "pipeline/test_make_pairs.py pipeline/test_walk.py",
    ),
    Fault(
        "near copies kept",
        "distill/filters.py",
        "elif seen.matches(whole := _whole(pair)):",
        "elif _Index(None).matches(whole := _whole(pair)):",
        "distill/test_filters.py",
    ),
    Fault(
        "a budget that is never spent",
        "run/ledger.py",
        "if limit is not None and spent >= limit:",
        "if limit is not None and spent > 1000 * limit:",
        "run/test_ledger.py chat/test_asking.py",
    ),
    # Training
    Fault(
        "the reference computed with the adapter",
        "training/reference.py",
        "with model.disable_adapter() if initial is None else nullcontext():",
        "with nullcontext():",
        "training/test_loop.py",
    ),
    Fault(
        "soft labels ignored",
        "training/losses.py",
        "p_B = logits_B.new_ones(logits_B.shape) if p_chosen is None else p_chosen.to(logits_B)",
        "p_B = logits_B.new_ones(logits_B.shape)",
        "training/test_losses.py",
    ),
    Fault(
        "beta left out of DPO",
        "training/losses.py",
        "logits_B = beta * _margin(policy, reference)\n    p_B",
        "logits_B = _margin(policy, reference)\n    p_B",
        "training/test_losses.py",
    ),
    Fault(
        "the last token of a completion not scored",
        "training/batch.py",
        "return [(row.prompt_ids, ids) for row in rows for ids in row.completions]",
        "return [(row.prompt_ids, ids[:-1]) for row in rows for ids in row.completions]",
        "training/test_loop.py training/test_batch.py",
    ),
    Fault(
        "the prompt scored with the completion",
        "logps/layout.py",
        "last = len(self.ids) - sum(sizes) - 1  #",
        "last = len(self.ids) - sum(sizes) - 2  #",
        "logps/test_layout.py",
    ),
    Fault(
        "each pass averaged by itself",
        "training/methods/dpo.py",
        "LOSSES[config.loss.name](pairs, before, **options) / len(update)",
        "LOSSES[config.loss.name](pairs, before, **options) / len(rows)",
        "training/test_loop.py",
    ),
    Fault(
        "gradients kept from one step to the next",
        "training/loop.py",
        "        optimizer.zero_grad(set_to_none=True)\n        ranks.spread(parameters.values())\n        seconds",
        "        ranks.spread(parameters.values())\n        seconds",
        "training/test_loop.py training/test_oracles.py",
    ),
    Fault(
        "the gradients of processes added in another order",
        "training/ranks.py",
        "for part in received.view(world_size, -1):",
        "for part in received.view(world_size, -1).flip(0):",
        "training/test_ranks.py",
    ),
    Fault(
        "every epoch in the same order",
        "training/batch.py",
        'random.Random(f"{config.seed}:{epoch}")',
        'random.Random(f"{config.seed}")',
        "training/test_batch.py training/test_loop.py",
    ),
    Fault(
        "no warm-up",
        "training/optim.py",
        "return peak * done / warmup",
        "return peak",
        "training/test_loop.py training/test_config.py",
    ),
    Fault(
        "a resume that begins one step early",
        "training/loop.py",
        "islice(updates(len(rows), config), start, total), start + 1)",
        "islice(updates(len(rows), config), max(0, start - 1), total), start + 1)",
        "training/test_loop.py training/test_checkpoint.py",
    ),
    # Evaluation and report
    Fault(
        "a gate that holds without its figure",
        "evaluation/gates.py",
        "        holds = (\n            value is not None\n            and {",
        "        holds = (\n            value is None\n            or {",
        "evaluation/test_gates.py",
    ),
    Fault(
        "an empty answer keeps every principle",
        "evaluation/deciders.py",
        "passed = principle.checks.passed(candidate.text) if candidate.text.strip() else False",
        "passed = principle.checks.passed(candidate.text)",
        "evaluation/test_deciders.py",
    ),
    Fault(
        "intervals over prompts, not over families",
        "stats.py",
        'names = [own if name == "" else name for name, own in zip(families, alone, strict=True)]',
        "names = alone",
        "test_stats.py",
    ),
    Fault(
        "p-values not adjusted",
        "stats.py",
        "highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))",
        "highest = p_values[i]",
        "test_stats.py",
    ),
    Fault(
        "before and after exchanged in the win rate",
        "evaluation/winrate.py",
        ".append((1 - v.p_first, longer, v.weight))",
        ".append((v.p_first, longer, v.weight))",
        "evaluation/test_winrate.py",
    ),
    Fault(
        "the adapter left on for the text before training",
        "evaluation/drift.py",
        "with model.disable_adapter():\n            before = text_losses(model, tokenizer, texts)",
        "before = text_losses(model, tokenizer, texts)",
        "evaluation/test_drift.py",
    ),
    Fault(
        "a changed file taken for the run's own",
        "run/files.py",
        "wrong += list(differences(recorded, found, mine))",
        "pass",
        "run/test_files.py reporting/test_damage.py",
    ),
    Fault(
        "texts of models written as HTML",
        "reporting/html.py",
        "    return html.escape(plain(str(part)))",
        "    return str(part)",
        "reporting/test_html.py",
    ),
    Fault(
        "monitor: the baseline taken for exact",
        "serving/change.py",
        "self.bound = min(self.bound, upper_bound(self.broken, self.seen, self.chance))",
        "self.bound = min(self.bound, self.broken / max(self.seen, 1))",
        "serving/test_change.py",
    ),
    Fault(
        "monitor: failing prompts stored as they are",
        "serving/telemetry.py",
        "rules.redacted_messages(asked.logged.prompt)",
        "[message._asdict() for message in asked.logged.prompt]",
        "serving/test_monitor.py::test_nothing_personal_is_stored",
    ),
    Fault(
        "monitor: decisions of a killed reading counted twice",
        "serving/monitoring.py",
        "os.truncate(file, size)",
        "pass",
        "serving/test_monitor.py::test_read_in_parts_and_after_kills_it_comes_to_the_same",
    ),
]


def main(words: list[str]) -> int:
    """Plant the faults, print a line for each, and return the exit code."""
    chosen = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    survived, unfit = [], []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in files.splitlines():
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        for fault in chosen:
            path = copy / "cai_lite" / fault.file
            whole = path.read_text(encoding="utf-8") if path.is_file() else ""
            began = time.monotonic()
            if not fault.before or whole.count(fault.before) != 1:
                unfit.append(fault.name)
                said = "DOES NOT FIT THE CODE"
            else:
                path.write_text(whole.replace(fault.before, fault.after), encoding="utf-8")
                first = _first_failure(copy, fault.tests.split())
                path.write_text(whole, encoding="utf-8")
                said = f"noticed by {first}" if first else "SURVIVED"
                survived += [] if first else [fault.name]
            print(f"{time.monotonic() - began:5.0f} s  {fault.name}: {said}", flush=True)
    noticed = len(chosen) - len(survived) - len(unfit)
    print(f"planted {len(chosen)}, noticed {noticed}, survived {len(survived)}, no longer fit the code {len(unfit)}")
    return 0 if not unfit and noticed >= NOTICED * len(chosen) else 1


def _first_failure(copy: Path, tests: list[str]) -> str:
    """Return the first test that fails in the copy, or ""."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [*command, *(f"tests/{name}" for name in tests)],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 0:
        return ""
    failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0].split(" ", 1)[1] if failed else f"exit {ran.returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
