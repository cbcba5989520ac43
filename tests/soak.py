"""`make soak`: everything that may go wrong from outside, many times over, and a table of what was tried and lost.

    python -m tests.soak --seed 1 --out soak.json       all of it, under 20 minutes on two cores
    python -m tests.soak --only kills "full disks"      some of it

Kills and full disks run the real command in processes that are forked from this one, which has imported everything but
computed nothing; a teacher of a few lines answers them over HTTP. The other parts are tests, run with more examples;
what they tried is counted while they run (`tests/counting.py`). Exit status 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import importlib
import json
import mmap
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KILLS, STOPS, DISKS, FUZZ = 120, 20, 12, 6000
ROOM = 4 << 30  # bytes of the file system in memory; it takes no more than what it holds
AT_ONCE = 4  # calls under way at the teacher
SECONDS = 0.004  # that the teacher takes for an answer
SAME = ("pairs.jsonl", "adapter/adapter_model.safetensors", "evaluation.json")  # bytes that no interruption may change
RECIPE = """
constitution: medical-embedded
prompts: {{file: prompts.jsonl}}
teacher: {{url: "{url}", model: m, concurrency: {at_once}}}
student: {{model: "embedded:student"}}
draft: {{from: teacher, n: 2}}
critique: {{principles_per_draft: 1}}
revise: {{rounds: 1}}
judge: {{log_probs: never, principles: 1}}
pair: {{rules: [revision_over_draft], min_margin: 0.1, near: null}}
train: {{max_steps: 12, batch_size: 4, lora: {{rank: 2}}, checkpoint_every: 1}}
evaluate: {{metrics: [adherence]}}
"""


@dataclass
class Row:
    """A line of the table. `notes`: what was lost, in words; `parts`: the tried ones by kind."""

    what: str
    tried: int = 0
    lost: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)

    def lose(self, number: int, why: str) -> None:
        self.lost += number
        self.notes.append(why)


# ---- the teacher, in a process of its own


def answer(text: str, seed: int | None) -> str:
    """Drafts are bad and revisions are good; critiques and verdicts say so."""
    if "Begin with one letter" in text:
        return "A" if text.index("bad answer") > text.index("good") else "B"
    if "Rewrite the reply" in text:
        return f"A good answer, number {len(text)}, to {text.split('end>>')[0][-40:]}"
    if "Begin with one word" in text:
        return "No, it is bad." if "bad answer" in text else "Yes, it is good."
    return f"A bad answer to {text[:60]} ({seed})"


def serve(port: int) -> None:
    """Answer chat completions; GET returns how often each request was answered, and begins to count anew."""
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = body["messages"][-1]["content"]
            time.sleep(SECONDS)
            with lock:
                asked[json.dumps([body.get("seed"), text])] += 1
            message = {"role": "assistant", "content": answer(text, body.get("seed"))}
            self.send({
                "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            })  # fmt: skip

        def do_GET(self) -> None:
            with lock:
                found = {"calls": len(asked), "asked": sum(asked.values())}
                asked.clear()
            self.send(found)

        def send(self, found: object) -> None:
            data = json.dumps(found).encode()
            with suppress(ConnectionError):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # who asked was killed

    owner = Server(("127.0.0.1", port), Handler)
    print(owner.server_port, flush=True)
    owner.serve_forever()


@contextmanager
def teacher() -> Iterator[str]:
    """Yield the address of the teacher."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak", "--teacher"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def counted(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=30) as answered:
        return dict(json.load(answered))


# ---- a run of the command in a forked process


