import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cai_lite.errors import InputError, RunBusyError
from cai_lite.records import Reply
from cai_lite.run.ledger import Budget, Run


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


def test_a_second_process_on_the_same_directory_is_told_to_wait(tmp_path):
    with Run(tmp_path):
        told = in_another_process("Run({})", tmp_path)
        assert "RunBusyError" in told.stderr and "wait until it ends" in told.stderr
    assert in_another_process("Run({})", tmp_path).returncode == 0  # the lock ends with its holder


def test_a_second_thread_is_told_so(tmp_path):
    with Run(tmp_path), ThreadPoolExecutor(1) as pool, pytest.raises(RunBusyError, match="another process or thread"):
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
