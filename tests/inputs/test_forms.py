"""Every form of a preference row in public data sets: mapped with its whole question, or refused."""

import json

import pytest

from cai_lite.errors import PairError
from cai_lite.inputs.forms import RAW, sides_of
from cai_lite.inputs.pairs import load_pairs, read_pairs
from cai_lite.inputs.textfile import RowFault


def says(role, content):
    return {"role": role, "content": content}


def said(who, value):
    return {"from": who, "value": value}


Q, YES, NO = says("user", "why?"), says("assistant", "yes"), says("assistant", "no")
SIDES = {"chosen": "yes", "rejected": "no"}
WHOLE = {"chosen": [Q, YES], "rejected": [Q, NO]}
ASKED = [("user", "why?")]
BRIEFED = [("system", "be brief"), ("user", "why?")]

MAPPED = {
    "TRL, explicit prompt": ({"prompt": [Q], "chosen": [YES], "rejected": [NO]}, ASKED),
    "TRL, implicit prompt": (WHOLE, ASKED),
    "a system column": ({"prompt": [Q], "system": "be brief", "chosen": [YES], "rejected": [NO]}, BRIEFED),
    "a system column before plain text": ({"prompt": "why?", "system": "be brief", **SIDES}, BRIEFED),
    "a system column before whole conversations": ({**WHOLE, "system": "be brief"}, BRIEFED),
    "an empty system column": ({"prompt": [Q], "system": " ", "chosen": [YES], "rejected": [NO]}, ASKED),
    "answers as text to a prompt of messages": ({"prompt": [Q], **SIDES}, ASKED),
    "a question": ({"question": "why?", **SIDES}, ASKED),
    "a system message and a question": ({"system": "be brief", "question": "why?", **SIDES}, BRIEFED),
    "a question in 'input'": ({"system": "be brief", "input": "why?", **SIDES}, BRIEFED),
    "Alpaca": ({"instruction": "Translate.", "input": "ja", **SIDES}, [("user", "Translate.\nja")]),
    "Alpaca, without input": ({"instruction": "why?", "input": "", **SIDES}, ASKED),
    "Alpaca, chosen called output": ({"instruction": "why?", "output": "yes", "rejected": "no"}, ASKED),
    "Alpaca, with history": (
        {"instruction": "why?", "history": [["hi", "hello"]], **SIDES},
        [("user", "hi"), ("assistant", "hello"), ("user", "why?")],
    ),
    "ShareGPT": (
        {"conversations": [said("human", "why?")], "chosen": said("gpt", "yes"), "rejected": said("gpt", "no")},
        ASKED,
    ),
    "ShareGPT, with system": (
        {"conversations": [said("human", "why?")], "system": "be brief", **SIDES},
        BRIEFED,
    ),
    "a plain prompt before whole conversations": ({"prompt": "why?", **WHOLE}, ASKED),
    "a plain prompt, and the chosen conversation again": ({"prompt": "why?", "messages": [Q, YES], **WHOLE}, ASKED),
    "a prompt of messages that the sides repeat": ({"prompt": [Q], **WHOLE}, ASKED),
    "OpenAI": (
        {"input": {"messages": [Q], "tools": []}, "preferred_output": [YES], "non_preferred_output": [NO]},
        ASKED,
    ),
    "scores and ids": ({"prompt": [Q], "chosen": [YES], "rejected": [NO], "score_chosen": 9, "id": 3}, ASKED),
}

