"""Demonstrations in the forms that people have."""

from __future__ import annotations

import json

import pytest

from cai_lite.errors import PairError
from cai_lite.inputs.demonstrations import as_demonstrations, read_demonstrations
from cai_lite.records import Message

USER = {"role": "user", "content": "Hi"}
ASSISTANT = {"role": "assistant", "content": "Hello"}
CHAT = ((Message("user", "Hi"),), (Message("assistant", "Hello"),))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Hi", "completion": " Hello"}, ((Message("", "Hi"),), (Message("", " Hello"),))),
        ({"prompt": [USER], "completion": [ASSISTANT]}, CHAT),
        ({"prompt": [USER], "completion": "Hello"}, CHAT),
        ({"prompt": "Hi", "completion": [ASSISTANT]}, CHAT),
        ({"messages": [USER, ASSISTANT]}, CHAT),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, CHAT),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, CHAT),
        ({"question": "Hi", "answer": "Hello"}, CHAT),
        (
            {"messages": [USER, ASSISTANT], "system": "Be kind."},
            ((Message("system", "Be kind."), *CHAT[0]), CHAT[1]),
        ),
        (
            {"prompt": [USER], "completion": [ASSISTANT], "system": "Be kind."},
            ((Message("system", "Be kind."), *CHAT[0]), CHAT[1]),
        ),
    ],
)
def test_a_row_is_read_in_each_form(row, expected):
    (found,) = as_demonstrations([{**row, "family": "f"}])
    assert (found.prompt, found.completion) == expected
    assert found.family == "f"


def test_lists_data_sets_and_files_hold_the_same_rows(tmp_path):
    from datasets import Dataset

    rows = [{"prompt": [USER], "completion": [ASSISTANT]}]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(rows[0]) + "\n")
    found = as_demonstrations(rows)
    assert found == as_demonstrations(path) == as_demonstrations(Dataset.from_list(rows)) == as_demonstrations(found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"prompt": "Hi"}], "data set:1: has no 'completion'; fields found: prompt"),
        ([{"completion": "Hi"}], "has no 'prompt'"),
        ([{"prompt": "Hi", "completion": " "}], "has no 'completion'"),
        ([{"prompt": [USER], "completion": [USER]}], "'completion' should be the assistant's"),
        ([{"messages": [USER]}], "'messages' should end with an answer of the assistant"),
        ([{"messages": [ASSISTANT]}], "'messages' should end with an answer of the assistant"),
        ([{"prompt": "q", "chosen": "a", "rejected": "b"}], "take method 'dpo', or 'on': 'chosen'"),
        ([{"prompt": "q", "completion": "a", "context": "secret"}], "the column 'context' may belong to the prompt"),
        ([3], "should be an object with 'prompt' and 'completion', got int"),
        (3, "demonstrations should be rows with 'prompt' and 'completion'"),
        ([], "contains no demonstrations"),
    ],
)
def test_what_is_no_demonstration_is_refused_in_words(given, says):
    with pytest.raises(PairError) as caught:
        as_demonstrations(given)
    assert says in str(caught.value)


def test_few_bad_rows_of_a_file_are_set_aside(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{i}", "completion": "a"}) + "\n" for i in range(30)) + "{}\n")
    good, bad = read_demonstrations(path)
    assert len(good) == 30
    assert [(row.line, row.kind) for row in bad] == [(31, "no 'completion'")]
