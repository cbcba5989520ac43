"""Against a real HTTP server on this machine that misbehaves on request."""

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


def test_a_server_that_never_gave_an_answer_is_given_up_within_seconds(server):
    import time

    begun = time.monotonic()
    with pytest.raises(ChatError, match=r"cannot be reached: check the URL"):
        ask(open_model("http://127.0.0.1:9/v1", model="m"), requests("a"), run=Run(), stage="s")
    server.behave = lambda text, attempt: (200, {}, "<html>please log in</html>")
    with pytest.raises(ChatError, match=r"no chat completion: check the URL"):
        ask(open_model(server.url, model="m"), requests("a"), run=Run(), stage="s")
    assert time.monotonic() - begun < 30


def test_a_server_that_once_answered_is_waited_for(server):
    """Five bad bodies in a row are a bad moment of a server that is known to work."""
    html = (200, {"retry-after": "0"}, "<html>")
    server.behave = lambda text, attempt: html if text == "late" and attempt <= 5 else (200, {}, completion("fine"))
    model = open_model(server.url, model="m")
    run = Run()
    assert ask(model, requests("first"), run=run, stage="s")[0].text == "fine"
    assert ask(model, requests("late"), run=run, stage="s")[0].attempts == 6


def test_a_password_in_the_url_is_in_no_name_and_no_digest():
    """Names stand in run.db, cards and logs; and a new password asks nothing anew."""
    first, second = (
        EndpointModel(f"https://user:{word}@host/v1?api_key={word}", model=f"https://user:{word}@host#m")
        for word in ("hunter2", "hunter3")
    )
    assert first.name == "https://***@host#m" and first.digest == second.digest
    assert first.digest != EndpointModel("https://user:pw@other/v1", model="m").digest
    assert EndpointModel("http://h/v1", model="m").digest == digest("endpoint", "http://h/v1", "m")