REFUSED = {
    "KTO": ({"prompt": "why?", "completion": "yes", "label": True}, "one answer with a label, as for KTO"),
    "KTO in messages": ({"messages": [Q, YES], "label": True}, "one answer with a label, as for KTO"),
    "no sides": ({"instruction": "why?", "output": "yes"}, "has no 'chosen'; fields found"),
    "lists of answers": ({"prompt": "why?", "chosen": ["a", "b"], "rejected": ["c"]}, "a list of 2 answers"),
    "a context": ({"question": "why?", "context": "It rained.", **SIDES}, "the column 'context' may belong"),
    "two questions": ({"prompt": "why?", "instruction": "Explain.", **SIDES}, "the column 'instruction' may belong"),
    "an input beside the prompt": ({"prompt": "why?", "input": "x", **SIDES}, "the column 'input' may belong"),
    "a history beside the prompt": ({"prompt": "a", "history": [["b", "c"]], **SIDES}, "the column 'history' may"),
    "images": ({"prompt": "why?", "images": ["a.png"], **SIDES}, "the column 'images' may belong"),
    "tools": ({"conversations": [said("human", "q")], "tools": "[{}]", **SIDES}, "the column 'tools' may belong"),
    "a system column before an implicit text": ({"system": "s", "chosen": "a b", "rejected": "a c"}, "column 'system'"),
    "two system messages": ({"prompt": [says("system", "a"), Q], "system": "b", **SIDES}, "'system' differs"),
    "a call": ({"prompt": [Q], "chosen": [{**YES, "tool_calls": [{}]}], "rejected": [NO]}, "has tool calls"),
    "a call in ShareGPT": (
        {"conversations": [said("human", "a"), said("function_call", "b")], **SIDES},
        "should be system, user, assistant, tool, human, gpt or observation, got 'function_call'",
    ),
    "another prompt": ({"prompt": [says("user", "who?")], **WHOLE}, "do not begin with the prompt"),
    "a side spoken by the user": ({"prompt": [Q], "chosen": [says("user", "x")], "rejected": [NO]}, "message of the u"),
    "a side that ends with the user": ({"prompt": [Q], "chosen": [YES, Q], "rejected": [NO]}, "message of the user"),
    "a prompt that ends with the answer": ({"prompt": [Q, YES], **SIDES}, "ends with the assistant's message"),
    "a blank side": ({"prompt": [Q], "chosen": [says("assistant", " \n")], "rejected": [NO]}, "'chosen' is empty"),
    "a blank question": ({"prompt": [says("user", " ")], **SIDES}, "message 1 of the prompt is empty"),
    "NUL": ({"prompt": "why?", "chosen": "a\0", "rejected": "b"}, "contains the character NUL at character 2"),
    "a surrogate": ({"prompt": "\ud800", **SIDES}, r"half of a surrogate pair \(U\+D800\)"),
    "a megabyte": ({"prompt": "why?", "chosen": "a" * 1_000_001, "rejected": "b"}, "has 1,000,001 characters"),
    "parts of several kinds": ({"prompt": [{"role": "user", "content": [{"type": "text"}]}], **SIDES}, "with strings"),
}


def shape(messages):
    return [(message.role, message.content) for message in messages]


@pytest.mark.parametrize(("row", "prompt"), MAPPED.values(), ids=MAPPED)
def test_a_known_form_is_mapped_with_its_whole_question(row, prompt):
    assert [shape(side) for side in sides_of(row)] == [prompt, [("assistant", "yes")], [("assistant", "no")]]


@pytest.mark.parametrize(("row", "message"), REFUSED.values(), ids=REFUSED)
def test_a_row_that_would_be_half_read_is_refused(row, message):
    with pytest.raises(RowFault, match=message):
        sides_of(row)


def test_plain_text_is_completed_without_a_chat_template_and_the_prompt_is_not_repeated():
    assert shape(sides_of({"prompt": "Once upon", "chosen": " a", "rejected": " b"})[0]) == [(RAW, "Once upon")]
    row = {
        "prompt": "Human: tell me more\n",
        "chosen": "Human: tell me more\nyes",
        "rejected": "Human: tell me more\nno",
    }
    assert [shape(side) for side in sides_of(row)] == [[(RAW, row["prompt"])], [(RAW, "yes")], [(RAW, "no")]]
    ours = {**row, "rule": "", "parents": [], "evidence": {}}
    assert shape(sides_of(ours)[1]) == [(RAW, row["chosen"])]


def test_forms_may_be_mixed_in_one_file_and_a_list_is_read_as_lines_are(tmp_path):
    rows = [row for row, _ in MAPPED.values()]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    assert load_pairs(tmp_path / "rows.jsonl") == load_pairs(tmp_path / "rows.json")
    assert len(load_pairs(tmp_path / "rows.json")) == len(rows)


@pytest.mark.parametrize("name", ["llamafactory_dpo_en_30.json", "llamafactory_dpo_zh_30.json"])
def test_real_sharegpt_rows_keep_question_and_answers(shared, name):
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rows, pairs = json.loads(path.read_text(encoding="utf-8")), load_pairs(path)
    assert len(pairs) == len(rows) == 30
    for row, pair in zip(rows, pairs, strict=True):
        assert [m.content for m in pair.prompt] == [turn["value"] for turn in row["conversations"]]
        assert (pair.chosen[0].content, pair.rejected[0].content) == (row["chosen"]["value"], row["rejected"]["value"])
        assert pair.prompt[-1].role == "user" and pair.chosen[0].role == "assistant"


def test_real_unpaired_rows_are_refused_in_words(shared):
    path = shared / "data" / "llamafactory_kto_en_30.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with pytest.raises(PairError, match=r"(?s)as for KTO, is not a preference pair.*30 of 30 rows cannot be used"):
        read_pairs(path)
