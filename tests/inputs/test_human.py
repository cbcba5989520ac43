"""Votes and edits of people: how they are read and written."""

import json

import pytest

from cai_lite.errors import LabelError
from cai_lite.inputs.human import HumanEdit, HumanVote, append_rows, read_human
from cai_lite.records import Message

PROMPT = (Message("system", "Be brief."), Message("user", "Hi"))
VOTE = HumanVote(
    prompt=PROMPT, a="Hello!", b="What?", choice="a", confidence=0.5, by="ada", at=1777629600.125, pair="p"
)
EDIT = HumanEdit(prompt=PROMPT, before="What?", after="Hello!", principle="kind", by="bo", at=1777629600.0, source="c")


def test_votes_and_edits_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "human.jsonl"
    append_rows(path, [VOTE.as_row(), EDIT.as_row()])
    assert read_human(path) == [VOTE, EDIT]
    assert json.loads(path.read_text().splitlines()[0])["at"] == "2026-05-01T10:00:00.125Z"


def test_a_line_without_an_end_is_ended_before_the_next(tmp_path):
    path = tmp_path / "human.jsonl"
    path.write_text(json.dumps(VOTE.as_row()))
    append_rows(path, [EDIT.as_row()])
    append_rows(path, [])
    assert read_human(path) == [VOTE, EDIT]


def test_a_vote_may_leave_out_what_it_does_not_say(tmp_path):
    path = tmp_path / "human.jsonl"
    said = {"kind": "vote", "prompt": [{"role": "user", "content": "Hi"}], "a": "x", "b": "", "choice": "tie"}
    append_rows(path, [said | {"by": "ada", "at": 7}])
    assert read_human(path) == [HumanVote(prompt=PROMPT[1:], a="x", b="", choice="tie", by="ada", at=7.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": "c"}, "'choice' should be a, b or tie, got 'c'"),
        ({"b": "Hello!"}, "'a' equals 'b', so there is nothing to prefer"),
        ({"confidence": 2}, "'confidence' should be a number from 0 to 1, got 2"),
        ({"prompt": "Hi"}, "'prompt' should be a list of messages, got 'Hi'"),
        ({"by": ""}, "'by' should be a text, got ''"),
        ({"at": 1e300}, "'at' should be a time such as 2026-05-01T10:00:00Z, or seconds, got 1e+300"),
        ({"a": "\0"}, "'a' contains the character NUL at character 1"),
        ({"votes": 1}, "unknown field 'votes'"),
        ({"kind": "like"}, "should be an object whose 'kind' is vote or edit"),
    ],
)
def test_a_faulty_line_is_an_error_with_file_line_and_field(tmp_path, change, message):
    path = tmp_path / "human.jsonl"
    append_rows(path, [EDIT.as_row(), VOTE.as_row() | change])
    with pytest.raises(LabelError) as caught:
        read_human(path)
    assert str(caught.value).startswith(f"{path}:2: {message}")


def test_of_many_faulty_lines_three_are_shown(tmp_path):
    path = tmp_path / "human.jsonl"
    path.write_text("7\n{}\n" + "null\n" * 3)
    with pytest.raises(LabelError, match="2 more lines cannot be used"):
        read_human(path)
