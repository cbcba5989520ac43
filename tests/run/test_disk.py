"""A disk that is full, read-only or gone at any write: one sentence, exit status 3, and the same command resumes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import CaiError, DiskError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.run import files, ledger
from cai_lite.run.disk import disk_error, writing
from cai_lite.run.files import append_line, share, write_aside, write_manifest, write_text
from cai_lite.run.ledger import Run

REASONS = {
    errno.ENOSPC: "no space is left on the disk (",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "it is read-only for this user",
    errno.EACCES: "it is read-only for this user",
    errno.EIO: "the folder is gone, or its disk no longer answers",
    errno.ENODEV: "the folder is gone, or its disk no longer answers",
    errno.EFBIG: "the largest size of a file is reached",
}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("number", REASONS)
def test_an_error_of_the_system_says_what_where_why_and_what_to_do(tmp_path, number):
    with pytest.raises(DiskError) as told, writing(tmp_path / "pairs.jsonl"):
        raise OSError(number, os.strerror(number))
    said = str(told.value)
    assert said.startswith(f"{tmp_path / 'pairs.jsonl'} could not be written: {REASONS[number]}")
    assert said.endswith("run the same command again") and "\n" not in said
    assert isinstance(told.value, CaiError) and isinstance(told.value, OSError)


def test_errors_of_other_libraries_are_understood(tmp_path):
    class SafetensorError(Exception):
        pass

    rust = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "no space is left" in str(disk_error(rust))
    assert "no space is left" in str(disk_error(FileNotFoundError(2, "No usable temporary directory found in ['/t']")))
    for code, said in ((13, "no space"), (8, "read-only"), (10, "no longer answers"), (14, "no longer answers")):
        error = sqlite3.OperationalError("any words")
        error.sqlite_errorcode = code
        assert said in str(disk_error(error, tmp_path / "run.db")), code


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(2, "no"), OSError("words"), sqlite3.DatabaseError()], ids=repr
)
def test_other_errors_pass_as_they_are(tmp_path, error):
    assert disk_error(error) is None
    with pytest.raises(type(error)) as told, writing(tmp_path):
        raise error
    assert told.value is error


def test_a_folder_that_vanishes_is_told_from_one_that_never_was(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DiskError, match="the folder is gone"), writing(tmp_path / "run" / "x"):
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run" / "x").touch()
    with pytest.raises(FileNotFoundError), writing(tmp_path / "run" / "x"):
        (tmp_path / "run" / "x").touch()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "pairs.jsonl"
    write_text(path, "old\n")
    monkeypatch.setattr(files.os, "fsync", full)
    for write in (write_text, write_aside):
        with pytest.raises(DiskError):
            write(path, "new\n")
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]


def test_dev_full_is_a_full_disk():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with pytest.raises(DiskError, match="/dev/full could not be written: no space is left on the disk"):
        append_line(Path("/dev/full"), "line")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664), (0o077, 0o600)])
def test_every_file_is_as_readable_as_its_neighbours(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        folder = tmp_path / "adapter"
        (folder / "inner").mkdir(parents=True)
        for file in (folder / "a", folder / "inner" / "b"):
            file.touch(mode=0o600)  # as libraries do that write to a temporary file first
        share(folder)
        write_text(folder / "c", "text")
        append_line(folder / "d", "text")
        run = Run(folder / "run")
        run.count("draft", {"ok": 1})
        found = {file.name: file.stat().st_mode for file in folder.rglob("*") if file.is_file()}
        run.close()
    finally:
        os.umask(before)
    assert {"a", "b", "c", "d", "run.db", "run.db-wal", ".lock", ".lock.json"} <= set(found)
    assert {rights & 0o444 for rights in found.values()} == {mode & 0o444}


class Failing:
    """Counts what a walk writes to the ledger and to files, and lets each write from the n-th on fail."""

    def __init__(self, monkeypatch, at):
        import safetensors.torch

        self.done, self.at = 0, at
        for owner, name, fail in (
            (files.os, "fsync", full),
            (Run, "_put", self.full_database),
            (safetensors.torch, "save_file", self.full_for_rust),
        ):
            monkeypatch.setattr(owner, name, self.counting(getattr(owner, name), fail))

    def counting(self, write, fail):
        def counted(*args, **more):
            self.done += 1
            if self.at is not None and self.done >= self.at:
                fail()
            return write(*args, **more)

        return counted

    def full_database(self):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    def full_for_rust(self):
        raise Exception("Error while serializing: I/O error: No space left on device (os error 28)")


SMALL = [
    "prompts.limit=4",
    "prompts.eval_limit=4",
    "draft.n=2",
    "train.epochs=1",
    "train.checkpoint_every=1",
    "pair.min_margin=0.01",
    "pair.rules=[best_over_worst]",
    "evaluate.metrics=[adherence]",
]


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_stops_the_walk_and_the_same_call_resumes(tmp_path, monkeypatch):
    small = load_recipe("medical", SMALL, profile="embedded")
    Run(tmp_path / "whole").close()
    shutil.copytree(tmp_path / "whole", tmp_path / "full")  # the same secret of the run
    with monkeypatch.context() as patch:
        counted = Failing(patch, None)
        run_recipe(small, tmp_path / "whole", quiet=True)
    assert counted.done >= 20
    for at in (3, 12, 12):  # each attempt comes further than the one before
        with monkeypatch.context() as patch:
            Failing(patch, at)
            with pytest.raises(DiskError, match="no space is left on the disk"):
                run_recipe(small, tmp_path / "full", quiet=True)
    run_recipe(small, tmp_path / "full", quiet=True)
    for name in ("pairs.jsonl", "adapter/adapter_model.safetensors", "evaluation.json"):
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


COMMANDS = [
    ["init", "OUT"],
    ["demo", "--out", "OUT/run", "--set", "prompts.limit=2"],
    ["pairs", "medical", "--profile", "embedded", "--out", "OUT/run"],
    ["preflight", "medical", "--profile", "embedded", "--out", "OUT/run"],
    ["train", "--student", "embedded:student", "--pairs", "PAIRS", "--out", "OUT/run"],
    ["constitution", "import", "POLICY", "--out", "OUT/policy.yaml"],
    ["lint", "medical", "--judge", "embedded:teacher", "--out", "OUT/run"],
    ["report", "RUN"],
]
PAIR = '{"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}\n'


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_every_command_that_writes_says_so_in_one_sentence_with_status_3(tmp_path, monkeypatch, words):
    (tmp_path / "policy.txt").write_text("Be kind to everybody who asks.\n")
    (tmp_path / "pairs.jsonl").write_text(PAIR)
    with Run(tmp_path / "run") as run:
        run.count("draft", {"ok": 1})
    (tmp_path / "run" / "pairs.jsonl").write_text(PAIR)
    names = {"OUT": "out", "POLICY": "policy.txt", "PAIRS": "pairs.jsonl", "RUN": "run"}
    monkeypatch.setattr(files.os, "fsync", full)
    told = CliRunner().invoke(
        app, [re.sub("^[A-Z]+", lambda found: str(tmp_path / names[found[0]]), word) for word in words]
    )
    assert told.exit_code == 3, (told.output, told.exception)
    last = told.output.strip().splitlines()[-1]
    assert re.fullmatch(r"cai-lite: \S+ could not be written: no space is left on the disk \(.* free of .*\); .*", last)


def test_reading_commands_work_on_a_disk_that_takes_nothing(tmp_path, monkeypatch):
    """On a read-only disk SQLite cannot make the files that it wants beside run.db, and there is no lock."""
    with Run(tmp_path / "run") as run:
        run.keep_rows("pair", [("k1", (), {"text": "x"})])
    write_manifest(tmp_path / "run")
    (tmp_path / "run").chmod(0o555)
    if not os.geteuid():  # whom no permission stops

        def refuse(directory):
            raise DiskError(f"{directory} could not be written")

        monkeypatch.setattr(ledger, "lock_directory", refuse)
    for words in (["audit", "RUN", "--verify"], ["audit", "RUN", "k1"], ["status", "RUN"]):
        told = CliRunner().invoke(app, [word.replace("RUN", str(tmp_path / "run")) for word in words])
        assert told.exit_code == 0, told.output
    (tmp_path / "run").chmod(0o755)


@pytest.mark.parametrize("words", [["lint", "medical", "--json"], ["--help"]])
def test_output_on_a_full_disk_is_no_traceback(words):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as nowhere:
        told = subprocess.run(
            [sys.executable, "-m", "cai_lite", *words], stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert told.returncode == 3 and len(told.stderr.splitlines()) == 1 and "Traceback" not in told.stderr, told.stderr
