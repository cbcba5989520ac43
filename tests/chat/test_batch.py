"""Against a real HTTP server on this machine that has a batch API, in OpenAI's form."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from cai_lite.chat import open_model
from cai_lite.chat.asking import Stage, ask
from cai_lite.chat.batch import Batch
from cai_lite.chat.batch_calls import BatchCalls
from cai_lite.chat.connection import Connection
from cai_lite.chat.submitted import under_way
from cai_lite.errors import ChatError, ModelError, Stopped
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Budget, Run
from tests.chat.batch_server import BatchServer, asked, batch_server
from tests.conftest import REPOSITORY, completion

PRICES = (2.0, 4.0)
FULL = (5 * PRICES[0] + 2 * PRICES[1]) / 1e6  # of one call of the scripted server


@pytest.fixture
def batches(monkeypatch):
    monkeypatch.setattr("cai_lite.chat.batch.FIRST_LOOK", 0.01)
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.01)
    with batch_server() as server:
        yield server


def requests(*texts: str, **more: Any) -> list[Request]:
    return [Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8), **more) for text in texts]


def opened(server: BatchServer, **settings: Any):
    return open_model(server.url, model="m", prices=PRICES, batch=Batch(**{"least": 1, **settings}))


TEXTS = [f"t{i}" for i in range(6)]


def test_a_batch_gives_the_replies_of_live_calls_under_the_same_keys_at_half_the_price(batches):
    run, live = Run(), open_model(batches.url, model="m", prices=PRICES)
    replies = ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    assert [reply.text for reply in replies] == [text.upper() for text in TEXTS]
    assert [reply.cost for reply in replies] == pytest.approx([FULL / 2] * 6)
    assert len(batches.batches) == 1 and not batches.live
    row = batches.rows(batches.batches["batch_0"])[0]
    assert row["body"] == live.body(requests("t0")[0]) and row["url"] == "/v1/chat/completions"
    again = ask(live, requests(*TEXTS, "new"), run=run, stage="s")  # the run changes its mind: the rest is asked live
    assert [reply.text for reply in again] == [text.upper() for text in [*TEXTS, "new"]]
    assert batches.live == ["new"] and set(batches.paid.values()) == {1}
    assert run.calls()[0]["cost"] == pytest.approx(6 * FULL / 2 + FULL)
    assert not under_way(run)


def test_few_calls_and_those_that_somebody_waits_for_are_live(batches):
    run, model = Run(), opened(batches, least=3)
    ask(model, requests("a", "b"), run=run, stage="s")
    Stage(run=run, name="s", live=True).ask(model, requests(*TEXTS))
    assert len(batches.live) == 8 and not batches.batches


def test_many_calls_are_several_batches_and_progress_counts_what_is_ready(batches):
    ticks: list[tuple[int, int]] = []
    said: list[str] = []
    stage = Stage(run=Run(), name="s", tick=lambda done, total: ticks.append((done, total)), say=said.append)
    assert len(stage.ask(opened(batches, requests=4), requests(*TEXTS))) == 6
    assert [len(batches.rows(batch)) for batch in batches.batches.values()] == [4, 2]
    assert [sentence.split(",")[0] for sentence in said] == [
        "m: 4 calls are submitted as batch batch_0",
        "m: 2 calls are submitted as batch batch_1",
    ]
    assert ticks[0] == (0, 6) and ticks[-1] == (6, 6)


def test_error_rows_are_typed_and_their_neighbours_are_kept(batches):
    def answer(body):
        text = asked(body)
        if text == "filtered":
            return 400, {"error": {"code": "content_filter", "message": "flagged as unsafe by our content filter"}}
        if text == "long":
            return 400, {"error": {"message": "the context length is 8"}}
        return 200, {"choices": []} if text == "odd" else completion("fine")

    batches.answer = answer
    found = ask(opened(batches), requests("good", "filtered", "long", "odd"), run=Run(), stage="s")
    assert [reply.outcome for reply in found] == ["ok", "refused", "failed", "failed"]
    assert [reply.fault for reply in found[2:]] == ["HTTP 400: the context length is 8", "body: no choices"]
    assert [reply.cost > 0 for reply in found] == [True, False, False, False]


@pytest.mark.parametrize(("least", "batches_made", "live"), [(1, [6, 3], 0), (4, [6], 3)])
def test_rows_that_failed_by_a_passing_fault_are_asked_once_more(batches, least, batches_made, live):
    faults = {"t1": [(429, {"error": {"message": "slow down"}})], "t2": [(500, {})], "t4": [(503, {})] * 2}
    batches.answer = lambda body: (
        faults[asked(body)].pop() if faults.get(asked(body)) else (200, completion(asked(body).upper()))
    )
    run = Run()
    replies = ask(opened(batches, least=least), requests(*TEXTS), run=run, stage="s")
    assert [len(batches.rows(batch)) for batch in batches.batches.values()] == batches_made
    again = {0: "failed", 3: "ok"}[live]  # a live call is repeated until it succeeds
    assert [reply.outcome for reply in replies] == ["ok", "ok", "ok", "ok", again, "ok"]
    assert set(batches.live) == ({"t1", "t2", "t4"} if live else set())
    assert [reply.text for reply in ask(opened(batches), requests(*TEXTS), run=run, stage="s")][4] == "T4"
    assert not under_way(run)


@pytest.mark.parametrize("lasting", [False, True])
def test_results_fewer_than_the_server_counts_are_downloaded_again_before_any_of_them_is_paid_twice(batches, lasting):
    original, whole = batches.work, list[bytes]()

    def work(batch):
        original(batch)
        whole.append(batches.files[batch["output_file_id"]])
        batches.files[batch["output_file_id"]] = whole[0][: len(whole[0]) // 2]

    def downloaded(what, number):
        if number == 2 and not lasting:
            batches.files["file-1"] = whole[0]

    batches.work, batches.fetched = work, downloaded  # type: ignore[method-assign]
    replies = ask(opened(batches), requests(*TEXTS), run=Run(), stage="s")
    assert [reply.outcome for reply in replies].count("ok") == (3 if lasting else 6)
    assert {reply.fault for reply in replies} - {""} == ({"no row in the batch's files"} if lasting else set())
    assert batches.seen["GET /files/file-1/content"] == (4 if lasting else 2)
    assert set(batches.paid.values()) == {1}


@pytest.mark.parametrize("ending", ["expired", "completed"])
def test_what_expired_fails_and_the_same_command_submits_it_alone(batches, ending):
    slow = {"t1", "t4"}
    batches.ending = ending
    batches.answer = lambda body: None if asked(body) in slow else (200, completion("x"))
    run = Run()
    replies = ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    assert [reply.outcome for reply in replies] == ["ok", "failed", "ok", "ok", "failed", "ok"]
    slow.clear()
    assert {reply.text for reply in ask(opened(batches), requests(*TEXTS), run=run, stage="s")} == {"x"}
    assert [len(batches.rows(batch)) for batch in batches.batches.values()] == [6, 2]
    assert set(batches.paid.values()) == {1}


def test_what_expired_is_asked_live_if_the_recipe_says_so(batches):
    batches.ending = "expired"
    live: list[str] = []
    batches.answer = lambda body: (200, completion("x")) if asked(body) in live or asked(body) != "t1" else None
    original = batches.work

    def work(batch):
        original(batch)
        live.append("t1")

    batches.work = work  # type: ignore[method-assign]
    replies = ask(opened(batches, expired="live"), requests(*TEXTS), run=Run(), stage="s")
    assert [reply.text for reply in replies] == ["x"] * 6 and batches.live == ["t1"]
    assert replies[1].cost == pytest.approx(FULL) and replies[0].cost == pytest.approx(FULL / 2)


@pytest.mark.parametrize("moment", ["waiting", "creating", "before it"])
def test_an_interrupted_run_finds_its_batch_and_pays_once(batches, tmp_path, moment, monkeypatch):
    """ "creating": the batch is made, and the process ends before it hears so. "before it": there is no batch yet."""

    create = BatchCalls.create

    def interrupt(*given: Any) -> str:
        if moment == "creating":
            create(*given)
        raise KeyboardInterrupt

    place = (Connection, "pause") if moment == "waiting" else (BatchCalls, "create")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), Run(tmp_path) as run:
        patch.setattr(*place, interrupt)
        ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    assert len(batches.batches) == (moment != "before it")
    other = batches.seen["GET /batches"]
    with Run(tmp_path) as run:
        replies = ask(opened(batches), requests(*TEXTS, "further"), run=run, stage="s")
        assert not under_way(run)
    assert [reply.text for reply in replies] == [text.upper() for text in [*TEXTS, "further"]]
    assert len(batches.batches) == (1 if moment == "before it" else 2)
    assert set(batches.paid.values()) == {1}
    assert (batches.seen["GET /batches"] > other) == (moment != "waiting")


PROGRAM = """
import sys
from cai_lite.chat import batch, open_model
from cai_lite.chat.asking import ask
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Run
batch.FIRST_LOOK = 0.02
model = open_model(sys.argv[1], model="m", batch=batch.Batch(least=1))
requests = [Request(messages=(Message("user", f"t{i}"),), sampling=Sampling(max_tokens=8)) for i in range(6)]
with Run(sys.argv[2]) as run:
    print(*(reply.text for reply in ask(model, requests, run=run, stage="s")))