class Chain:
    """One run directory, which the same command works on again and again."""

    def __init__(self, recipe: Path, out: Path, stage: mmap.mmap) -> None:
        self.recipe, self.out, self._stage = recipe, out, stage
        self.said = out.with_suffix(".said")

    def start(self) -> int:
        """Start the command and return the id of its process."""
        self._stage[:32] = b"start".ljust(32)
        child = os.fork()
        if child:
            return child
        status = 70
        try:
            os.setpgid(0, 0)
            with self.said.open("w") as said:
                os.dup2(said.fileno(), 2)
                os.dup2(said.fileno(), 1)
            self._run()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 71
        finally:
            os._exit(status)

    def _run(self) -> None:
        from cai_lite import __main__ as command
        from cai_lite.run.progress import Screen

        shown = Screen.stage

        def stage(screen: Screen, name: str):  # type: ignore[no-untyped-def]
            self._stage[:32] = name.encode()[:32].ljust(32)
            return shown(screen, name)

        Screen.stage = stage  # type: ignore[method-assign]
        sys.argv = ["cai-lite", "run", str(self.recipe), "--out", str(self.out), "--quiet"]
        command.main()

    @property
    def stage(self) -> str:
        return self._stage[:32].decode().strip()

    def end(self, process: int) -> int:
        """Return the exit status of a process, or -N where signal N ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def whole(self) -> str:
        """Run to the end, and return what is wrong with it, or ""."""
        status = self.end(self.start())
        return "" if status == 0 else f"{self.out.name}: status {status}: {self.last()}"

    def last(self) -> str:
        return (self.said.read_text(errors="replace").strip().splitlines() or ["said nothing"])[-1]

    def traceback(self) -> bool:
        return "Traceback" in self.said.read_text(errors="replace")

    def differences(self, other: Path) -> str:
        """Return what differs from an unbroken run, or what `audit --verify` finds; "" if nothing."""
        from cai_lite.reporting.audit import verify

        for name in SAME:
            if not (self.out / name).is_file() or (self.out / name).read_bytes() != (other / name).read_bytes():
                return f"{self.out.name}: {name} differs from the unbroken run's"
        return "; ".join(verify(self.out))


class Walk:
    """The unbroken run that all others are compared with, and the means to begin others like it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.stage = mmap.mmap(-1, 32)
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(RECIPE.format(url=url, at_once=AT_ONCE))
        rows = [
            {"prompt": f"I have had pain number {i} since Monday.", "family": str(i), "split": split}
            for i, split in enumerate(["train"] * 14 + ["held_out"] * 6)
        ]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        modules = folder / "modules.json"
        self._imported(modules)
        for name in json.loads(modules.read_text()):
            with suppress(Exception):  # some modules cannot be imported by name
                importlib.import_module(name)
        from cai_lite.run.ledger import Run

        Run(folder / "begun").close()  # its secret is in all runs, so that all ask the same
        counted(url)
        unbroken = self.begin("unbroken")
        began = time.monotonic()
        if wrong := unbroken.whole() or unbroken.differences(unbroken.out):
            raise SystemExit(f"soak: the unbroken run failed: {wrong}\n{unbroken.said.read_text()}")
        self.seconds = time.monotonic() - began
        self.out, self.calls = unbroken.out, counted(url)["calls"]

    def _imported(self, modules: Path) -> None:
        """Note the modules that a run imports, in a process that is forgotten."""
        code = (
            "import json, sys\nfrom pathlib import Path\nfrom cai_lite.pipeline.recipe import load_recipe\n"
            "from cai_lite.pipeline.walk import run_recipe\n"
            "run_recipe(load_recipe(sys.argv[1]), Path(sys.argv[2]), quiet=True)\n"
            "Path(sys.argv[3]).write_text(json.dumps(list(sys.modules)))\n"
        )
        command = [sys.executable, "-c", code, str(self.recipe), str(self.folder / "first"), str(modules)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"soak: the first run failed:\n{done.stderr}")

    def begin(self, name: str, out: Path | None = None) -> Chain:
        place = out or self.folder / name
        shutil.copytree(self.folder / "begun", place, dirs_exist_ok=True)
        return Chain(self.recipe, place, self.stage)


# ---- the parts


def interrupted(row: Row, walk: Walk, rng: random.Random, number: int, signals: dict[int, int | None]) -> None:
    """Interrupt chains until there were `number` interruptions; each chain must end as the unbroken run.

    `signals`: the signals to send, each with the exit status that must follow; None where the process just dies.
    """
    mean, chains = walk.seconds / 6, 0
    while row.tried < number:
        chain = walk.begin(f"{row.what.split()[0]}-{chains}")
        chains, tried, wrong = chains + 1, 0, ""
        while not wrong:
            process = chain.start()
            ends = time.monotonic() + 0.01 + rng.expovariate(1 / mean)
            over, code = 0, 0
            while not over and time.monotonic() < ends:
                time.sleep(0.001)
                over, code = os.waitpid(process, os.WNOHANG)
            if not over:
                sent = rng.choice(list(signals))
                stage = chain.stage
                os.kill(process, sent)
                tried += 1
                row.parts[stage] = row.parts.get(stage, 0) + 1
                code = os.waitpid(process, 0)[1]
            status = os.waitstatus_to_exitcode(code)
            if over or status == 0:
                wrong = "" if status == 0 else f"{chain.out.name}: status {status}: {chain.last()}"
                break
            expected = -sent if signals[sent] is None else signals[sent]
            if status != expected or chain.traceback():
                wrong = f"{chain.out.name}: status {status} after signal {sent} in '{stage}': {chain.last()}"
        wrong = wrong or chain.differences(walk.out)
        found = counted(walk.url)
        twice = found["asked"] - found["calls"]
        if not wrong and (found["calls"] != walk.calls or twice > tried * AT_ONCE):
            wrong = f"{chain.out.name}: {found['calls']} calls of {walk.calls}, {twice} asked again"
        row.tried += tried
        if wrong:
            row.lose(tried, wrong)
            counted(walk.url)
        shutil.rmtree(chain.out)


