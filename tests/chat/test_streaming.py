"""Answers piece by piece: the same reply as without, asked once."""

from __future__ import annotations

import json

import pytest

from cai_lite.chat import open_model
from cai_lite.chat.asking import ask
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.chat.streaming import streamed
from cai_lite.records import Message, Reply, Request, Sampling
from cai_lite.run.ledger import Run


def request(text="I have a headache.", **sampling):
    return Request(messages=(Message("user", text),), sampling=Sampling(**{"temperature": 0.0, **sampling}))


class Writing(ScriptedModel):
    """A scripted model that writes these pieces, and breaks off where the last is no reply."""

    def __init__(self, *pieces):
        super().__init__(lambda request: "asked again")
        self._pieces = pieces

    def stream(self, request):
        yield from self._pieces


@pytest.mark.parametrize("sampling", [{"max_tokens": 24}, {"max_tokens": 5}, {"temperature": 1.0, "max_tokens": 24}])
def test_a_local_model_writes_the_reply_that_it_would_have_given(sampling):
    model, asked, run = open_model("embedded:student"), request(**sampling), Run()
    pieces = list(streamed(model, asked, run=run, stage="draft"))
    (whole,) = ask(model, [asked], run=Run(), stage="draft")
    (kept,) = run.replies([asked.key(model.digest)]).values()
    assert "".join(pieces).strip() == whole.text == kept.text and len(pieces) > 3
    assert (kept.outcome, kept.tokens_out) == (whole.outcome, whole.tokens_out)
    assert list(streamed(model, asked, run=run, stage="draft")) == []  # asked once


def test_a_base_beside_its_adapter_gives_its_reply_whole():
    model = open_model("embedded:student").without_adapter()
    assert [type(piece) for piece in model.stream(request(max_tokens=4))] == [Reply]


def test_a_thought_is_not_shown():
    pieces = ["<thi", "nk>what do", " they want</think>", "\n\nRe", "st."]
    model = Writing(*pieces, Reply(text="".join(pieces)))
    assert list(streamed(model, request(), run=Run(), stage="draft")) == ["Re", "st."]


def test_what_only_begins_like_a_thought_is_shown_once_that_is_known():
    model = Writing("Here", " is", " how: rest.", Reply(text="Here is how: rest."))
    assert list(streamed(model, request(), run=Run(), stage="draft")) == ["Here is how: rest."]


def test_a_stream_that_breaks_off_is_no_reply_and_is_asked_again():
    model, run = Writing("Re"), Run()
    assert list(streamed(model, request(), run=run, stage="draft")) == ["Re"]
    assert ask(model, [request()], run=run, stage="draft")[0].text == "asked again"


def events(*deltas, ending="stop"):
    rows = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    rows += [{"choices": [{"delta": {}, "finish_reason": ending}]}, {"choices": []}] if ending else []
    return "".join(f"data: {json.dumps(row)}\n\n" for row in rows) + ("data: [DONE]\n\n" if ending else "")


def served(server, body, status=200):
    server.reply = lambda asked: (status, {"content-type": "text/event-stream"}, body)
    model = open_model(server.url, model="m")
    return model, list(model.stream(request(max_tokens=50)))


def test_a_server_is_read_as_it_sends(server):
    model, pieces = served(
        server, events({"role": "assistant"}, {"reasoning_content": "hm"}, {"content": "Re"}, {"content": "st."})
    )
    *written, reply = pieces
    assert written == ["Re", "st."] and reply.text == "<think>\nhm\n</think>\n\nRest." and reply.outcome == "ok"
    assert server.bodies[0] == model.body(request(max_tokens=50)) | {"stream": True}
    model.close()


def test_a_server_that_cuts_the_reply_says_so(server):
    model, (*_, reply) = served(server, events({"content": "Re"}, ending="length"))
    assert (reply.text, reply.outcome) == ("Re", "cut")
    model.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [(events({"content": "Re"}, ending=None), 200), ("data: [1]\n\n", 200), ("data: {\n\n", 200), ("no", 500)],
)
def test_a_broken_stream_has_no_reply(server, body, status):
    model, pieces = served(server, body, status)
    assert not any(isinstance(piece, Reply) for piece in pieces)
    model.close()
