"""Logs of a served model: the forms, lines that cannot be used, and files that grow or are replaced."""

from __future__ import annotations

import json

import pytest

from cai_lite.errors import InputError
from cai_lite.serving.conversations import Logged
from cai_lite.serving.logs import Log, lines_of

ASKED = [{"role": "user", "content": "Hi?"}]
SAID = {"role": "assistant", "content": "Hello."}
LINE = json.dumps({"messages": [*ASKED, SAID]})


def one(row) -> Logged:
    (line,) = lines_of([row])
    assert not line.faults, line.faults
    (found,) = line.found
    return found


def fault(row) -> str:
    (line,) = lines_of([row])
    assert not line.found
    return line.faults[0].kind


def attribute(key, value):
    return {"key": key, "value": value if isinstance(value, dict) else {"stringValue": value}}


def span(*attributes, events=(), **more):
    own = {"traceId": "ab", "spanId": "cd", "endTimeUnixNano": "1760000000000000000", **more}
    spans = [{**own, "attributes": list(attributes), "events": list(events)}]
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


PARTS_IN = [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}]
PARTS_OUT = [
    {
        "role": "assistant",
        "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Hello."}],
        "finish_reason": "stop",
    }
]


def encoded(value):
    """A value as OTLP/JSON writes it when it is structured, not a JSON text."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [encoded(item) for item in value]}}
    return {"kvlistValue": {"values": [{"key": k, "value": encoded(v)} for k, v in value.items()]}}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [*ASKED, SAID]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi?"}]}, SAID]},
        {"request": {"messages": ASKED}, "response": {"choices": [{"message": SAID}], "created": 1760000000}},
        {"request": {"body": {"messages": ASKED}}, "response": {"body": {"choices": [{"message": SAID}]}}},
        {
            "request": {"input": "Hi?"},
            "response": {
                "output": [
                    {"type": "reasoning"},
                    {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]},
                ]
            },
        },
        {"prompt": "Hi?", "answer": "Hello."},
        {"prompt": ASKED, "answer": "Hello.", "key": "k", "side": "after", "tags": [], "verdicts": {}},
        span(
            attribute("gen_ai.input.messages", json.dumps(PARTS_IN)),
            attribute("gen_ai.output.messages", json.dumps(PARTS_OUT)),
        ),
        span(
            attribute("gen_ai.input.messages", encoded(PARTS_IN)),
            attribute("gen_ai.output.messages", encoded(PARTS_OUT)),
        ),
        span(
            events=[
                {"name": "gen_ai.content.prompt", "attributes": [attribute("gen_ai.prompt", json.dumps(ASKED))]},
                {"name": "gen_ai.content.completion", "attributes": [attribute("gen_ai.completion", "Hello.")]},
            ]
        ),
        span(
            events=[
                {"name": "gen_ai.user.message", "attributes": [attribute("content", "Hi?")]},
                {
                    "name": "gen_ai.choice",
                    "attributes": [attribute("gen_ai.event.content", json.dumps({"message": SAID}))],
                },
            ]
        ),
        span(
            attribute("gen_ai.prompt.0.role", "user"),
            attribute("gen_ai.prompt.0.content", "Hi?"),
            attribute("gen_ai.completion.0.content", "Hello."),
        ),
    ],
)
def test_every_form_gives_the_same_conversation(row):
    found = one(row)
    assert [tuple(message) for message in found.prompt] == [("user", "Hi?")] and found.answer == "Hello."


def test_what_stands_around_a_conversation_is_read():
    found = one({"id": "r1", "created": 1760000000000, "metadata": {"tags": "a, b"}, "messages": [*ASKED, SAID]})
    assert (found.id, found.at, found.tags) == ("r1", 1760000000.0, ("a", "b"))
    traced = one(
        span(attribute("gen_ai.prompt", "Hi?"), attribute("gen_ai.completion", "x"), attribute("cai_lite.tags", "a"))
    )
    assert (traced.trace, traced.span, traced.at, traced.tags) == ("ab", "cd", 1760000000.0, ("a",))
    assert one({"prompt": "Hi?", "answer": "x", "at": "2026-01-01T00:00:00Z", "family": "f"}).at == 1767225600.0
    assert one({"prompt": "Hi?", "answer": "a\x00\ud800b"}).answer == "a\ufffd\ufffdb"


def test_systems_are_joined_and_tools_left_out():
    turns = [
        {"role": "developer", "content": "Be brief."},
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "42"},
        SAID,
    ]
    assert [m.role for m in one({"messages": turns}).prompt] == ["system", "user"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (3, "no conversation"),
        ({"x": 1}, "no conversation"),
        ({"messages": ASKED}, "no answer"),
        ({"messages": [SAID]}, "no question"),
        ({"messages": [*ASKED, {"role": "assistant", "content": " "}]}, "no answer"),
        ({"messages": ["Hi?", "Hello."]}, "other form"),
        ({"request": {"messages": ASKED}, "response": {"error": {"code": 500}}}, "no answer"),
        ({"prompt": 3, "answer": "x"}, "no conversation"),
        (span(attribute("gen_ai.input.messages", '[{"role": "us')), "messages cut"),
        (span(attribute("gen_ai.prompt", "Hi?")), "no answer"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_by_its_reason(row, kind):
    assert fault(row) == kind


def test_other_spans_are_no_conversations_and_no_faults():
    row = span(
        attribute("gen_ai.operation.name", "execute_tool"),
        attribute("gen_ai.prompt", "x"),
        attribute("gen_ai.completion", "y"),
    )
    (line,) = lines_of([row])
    assert (list(line.found), list(line.faults), line.other) == ([], [], 1)


def read(path, position=None):
    log = Log(path, position)
    replaced = log.replaced()
    return list(log.lines()), log, replaced


def test_broken_lines_keep_their_numbers_and_nothing_of_their_content(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + LINE.encode()
        + b"\n{secret\n\n\xff\xfe\n"
        + b'{"a":' * 100_000
        + b"\n"
        + LINE.encode()
        + b"\n"
    )
    lines, log, _ = read(path)
    assert [line.number for line in lines if line.found] == [1, 6]
    faults = [fault for line in lines for fault in line.faults]
    assert [(fault.line, fault.kind) for fault in faults] == [(2, "not JSON"), (4, "not UTF-8"), (5, "not JSON")]
    assert not any("secret" in fault.reason for fault in faults)
    assert log.position.offset == path.stat().st_size and log.position.line == 6


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LINE + "\n" + LINE[:20])
    lines, log, _ = read(path)
    assert len(lines) == 1 and log.unfinished
    with path.open("a") as file:
        file.write(LINE[20:])
    more, log, replaced = read(path, log.position)
    assert [line.number for line in more] == [2] and more[0].found and not replaced
    with path.open("a") as file:
        file.write("\n" + LINE + "\n")
    assert sum(len(line.found) for line in read(path, log.position)[0]) == 1


def test_a_log_that_was_rotated_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LINE + "\n" + LINE + "\n")
    position = read(path)[1].position
    path.write_text(json.dumps({"prompt": "Other?", "answer": "x" * 500}) + "\n")
    lines, _, replaced = read(path, position)
    assert replaced and len(lines) == 1
    path.write_text(LINE + "\n")  # the same beginning, but shorter
    assert read(path, position)[2]


def test_a_short_log_that_grows_while_it_is_read_is_still_the_same_log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LINE + "\n")
    log = Log(path)
    for _ in log.lines():
        if path.stat().st_size < 3000:
            with path.open("a") as file:
                file.write(LINE + "\n")
    assert log.position.offset == path.stat().st_size and not log.replaced()
    assert not Log(path, log.position).replaced()


def test_one_json_document_is_read_as_its_rows(tmp_path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps([json.loads(LINE)] * 3, indent=1))
    lines, log, _ = read(path)
    assert len(lines) == 3 and read(path, log.position)[0] == []
    path.write_text(json.dumps(span(attribute("gen_ai.prompt", "Hi?"), attribute("gen_ai.completion", "x")), indent=1))
    assert read(path)[0][0].found


def test_a_log_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Log(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a folder"):
        Log(tmp_path)