def kills(row: Row, walk: Walk, rng: random.Random) -> None:
    interrupted(row, walk, rng, KILLS, {signal.SIGKILL: None})


def stops(row: Row, walk: Walk, rng: random.Random) -> None:
    interrupted(row, walk, rng, STOPS, {signal.SIGTERM: 143, signal.SIGINT: 130})


def full_disks(row: Row, walk: Walk, rng: random.Random) -> None:
    """Fill the disk at a moment of the run; with space again, the same command must end as the unbroken run.

    The disk is a file system in memory that shrinks to what it holds; where this user may mount none, the process may
    write no further than a few bytes into any file.
    """
    place = walk.folder / "disk"
    place.mkdir()
    mounts = mounted(place, ROOM)
    if mounts:
        unmount(place)
    while row.tried < DISKS:
        if mounts:
            mounted(place, ROOM)
        chain = walk.begin(f"disk-{row.tried}", place / "run")
        chain.said = walk.folder / "disk.said"
        process = chain.start()
        time.sleep(walk.seconds * (row.tried + rng.random()) / (DISKS + 1))
        stage = chain.stage
        if mounts:
            shrink(place)
        else:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (512, 512))
        status, said = chain.end(process), chain.last()
        if mounts:
            subprocess.run(["mount", "-o", f"remount,size={ROOM}", str(place)], check=True)
        if status:  # else it had ended before
            row.tried += 1
            row.parts[stage] = row.parts.get(stage, 0) + 1
            wrong = ""
            if status != 3 or chain.traceback() or "could not be written" not in said:
                wrong = f"disk {row.tried}, in '{stage}': status {status}: {said}"
            if wrong := wrong or chain.whole() or chain.differences(walk.out):
                row.lose(1, wrong)
        if mounts:
            unmount(place)
        else:
            shutil.rmtree(place / "run")


def shrink(place: Path) -> None:
    """Leave no space on a file system in memory."""
    while True:
        used = shutil.disk_usage(place).used
        if not subprocess.run(["mount", "-o", f"remount,size={used}", str(place)], capture_output=True).returncode:
            return


