"""Against a real HTTP server on this machine that misbehaves on request."""

import threading
import time

import pytest

from cai_lite.chat import open_model
from cai_lite.chat.asking import ask
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.errors import ChatError, ModelError
from cai_lite.records import Message, Request, Sampling, digest
from cai_lite.run.ledger import Run
from tests.conftest import completion


def requests(*texts, **more):
    return [Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8), **more) for text in texts]


def test_many_calls_come_back_in_order(server):
    texts = [f"t{i}" for i in range(40)]
    replies = ask(open_model(server.url, model="m"), requests(*texts), run=Run(), stage="s")
    assert [reply.text for reply in replies] == [text.upper() for text in texts]
    assert replies[0].tokens_in == 5


@pytest.mark.parametrize(
    "fault", [(429, {"retry-after": "0"}, {}), (503, {"retry-after": "0"}, {}), (200, {"retry-after": "0"}, "<html>")]
)
def test_a_passing_fault_is_tried_again(server, fault):
    server.behave = lambda text, attempt: fault if attempt == 1 else (200, {}, completion("fine"))
    reply = ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")[0]
    assert (reply.text, reply.attempts) == ("fine", 2)


def test_a_lasting_fault_is_counted_as_failed_and_its_neighbours_go_on(server):
    server.behave = lambda text, attempt: (500, {}, {}) if text == "bad" else (200, {}, completion("fine"))
    model = open_model(server.url, model="m")
    model._deadline = 0.2
    bad, good = ask(model, requests("bad", "good"), run=Run(), stage="s")
    assert (bad.outcome, bad.fault, good.outcome) == ("failed", "HTTP 500", "ok")


@pytest.mark.parametrize(("status", "mend"), [(401, "OPENAI_API_KEY"), (404, "/v1"), (400, "context length")])
def test_a_wrong_key_model_or_request_fails_at_once_with_the_mend(server, status, mend, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.behave = lambda text, attempt: (status, {}, {"error": {"message": "no"}})
    with pytest.raises(ChatError, match=mend) as caught:
        ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")
    assert server.seen == {"a": 1}
    assert "sk-secret" not in str(caught.value)
    assert server.keys == {"Bearer sk-secret"}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (completion("half a", "length"), "cut"),
        (completion(None), "empty"),
        (completion("", "content_filter"), "refused"),
    ],
)
def test_answers_that_are_none_are_named(server, body, outcome):
    server.behave = lambda text, attempt: (200, {}, body)
    assert ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")[0].outcome == outcome


def test_option_log_probs_are_read_where_told_and_absent_where_ignored(server):
    told = {
        "content": [
            {
                "token": "A",
                "logprob": -0.1,
                "bytes": None,
                "top_logprobs": [
                    {"token": "A", "logprob": -0.1, "bytes": None},
                    {"token": " B", "logprob": -2.5, "bytes": None},
                ],
            }
        ]
    }
    server.behave = lambda text, attempt: (200, {}, completion("A", logprobs=told if text == "told" else None))
    model = open_model(server.url, model="m")
    one, other = ask(model, requests("told", "ignored", options=("A", "B")), run=Run(), stage="s")
    assert one.log_probs == {"A": -0.1, "B": -2.5}
    assert other.log_probs is None and other.text == "A"


def test_the_key_is_in_no_file_of_the_run(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret-7")
    with Run(tmp_path) as run:
        ask(open_model(server.url, model="m", api_key_env="MY_KEY"), requests("a"), run=run, stage="s")
    assert not [file for file in tmp_path.iterdir() if b"sk-secret-7" in file.read_bytes()]


def test_a_url_needs_a_model_name():
    with pytest.raises(ModelError, match="which model"):
        open_model("http://localhost:1/v1")


def test_a_server_that_never_gave_an_answer_is_given_up_within_seconds(server, monkeypatch):
    import time

    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.01)

    begun = time.monotonic()
    with pytest.raises(ChatError, match=r"cannot be reached: check the URL"):
        ask(open_model("http://127.0.0.1:9/v1", model="m"), requests("a"), run=Run(), stage="s")
    server.behave = lambda text, attempt: (200, {}, "<html>please log in</html>")
    with pytest.raises(ChatError, match=r"no chat completion: check the URL"):
        ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")
    assert time.monotonic() - begun < 30


