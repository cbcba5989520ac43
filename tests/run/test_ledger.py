import json
import os
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cai_lite.errors import InputError, RunBusyError, Stopped
from cai_lite.records import Reply
from cai_lite.run.ledger import OWNER, Budget, Run


def test_a_kept_reply_is_known_to_the_next_process(tmp_path):
    reply = Reply(text="hé", log_probs={"yes": -0.5}, tokens_in=3, tokens_out=1)
    with Run(tmp_path) as run:
        run.keep_replies("draft", "m", {"k": reply})
    with Run(tmp_path) as run:
        assert run.replies(["k", "other"]) == {"k": reply}


def test_a_failed_call_is_asked_again_but_stays_counted(tmp_path):
    with Run(tmp_path) as run:
        run.keep_replies("draft", "m", {"k": Reply(text="", outcome="failed", fault="HTTP 500")})
        assert run.replies(["k"]) == {}
        assert run.calls()[0]["faults"] == 1


def in_another_process(code, tmp_path):
    program = f"from cai_lite.run.ledger import Run; {code.format(repr(str(tmp_path)))}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_second_process_on_the_same_directory_is_told_who_works_there_and_to_wait(tmp_path):
    with Run(tmp_path):
        told = in_another_process("Run({})", tmp_path)
        assert "RunBusyError" in told.stderr and "wait until it ends" in told.stderr
        assert f"process {os.getpid()} on {socket.gethostname()} (since 2" in told.stderr
    assert in_another_process("Run({})", tmp_path).returncode == 0  # the lock ends with its holder


@pytest.mark.parametrize("pid", [2**22 + 7, os.getpid(), 1], ids=["dead", "used again", "alive"])
@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_lock_that_a_dead_process_left_is_taken_over_and_said(tmp_path, pid, host):
    """Whatever stands in it: the number may be another process's by now, on this host or another."""
    Run(tmp_path).close()
    owner = {"pid": pid, "host": host or socket.gethostname(), "since": "2026-01-01 00:00:00"}
    (tmp_path / OWNER).write_text(json.dumps(owner))
    with Run(tmp_path) as run:
        assert run.recovered == (
            f"process {pid} on {owner['host']} (since 2026-01-01 00:00:00) ended without closing this run; its lock is "
            "taken over, and all that it stored is kept"
        )
    with Run(tmp_path) as run:
        assert run.recovered is None  # closed as it should be


def test_a_killed_process_leaves_no_lock_behind(tmp_path):
    killed = "run = Run({}); run.count('draft', {{'ok': 1}}); import os; os.kill(os.getpid(), 9)"
    assert in_another_process(killed, tmp_path).returncode == -9
    with Run(tmp_path) as run:
        assert run.recovered is not None and run.counts() == {"draft": {"ok": 1}}


@pytest.mark.parametrize("content", ["999999 elsewhere\n", "x" * 5000, "{"])
def test_a_lock_file_of_any_content_locks(tmp_path, content):
    for name in (".lock", OWNER):
        (tmp_path / name).write_text(content)
    with Run(tmp_path) as run:
        assert "ended without closing this run" in str(run.recovered)
        assert "RunBusyError" in in_another_process("Run({})", tmp_path).stderr


def test_a_second_thread_is_told_so(tmp_path):
    told = "another thread of this process is using this run directory; wait until it ends"
    with Run(tmp_path), ThreadPoolExecutor(1) as pool, pytest.raises(RunBusyError, match=told):
        pool.submit(Run, tmp_path).result()


def test_the_same_directory_opened_twice_is_one_run_until_both_are_closed(tmp_path):
    run = Run(tmp_path)
    with Run(tmp_path / "." / "", budget=Budget(max_tokens=5)) as again:
        assert again is run and run.budget.max_tokens == 5
    run.count("draft", {"ok": 1})  # still open
    assert "RunBusyError" in in_another_process("Run({})", tmp_path).stderr
    run.close()
    run.close()  # closing once more changes nothing
    assert in_another_process("Run({})", tmp_path).returncode == 0
    with Run(tmp_path) as fresh:
        assert fresh is not run and fresh.counts() == {"draft": {"ok": 1}}


def test_a_run_can_be_read_while_it_is_in_use(tmp_path):
    with Run(tmp_path) as run:
        run.count("draft", {"ok": 1})
        told = in_another_process("print(Run.reading({}).counts())", tmp_path)
    assert told.stdout.strip() == "{'draft': {'ok': 1}}", told.stderr
    with Run.reading(tmp_path) as run, pytest.raises(sqlite3.OperationalError, match="readonly"):
        run.count("draft", {})
    with pytest.raises(InputError, match="not a run directory"):
        Run.reading(tmp_path / "nowhere")


@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_of_any_version_can_be_read_and_stays_as_it_is(tmp_path, earlier):
    with Run(tmp_path) as run:
        run.keep_replies("draft", "m", {"k": Reply(text="x")})
        run.remember("size", 3, "m")
        secret = run.secret
    if earlier:
        with sqlite3.connect(tmp_path / "run.db") as db:
            for table in ("calls", "rows", "memos"):
                db.execute(f"alter table {table} drop column sha")
            db.execute("drop table meta")
        db.close()
    before = (tmp_path / "run.db").read_bytes()
    with Run.reading(tmp_path) as run:
        assert run.replies(["k"])["k"].text == "x" and run.recall("size", "m") == 3
        assert list(run.damage()) == [] and run.uncovered() == (2 if earlier else 0)
        assert run.secret == ("" if earlier else secret)
    assert (tmp_path / "run.db").read_bytes() == before


