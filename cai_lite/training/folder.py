"""What a training leaves in its folder: adapter/, training.json, metrics.jsonl, and while it runs checkpoints/.

training.json holds the identity of the training: digests of the base model, the settings and the data. The same call
on the same folder finds its own identity there and goes on, or is done already; any other moves the output aside.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.chat.bases import write_record
from cai_lite.chat.rendering import write_template
from cai_lite.chat.weights import folder_digest
from cai_lite.errors import InputError
from cai_lite.run.files import append_line, file_digests, is_sealed, move_aside, sealed, share, unfit, write_text
from cai_lite.training.tokens import TokenReport

OUTPUT = ("adapter", "checkpoints", "metrics.jsonl", "tensorboard", "training.json")
ASIDE = "training"  # what is moved aside goes to training.1, training.2, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The outcome of a training.

    `adapter`: the peft folder. `steps`: updates in all; `resumed_from`: the update that this call continued from, 0 for
    a fresh start. `report`: what became of the data; `last`: the last line of metrics.jsonl. `best`: the update whose
    weights were kept, if there were evaluations and `keep` is "best". `skipped`: number of updates that were skipped,
    because a number was not finite. `figures`: what the method measured on held-out examples once all was trained.
    `world_size`: the number of processes that it was trained by, at the end.
    """

    adapter: Path
    steps: int
    resumed_from: int
    report: TokenReport
    last: dict[str, float]
    best: int | None = None
    skipped: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)
    world_size: int = 1


class Initial(NamedTuple):
    """The adapter that a training begins from: its folder, and the digest of its files."""

    folder: str
    digest: str


def initial_adapters(out: Path, init_adapter: str | None) -> list[Initial | None]:
    """Return what `init_adapter` may mean, the adapter that a new training begins from first.

    There are two where it is the adapter of `out` itself: the one in place, and the newest one that was moved aside. A
    training that begins from its own folder's adapter moves it aside, and in the end puts the result in its place.

    Raises:
        InputError: no adapter is there.
    """
    if init_adapter is None:
        return [None]
    path, root = Path(init_adapter).resolve(), out.resolve()
    aside: list[Path] = []
    if path.is_relative_to(root):
        numbers = sorted(int(folder.suffix[1:]) for folder in root.glob(f"{ASIDE}.*") if folder.suffix[1:].isdigit())
        older = (out / f"{ASIDE}.{number}" / path.relative_to(root) for number in reversed(numbers))
        aside = [folder for folder in older if _is_adapter(folder)][:1]
    found = [folder for folder in (Path(init_adapter), *aside) if _is_adapter(folder)]
    if not found:
        raise InputError(f"train.init_adapter: {init_adapter} is not a peft adapter (adapter_config.json not found)")
    return [Initial(str(folder), folder_digest(folder)) for folder in found]


def recorded(out: Path) -> dict[str, Any]:
    """Return training.json, or an empty mapping where no training has begun.

    Raises:
        InputError: it is damaged.
    """
    file = out / "training.json"
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read; put back a copy, or delete it to train again") from error


def finished(out: Path, identity: Mapping[str, str], log: Callable[[str], None]) -> TrainingResult | None:
    """Return the result of a finished training with this identity, or None.

    Raises:
        InputError: the base model changed in the middle of the training that stands there, or its files are damaged.
    """
    record = recorded(out)
    if not record:
        return None
    if record["identity"] != identity and is_sealed(record):
        if "base" in _changed(record, identity) and _half_done(out, record) and "stopped" not in record:
            raise InputError(
                f"{out}: the student changed in the middle of a training; take the old one, or another --out"
            )
        return None
    if not record["finished"] or not (out / "adapter").is_dir():
        return None
    if damaged := intact(out):
        raise InputError(
            f"{', '.join(str(out / name) for name in damaged)}: damaged since the training ended; put back a copy, or "
            f"delete {out / 'adapter'} and {out / 'training.json'} to train again"
        )
    log(f"trained already: {record['steps']} steps")
    report = TokenReport(**{**record["report"], "lengths": tuple(record["report"]["lengths"])})
    return TrainingResult(
        adapter=out / "adapter",
        steps=record["steps"],
        resumed_from=record["steps"],
        report=report,
        last=record["last"],
        best=record.get("best"),
        skipped=record.get("skipped", 0),
        figures=record.get("figures", {}),
        world_size=record.get("world_size", 1),
    )


def intact(out: Path) -> list[str]:
    """Return the files of a finished training that are not as it wrote them: training.json, and those of adapter/."""
    record = recorded(out)
    own = [] if is_sealed(record) else ["training.json"]
    return own + [name for name in unfit(out, record.get("sha256", {})) if name.startswith("adapter/")]