"""


@pytest.mark.parametrize("moment", ["waiting", "creating"])
def test_a_killed_process_finds_its_batch_and_pays_once(batches, tmp_path, moment):
    command = [sys.executable, "-c", PROGRAM, batches.url, str(tmp_path / "run")]
    batches.looks = 10**9
    process = subprocess.Popen(command, cwd=REPOSITORY)

    def kill(batch: object) -> None:
        process.kill()
        process.wait()
        raise ConnectionError

    if moment == "creating":
        batches.created = kill
    else:
        while not batches.seen["GET /batches/batch_0"] and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert process.wait() == -signal.SIGKILL and len(batches.batches) == 1 and not batches.paid
    batches.looks, batches.created = 1, lambda batch: None
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.stdout.split() == [text.upper() for text in TEXTS], done.stderr
    assert len(batches.batches) == 1 and batches.paid == dict.fromkeys(TEXTS, 1)


def test_a_creation_whose_answer_is_lost_makes_no_second_batch(batches):
    def lose(batch: object) -> None:
        raise ConnectionError

    batches.created = lose
    assert [reply.text for reply in ask(opened(batches), requests("a", "b"), run=Run(), stage="s")] == ["A", "B"]
    assert len(batches.batches) == 1 and batches.seen["POST /batches"] == 1


def test_a_download_that_breaks_off_is_tried_again(batches):
    batches.broken = 2
    texts = [f"t{i}" for i in range(300)]
    replies = ask(opened(batches), requests(*texts), run=Run(), stage="s")
    assert [reply.text for reply in replies] == [text.upper() for text in texts]
    assert batches.seen["GET /files/file-1/content"] == 3


def test_a_batch_that_is_refused_says_why_and_is_submitted_anew(batches):
    run = Run()
    batches.refused = "model_not_found", "The model 'm' takes no batches"
    with pytest.raises(
        ChatError, match=r"refuses batch batch_0 \(\"The model 'm' takes no batches\"\): check the model"
    ):
        ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    batches.refused = "token_limit_exceeded", "Enqueued token limit reached"
    with pytest.raises(Stopped, match=r"0 of 6 calls .*Enqueued token limit reached.*'batch.requests' below 6"):
        ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    batches.refused = None
    assert len(ask(opened(batches), requests(*TEXTS), run=run, stage="s")) == 6
    assert batches.paid == dict.fromkeys(TEXTS, 1)


def test_a_server_without_batches_and_a_batch_that_is_gone_are_said_in_words(batches):
    run = Run()
    batches.batches_taken = False
    with pytest.raises(ChatError, match=r"HTTP 404 .*: a server without a batch API takes 'batch: false'"):
        ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    batches.batches_taken, batches.looks = True, 10**9
    stage = Stage(run=run, name="s", tick=_stop_at(2))
    with pytest.raises(Stopped):
        stage.ask(opened(batches), requests(*TEXTS))
    batches.batches.clear()
    with pytest.raises(ChatError, match=r"this was batch batch_0: use the key that submitted it"):
        ask(opened(batches), requests(*TEXTS), run=run, stage="s")
    assert [one.id for one in under_way(run)] == ["batch_0"]


def _stop_at(ticks: int):
    left = [ticks]

    def tick(done: int, total: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise Stopped("enough")

    return tick


def test_a_budget_limits_what_is_submitted_at_once(batches, monkeypatch):
    monkeypatch.setattr("cai_lite.chat.batch.LOOK", 2)
    run = Run(budget=Budget(max_tokens=37))  # at most 9 tokens a call, and in fact 7
    with pytest.raises(Stopped, match="the budget is spent: 42 of 37"):
        ask(opened(batches), requests(*TEXTS, "more"), run=run, stage="s")
    assert [len(batches.rows(batch)) for batch in batches.batches.values()] == [4, 2]


def test_only_servers_have_batches(batches):
    with pytest.raises(ModelError, match="'batch' is for servers"):
        open_model("embedded:student", batch=True)
    for wrong in ({"least": 0}, {"requests": 50_001}):
        with pytest.raises(ValueError, match="should be"):
            Batch(**wrong)
