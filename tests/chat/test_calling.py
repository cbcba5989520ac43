"""A server that is evil, broke, silent, gone or in a bad mood."""

import threading
import time

import pytest

from cai_lite.chat import connection, endpoint, open_model
from cai_lite.chat.asking import ask
from cai_lite.errors import ChatError, Stopped
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Budget, Run
from tests.chat.evil import CASES, evil_server, trial
from tests.conftest import completion

FAST = 0.01  # seconds of a pause, in place of up to half a minute


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: FAST)


def requests(*texts):
    return [Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8)) for text in texts]


def asked(model, *texts, run=None):
    return ask(model, requests(*texts), run=run or Run(), stage="draft")


def said(message, **more):
    return {"error": {"message": message, **more}}


@pytest.fixture(scope="module")
def evil():
    """A model on the evil server, which was heard."""
    with evil_server() as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_GRACE", 0.1)
        patch.setattr(endpoint, "_LOOK", 0.05)
        model = open_model(url, model="m")
        asked(model, "a good one")
        yield model
        model.close()


def test_there_are_as_many_evil_replies_as_promised():
    assert len({case.name for case in CASES}) == len(CASES) >= 79


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_evil_reply_is_a_typed_fault_and_the_next_call_is_answered(evil, case):
    assert trial(evil, case) == ""


@pytest.mark.parametrize(
    "refusal",
    [
        (402, {}, {}),
        (429, {}, said("You exceeded your current quota", code="insufficient_quota")),
        (429, {}, said("Please check your plan and billing details")),
        (403, {}, said("Not enough credits")),
        (400, {}, said("Your credit balance is too low to access the API")),
        (429, {"retry-after": "3600"}, said("slow down")),
        (503, {"retry-after": "90000"}, {}),
    ],
)
def test_a_server_without_credit_stops_the_run_and_the_replies_stay(server, refusal):
    paid = 20
    server.behave = lambda text, attempt: (200, {}, completion("x")) if len(server.seen) <= paid else refusal
    model, run = open_model(server.url, model="m"), Run()
    with pytest.raises(
        Stopped, match=r"^draft: (\d+) of 40 calls are answered and kept; .*the same command again"
    ) as caught:
        asked(model, *map(str, range(40)), run=run)
    kept = sum(row["calls"] for row in run.calls())
    assert f"draft: {kept} of 40" in str(caught.value) and kept >= paid
    server.behave = lambda text, attempt: (200, {}, completion("x"))
    again = dict(server.seen)
    assert {reply.outcome for reply in asked(model, *map(str, range(40)), run=run)} == {"ok"}
    assert sum(server.seen.values()) - sum(again.values()) == 40 - kept  # nothing is paid for twice


def test_calls_under_way_when_the_credit_ends_are_kept(server):
    def behave(text, attempt):
        if text == "dear":
            time.sleep(0.1)
            return 402, {}, {}
        time.sleep(0.0 if text == "first" else 0.4)
        return 200, {}, completion("x")

    server.behave = behave
    run = Run()
    with pytest.raises(Stopped, match="draft: 4 of 5 calls"):
        asked(open_model(server.url, model="m"), "first", "a", "b", "c", "dear", run=run)


@pytest.mark.parametrize(
    "words", ["Rate limit reached: 3 requests per minute, see billing", "current quota, retry in 20s"]
)
def test_a_rate_limit_is_no_lack_of_credit(server, no_pauses, words):
    server.behave = lambda text, attempt: (429, {}, said(words)) if attempt == 1 else (200, {}, completion("x"))
    assert asked(open_model(server.url, model="m"), "a")[0].attempts == 2


@pytest.mark.parametrize(
    ("refusal", "outcome", "fault"),
    [
        ((400, {}, said("maximum context length is 4096")), "failed", "HTTP 400: maximum context length is 4096"),
        ((422, {}, {"detail": "no"}), "failed", "HTTP 422: no"),
        ((400, {}, said("The response was filtered", code="content_filter")), "refused", "HTTP 400: The response was"),
    ],
)
def test_a_request_that_is_refused_fails_alone_once_the_server_was_heard(server, refusal, outcome, fault):
    server.behave = lambda text, attempt: refusal if text == "bad" else (200, {}, completion("x"))
    model, run = open_model(server.url, model="m"), Run()
    asked(model, "first", run=run)
    replies = asked(model, "a", "bad", "b", run=run)
    assert [reply.outcome for reply in replies] == ["ok", outcome, "ok"]
    assert replies[1].fault.startswith(fault) and server.seen["bad"] == 1
    # A later session, which has nothing left to ask but what is refused, is no reason to stop.
    later = open_model(server.url, model="m")
    assert [reply.outcome for reply in asked(later, "a", "bad", "b", run=run)] == ["ok", outcome, "ok"]