def date_of(out: Path, identity: Mapping[str, str]) -> Date:
    """Return the date that chat templates write in this training: today, or the day on which it began."""
    record = recorded(out)
    if record.get("identity") == identity and "date" in record:
        return Date.fromisoformat(record["date"])
    return Date.today()


def begin(
    out: Path,
    identity: Mapping[str, str],
    log: Callable[[str], None],
    *,
    today: Date | None = None,
    method: str = "dpo",
) -> None:
    """Record that a training with this identity has begun; the output of any other one is moved aside.

    `today`: the date that the chat template writes, if it writes one; a later resume trains the same tokens.
    `method`: as `method_of` reads it; "dpo" is not written, since it was the only one in earlier versions.
    """
    record = recorded(out)
    same = record.get("identity") == identity
    if same and not record["finished"]:
        if why := record.get("stopped"):
            log(f"warning: this training stopped before, and may stop in the same way again: {why}")
        return
    if _half_done(out, record) or record.get("finished") or (out / "adapter").is_dir():
        aside = move_aside(out, OUTPUT, ASIDE)
        why = " and ".join(_changed(record, identity)) or "adapter"
        log(f"{why} changed: training anew; the old output is in {aside}")
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {} if today is None else {"date": today.isoformat()}
    if method != "dpo":
        written["method"] = method
    write_text(out / "training.json", json.dumps({"identity": identity, "finished": False, **written}))


def stop(out: Path, why: str) -> None:
    """Record why a training cannot go on as it is, for whoever starts it again; its checkpoints stay."""
    write_text(out / "training.json", json.dumps({**recorded(out), "stopped": why}))


def note_tracker(out: Path, tracker: str, run: str) -> None:
    """Record the id under which a tracker knows the training, for a resume to go on there."""
    record = recorded(out)
    trackers = {**record.get("trackers", {}), tracker: run}
    write_text(out / "training.json", json.dumps({**record, "trackers": trackers}))


def finish(out: Path, identity: Mapping[str, str], result: TrainingResult) -> None:
    """Record that a training is finished, and delete its checkpoints."""
    begun = recorded(out)
    record = {
        "identity": identity,
        **{name: value for name, value in begun.items() if name in ("date", "method", "trackers")},
        "steps": result.steps,
        "finished": True,
        "last": result.last,
        "best": result.best,
        "world_size": result.world_size,
        **({"skipped": result.skipped} if result.skipped else {}),
        **({"figures": dict(result.figures)} if result.figures else {}),
        "report": dataclasses.asdict(result.report),
        "sha256": {
            name: sha
            for name, sha in file_digests(out).items()
            if name == "metrics.jsonl" or (name.startswith("adapter/") and name != "adapter/README.md")  # the card
        },
    }
    write_text(out / "training.json", json.dumps(sealed(record), indent=1))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def save_adapter(
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    template: Mapping[str, Any] | None = None,
    served: str | None = None,
    base: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write the adapter in peft's own format, with the tokenizer and its chat template; written aside, then renamed.

    `template`: variables of the chat template, written to template.json. `served`: the chat template to save, in which
    they are set. `base`: the record of the model that it was trained on. `files`: further files, text by name.
    """
    partial = folder.with_name(".adapter.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # "auto" would ask the hub whether the vocabulary grew; LoRA never grows it.
    model.save_pretrained(str(partial), safe_serialization=True, save_embedding_layers=False)
    own = tokenizer.chat_template
    try:
        if served is not None:
            tokenizer.chat_template = {**own, "default": served} if isinstance(own, dict) else served
        tokenizer.save_pretrained(str(partial))
    finally:
        tokenizer.chat_template = own
    write_template(partial, template)
    if base is not None:
        write_record(partial, base)
    for name, text in (files or {}).items():
        write_text(partial / name, text)
    share(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


class Metrics:
    """Append one line per step to metrics.jsonl.

    On resume, lines after the last checkpoint are removed, so that no step appears twice. `tell`: is called with each
    line that was written.
    """

    def __init__(self, path: Path, start: int, tell: Callable[[Mapping[str, float]], None]) -> None:
        self._path, self._tell = path, tell
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_text(path, "".join(line + "\n" for line in lines[:start] if line.endswith("}")))

    def last(self, count: int) -> list[dict[str, float]]:
        """Return the last `count` lines, without those of skipped updates."""
        lines = map(json.loads, self._path.read_text(encoding="utf-8").splitlines()[-count:])
        return [line for line in lines if "skipped" not in line]

    def add(self, line: Mapping[str, float]) -> None:
        append_line(self._path, json.dumps(line))
        self._tell(line)


def _half_done(out: Path, record: Mapping[str, Any]) -> bool:
    return not record.get("finished") and any((out / "checkpoints").glob("step-*"))


def _changed(record: Mapping[str, Any], identity: Mapping[str, str]) -> list[str]:
    before = record.get("identity", identity)
    return [what for what in {**identity, **before} if before.get(what) != identity.get(what)]


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()
