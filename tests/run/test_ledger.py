import subprocess
import sys

import pytest

from cai_lite.errors import InputError, RunBusyError
from cai_lite.records import Reply
from cai_lite.run.ledger import Run


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


def test_a_second_process_on_the_same_directory_is_told_so(tmp_path):
    with Run(tmp_path):
        with pytest.raises(RunBusyError, match="another process"):
            Run(tmp_path)
        code = f"from cai_lite.run.ledger import Run; Run({str(tmp_path)!r})"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "RunBusyError" in told.stderr
    Run(tmp_path).close()  # the lock falls with its holder


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