def test_a_server_that_once_answered_is_waited_for(server, monkeypatch):
    """Five bad bodies in a row are a bad moment of a server that is known to work."""
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.01)
    html = (200, {"retry-after": "0"}, "<html>")
    server.behave = lambda text, attempt: html if text == "late" and attempt <= 5 else (200, {}, completion("fine"))
    model = open_model(server.url, model="m")
    run = Run()
    assert ask(model, requests("first"), run=run, stage="s")[0].text == "fine"
    assert ask(model, requests("late"), run=run, stage="s")[0].attempts == 6


def test_template_and_extra_body_reach_the_server_and_the_digest(server):
    plain = open_model(server.url, model="m")
    told = open_model(server.url, model="m", template={"enable_thinking": False}, extra_body={"top_k": 20})
    ask(told, requests("a"), run=Run(), stage="s")
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False} and server.bodies[0]["top_k"] == 20
    assert len({plain.digest, told.digest, open_model(server.url, model="m", system="merge").digest}) == 3
    assert open_model(server.url, model="m", template={}, extra_body={}).digest == plain.digest
    with pytest.raises(ModelError, match="'max_tokens' is set by every request itself"):
        open_model(server.url, model="m", extra_body={"max_tokens": 7})
    with pytest.raises(ModelError, match="'extra_body' is for servers"):
        open_model("embedded:student", extra_body={"top_k": 20})


def test_a_request_without_new_settings_has_the_body_of_old_runs():
    body = open_model("http://localhost:1/v1", model="m").body(requests("a")[0])
    assert set(body) == {"model", "messages", "top_p", "temperature", "max_tokens", "seed"}


def test_a_server_without_a_system_message_says_so_and_merging_it_helps(server):
    def gemma(body):
        if body["messages"][0]["role"] == "system":
            return 400, {}, {"error": {"message": "System role not supported\x1b[31m", "code": 400}}
        return 200, {}, completion(body["messages"][0]["content"])

    server.reply = gemma
    turns = (Message("system", "Be kind."), Message("user", "Hello"))
    request = Request(messages=turns, sampling=Sampling(max_tokens=8))
    with pytest.raises(ChatError, match=r'\("System role not supported \[31m"\): .*set \'system: merge\''):
        ask(open_model(server.url, model="m"), [request], run=Run(), stage="s")
    merged = open_model(server.url, model="m", system="merge")
    assert ask(merged, [request], run=Run(), stage="s")[0].text == "Be kind.\n\nHello"


def test_the_servers_own_words_are_shown_without_the_key(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.behave = lambda text, attempt: (401, {}, {"error": {"message": "wrong key sk-secret given"}})
    with pytest.raises(ChatError, match=r"wrong key \*\*\* given"):
        ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")


def test_connection_and_window_are_kept_from_stage_to_stage(server):
    model = open_model(server.url, model="m")
    ask(model, requests(*(f"a{i}" for i in range(40))), run=Run(), stage="one")
    grown, connection = model._window.size, model.connection()
    assert grown > 8
    ask(model, requests("b"), run=Run(), stage="two")
    assert model.connection() is connection and model._window.size >= grown
    model.close()
    model.close()
    assert connection.closed
    assert ask(model, requests("c"), run=Run(), stage="three")[0].text == "C"  # it opens again


@pytest.mark.parametrize("silent", [False, True])
def test_who_stops_listening_ends_the_calls_under_way(server, silent):
    """Nobody waits for half a minute: not in a pause that was asked for, and not for a server that says nothing."""
    over = threading.Event()

    def behave(text, attempt):
        if text != "0" and silent:
            over.wait(30)
        return (200, {}, completion("x")) if text == "0" else (503, {"retry-after": "30"}, {})

    server.behave = behave
    model = open_model(server.url, model="m")
    replies = model.answer(requests(*map(str, range(5))))
    next(replies)
    connection = model.connection()
    begun = time.monotonic()
    replies.close()
    assert connection.closed
    connection.pool.shutdown(wait=True)
    assert time.monotonic() - begun < 15
    over.set()


def test_a_password_in_the_url_is_in_no_name_and_no_digest():
    """Names stand in run.db, cards and logs; and a new password asks nothing anew."""
    first, second = (
        EndpointModel(f"https://user:{word}@host/v1?api_key={word}", model=f"https://user:{word}@host#m")
        for word in ("hunter2", "hunter3")
    )
    assert first.name == "https://***@host#m" and first.digest == second.digest
    assert first.digest != EndpointModel("https://user:pw@other/v1", model="m").digest
    assert EndpointModel("http://h/v1", model="m").digest == digest("endpoint", "http://h/v1", "m")