def test_a_key_that_is_refused_again_and_again_ends_the_run(server):
    server.behave = lambda text, attempt: (401, {}, {}) if text.startswith("k") else (200, {}, completion("x"))
    model = open_model(server.url, model="m", concurrency=1)
    assert [r.outcome for r in asked(model, "a", "k", "b")] == ["ok", "failed", "ok"]
    with pytest.raises(ChatError, match="check the key"):
        asked(model, *(f"k{i}" for i in range(9)))
    assert 4 <= sum(text.startswith("k") for text in server.seen) <= 5


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_only_fails_from_the_start_is_given_up_soon(server, no_pauses, status):
    server.behave = lambda text, attempt: (status, {}, {})
    with pytest.raises(ChatError, match=f"answers every call with HTTP {status}"):
        asked(open_model(server.url, model="m", concurrency=1), "a", "b")
    assert server.seen == {"a": 4}


def test_a_server_that_is_starting_is_waited_for(server, no_pauses):
    loading = (503, {}, said("Model is loading"))
    server.behave = lambda text, attempt: loading if attempt < 9 else (200, {}, completion("x"))
    assert asked(open_model(server.url, model="m"), "a")[0].attempts == 9


def test_a_redirect_is_not_followed_and_its_target_named_without_secrets(server):
    """What is sent again to another host are the prompts and the key."""
    with evil_server() as elsewhere:
        target = elsewhere.replace("http://", "http://user:hunter2@") + "/chat/completions?api_key=hunter2"
        server.behave = lambda text, attempt: (307, {"location": target}, {})
        with pytest.raises(
            ChatError, match=r"HTTP 307 .* points to http://\*\*\*@127.0.0.1:\d+/v1/chat/completions,"
        ) as told:
            asked(open_model(server.url, model="m"), "a")
    assert "hunter2" not in str(told.value)


def test_a_dropped_connection_is_waited_out_beyond_the_deadline_of_a_call(monkeypatch):
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.1)
    with evil_server() as url:
        port = int(url.partition("1:")[2].partition("/")[0])
        model = open_model(url, model="m")
        model._deadline = 0.4
        asked(model, "first")
    back = threading.Timer(1.2, lambda: [opened.append(evil_server(port)), opened[0].__enter__()])
    opened = []
    back.start()
    try:
        replies = asked(model, *(f"good {i}" for i in range(20)))
    finally:
        back.join()
        opened[0].__exit__(None, None, None)
    assert {reply.outcome for reply in replies} == {"ok"} and max(reply.seconds for reply in replies) > 1


def test_a_server_that_stays_away_stops_the_run(monkeypatch):
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.1)
    with evil_server() as url:
        model = open_model(url, model="m")
        asked(model, "first")
    model._line.patience = 0.3
    with pytest.raises(
        Stopped, match=r"0 of 20 calls .* cannot be reached for 0.3 seconds: run the same command again"
    ):
        asked(model, *(f"good {i}" for i in range(20)))


def test_a_server_that_turns_into_one_that_only_fails_stops_the_run(server, no_pauses):
    model = open_model(server.url, model="m", concurrency=2)
    asked(model, "first")
    model._deadline, model._line.patience = 0.1, 0.3
    server.behave = lambda text, attempt: (500, {}, {})
    with pytest.raises(Stopped, match=r"nothing but faults for 0.3 seconds, the last is 'HTTP 500'"):
        asked(model, *map(str, range(50)))


def test_a_retry_after_is_waited_for_and_never_hurries_a_call(server, monkeypatch):
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.2)
    for told, least in (("0", 0.1), ("-5", 0.1), ("0.4", 0.4), ("nonsense", 0.1)):
        server.behave = lambda text, attempt, told=told: (
            (503, {"retry-after": told}, {}) if attempt == 1 else (200, {}, completion("x"))
        )
        reply = asked(open_model(server.url, model="m"), f"wait {told}")[0]
        assert reply.attempts == 2 and least <= reply.seconds < least + 1


def test_replies_that_cannot_be_read_are_not_paid_for_until_the_deadline(server, no_pauses):
    model = open_model(server.url, model="m")
    asked(model, "first")
    server.behave = lambda text, attempt: (200, {}, {"choices": []})
    assert (asked(model, "bad")[0].fault, server.seen["bad"]) == ("body: no choices", 8)


def test_the_budget_is_kept_with_a_server_that_counts_no_tokens(server):
    body = completion("word " * 100)
    del body["usage"]
    server.behave = lambda text, attempt: (200, {}, body)
    run = Run(budget=Budget(max_tokens=20_000))
    with pytest.raises(Stopped, match=r"budget\.max_tokens"):
        asked(open_model(server.url, model="m"), *map(str, range(600)), run=run)
    assert 160 <= len(server.seen) <= 300