def test_a_damaged_database_is_named_with_what_to_do(tmp_path):
    (tmp_path / "run.db").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match=r"run\.db is damaged .*; put back a copy"):
        Run(tmp_path)
    (tmp_path / "run.db").unlink()
    Run(tmp_path).close()  # the lock was given back


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="is a file"):
        Run(tmp_path / "f")


def test_rows_stay_as_they_were_and_counts_are_replaced():
    run = Run()
    run.keep_rows("pair", [("k", ["a", "b"], {"n": 1})])
    run.keep_rows("pair", [("k", [], {"n": 2})])
    assert run.row("k") == ("pair", ["a", "b"], {"n": 1})
    run.count("pair", {"kept": 3, "tie": 1})
    run.count("pair", {"kept": 4})
    assert run.counts() == {"pair": {"kept": 4}}


def test_a_memo_holds_only_for_what_decided_it():
    run = Run()
    run.remember("perplexity", {"value": 1.5}, "adapter-1")
    assert run.recall("perplexity", "adapter-1") == {"value": 1.5}
    assert run.recall("perplexity", "adapter-2") is None


def test_a_run_in_memory_has_no_files():
    with pytest.raises(InputError, match="run directory"):
        Run().path("pairs.jsonl")


def test_what_is_spent_is_summed_once_and_then_kept_up_to_date(tmp_path):
    reply, asked = Reply(text="yes", tokens_in=3, tokens_out=1, cost=0.5), list[str]()
    with Run(tmp_path, budget=Budget(max_cost=10.0, max_tokens=100)) as run:
        run.keep_replies("s", "m", {"a": reply, "b": Reply(text="", outcome="failed", fault="HTTP 500")})
        assert run.budget_left() == (9.5, 96)
        run._db.set_trace_callback(lambda sql: asked.append(sql) if "sum(" in sql else None)
        run.keep_replies("s", "m", {"b": reply, "c": reply})
        assert run.budget_left() == (8.5, 88) and not asked
        run.keep_replies("s", "m", {"c": replace(reply, cost=1.5)})  # replaces one that was paid for
        assert run.budget_left() == (7.5, 88) and asked
    with Run(tmp_path, budget=Budget(max_cost=10.0, max_tokens=100)) as run:
        assert run.budget_left() == (7.5, 88)


def test_replies_of_another_run_are_taken_over_once_and_are_no_calls_of_this_one(tmp_path):
    reply = Reply(text="yes", tokens_in=3, tokens_out=1)
    with Run(tmp_path / "old") as old:
        old.keep_replies("draft", "m", {"k": reply, "bad": Reply(text="", outcome="failed", fault="HTTP 500")})
        old.keep_rows("candidate", [("row", (), {})])
        with Run(tmp_path / "new", budget=Budget(max_tokens=4)) as new:
            assert new.secret != old.secret  # was read before, and is read again
            new.take_over(old)
            assert new.secret == old.secret and new.taken_over == 2
            assert new.replies(["k", "bad"]) == {"k": reply}  # what failed is asked again
            assert (new.calls(), new.times(), new.period(), new.row("row")) == ([], [], None, None)
            new.check_budget()
            assert new.budget_left() == (float("inf"), 4)
            new.keep_replies("judge", "m", {"bad": reply, "more": reply})
            assert new.budget_left() == (float("inf"), -4)
            old.keep_replies("draft", "m", {"late": reply})
            new.take_over(old)
            assert new.replies(["late"]) == {} and new.taken_over == 2
            assert [(row["stage"], row["calls"]) for row in new.calls()] == [("judge", 2)]
            assert [stage for stage, _ in new.times()] == ["judge", "judge"]
            with pytest.raises(Stopped, match="the budget is spent: 8 of 4"):
                new.check_budget()
            assert list(new.damage()) == []
    with (
        Run(tmp_path / "new") as new,
        Run() as other,
        pytest.raises(InputError, match="holds the replies of another run already"),
    ):
        new.take_over(other)


def test_taking_over_is_done_whole_or_not_at_all(tmp_path, monkeypatch):
    with Run(tmp_path / "old") as old, Run(tmp_path / "new") as new:
        old.keep_replies("draft", "m", {"k": Reply(text="yes")})
        set_meta = Run._set_meta

        def cut_off(self, name, value):
            if name == "taken over":
                raise KeyboardInterrupt
            set_meta(self, name, value)

        monkeypatch.setattr(Run, "_set_meta", cut_off)
        secret = new.secret
        with pytest.raises(KeyboardInterrupt):
            new.take_over(old)
        assert (new.replies(["k"]), new.secret, new.taken_over) == ({}, secret, 0)
        monkeypatch.setattr(Run, "_set_meta", set_meta)
        new.take_over(old)
        assert list(new.replies(["k"])) == ["k"]