def mounted(place: Path, size: int) -> bool:
    """Mount a file system of so many bytes in memory; return False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


def hostile(row: Row, folder: Path, seed: int) -> None:
    """Open and ask each model of `tests/chat/hostile.py`, in a process that any of them may end."""
    module = importlib.import_module("tests.chat.hostile")
    told = folder / "hostile.jsonl"
    child = os.fork()
    if not child:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with told.open("w", buffering=1) as file:
            good = module.sound(folder / "sound")
            for number, case in enumerate(module.CASES):
                wrong = module.trial(good, case, folder / f"hostile-{number}")[0]
                file.write(json.dumps([case.name, wrong]) + "\n")
        os._exit(0)
    os.waitpid(child, 0)
    row.tried = len(module.CASES)
    ended = dict(map(json.loads, told.read_text().splitlines()))
    for case in module.CASES:
        if wrong := ended.get(case.name, f"{case.name}: the process ended"):
            row.lose(1, wrong)


@dataclass(frozen=True)
class Tests:
    """A part that consists of tests. `each`: examples of each test, where the tests are fuzzed."""

    paths: tuple[str, ...]
    each: int = 0

    def __call__(self, row: Row, folder: Path, seed: int) -> None:
        counts = folder / "counts.json"
        environment = {**os.environ, "SOAK_COUNTS": str(counts)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.counting", "-n", "2", "--tb=short", *self.paths]
        if self.each:
            environment["FUZZ_EXAMPLES"] = str(self.each)
            command += [f"--hypothesis-seed={seed}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if not counts.is_file():
            row.lose(1, f"pytest: {(done.stdout + done.stderr).strip()[-500:]}")
            return
        for name, test in json.loads(counts.read_text()).items():
            if test["skipped"]:
                row.notes.append(f"skipped: {name}")
                continue
            row.tried += int(test["tried"])
            if test["failed"] or test.get("lost"):
                row.lose(max(1, int(test.get("lost", 0))), name)
            elif self.each:
                row.parts[name.split("::")[1]] = int(test["tried"])
        if done.returncode and not row.lost:
            row.lose(1, f"pytest: {done.stdout.strip()[-500:]}")
        counts.unlink()


READERS = (
    "test_a_preference_file_is_read_or_refused",
    "test_a_prompts_file_is_read_or_refused",
    "test_a_constitution_is_read_or_refused",
    "test_a_recipe_is_read_or_refused_and_reads_as_it_resolves",
    "test_an_override_is_read_or_refused",
)
FORGERIES = (
    "test_a_forged_end_of_the_material_does_not_let_a_candidate_out_of_it",
    "test_a_forged_end_of_the_material_does_not_move_a_critic",
)
WALKED: dict[str, Callable[[Row, Walk, random.Random], None]] = {
    "kills": kills,
    "stops by SIGTERM and Ctrl-C": stops,
    "full disks": full_disks,
}
TESTED: dict[str, Callable[[Row, Path, int], None]] = {
    "damages": Tests(("tests/reporting/test_damage.py::test_every_planted_damage_is_noticed",)),
    "evil replies": Tests(
        ("tests/chat/test_calling.py::test_an_evil_reply_is_a_typed_fault_and_the_next_call_is_answered",)
    ),
    "hostile models and templates": hostile,
    "canaries": Tests(tuple(f"tests/distill/test_canaries.py::{name}" for name in FORGERIES)),
    "fuzzed inputs": Tests(tuple(f"tests/inputs/test_fuzz.py::{name}" for name in READERS), each=FUZZ),
}


def table(rows: list[Row], seconds: float) -> str:
    width = max(len(row.what) for row in rows)
    lines = [f"{'':{width}}  {'tried':>7}  {'survived':>8}  {'lost':>5}  {'seconds':>7}"]
    for row in rows:
        counts = f"{row.tried:7,}  {row.tried - row.lost:8,}  {row.lost:5,}  {row.seconds:7,.0f}"
        lines.append(f"{row.what:{width}}  {counts}")
        if row.parts:
            lines.append("    " + ", ".join(f"{name} {n:,}" for name, n in row.parts.items()))
        lines += [f"    {'LOST: ' if row.lost else ''}{note}" for note in row.notes[:8]]
    return "\n".join([*lines, f"{seconds / 60:.1f} minutes"])


def main() -> int:
    names = [*WALKED, *TESTED]
    options = argparse.ArgumentParser(prog="python -m tests.soak", description="Try what may go wrong, many times.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, help="also write the table as JSON")
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART", help="; ".join(names))
    options.add_argument("--teacher", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.teacher:
        serve(0)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    rows, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, teacher() as url:
        folder = Path(name)
        walk = Walk(folder, url) if set(given.only) & WALKED.keys() else None
        for what in given.only:
            row, started = Row(what), time.monotonic()
            if what in WALKED:
                assert walk is not None
                WALKED[what](row, walk, random.Random(f"{given.seed} {what}"))
            else:
                try:
                    TESTED[what](row, folder, given.seed)
                except ImportError as error:
                    row.lose(1, f"not in this checkout: {error}")
            row.seconds = time.monotonic() - started
            if not row.tried:
                row.lose(1, "nothing was tried")
            rows.append(row)
            print(f"{what}: tried {row.tried:,}, lost {row.lost:,} ({row.seconds:,.0f} s)", file=sys.stderr, flush=True)
    print(table(rows, time.monotonic() - began))
    if given.out is not None:
        found = {"seed": given.seed, "seconds": time.monotonic() - began, "rows": [asdict(row) for row in rows]}
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(row.lost for row in rows))


if __name__ == "__main__":
    sys.exit(main())
