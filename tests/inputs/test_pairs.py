"""Preference files in all three forms, with every fault named by file and line."""

import json
import time
import tracemalloc
from dataclasses import replace

import pytest

from cai_lite.errors import PairError
from cai_lite.inputs.pairs import (
    RAW,
    as_pairs,
    from_dataset,
    load_pairs,
    pair_lines,
    read_pairs,
    save_pairs,
    to_dataset,
)
from cai_lite.records import Message, PreferencePair


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


GOOD = {"prompt": [user("q")], "chosen": [assistant("yes")], "rejected": [assistant("no")]}


@pytest.fixture
def write(tmp_path):
    """Writes rows (objects or lines as they are) and gives the path."""

    def made(*rows):
        path = tmp_path / "pairs.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return made


def contents(messages):
    return [message.content for message in messages]


def test_message_lists_are_read(write):
    (pair,) = load_pairs(write(GOOD))
    assert pair.prompt == (Message("user", "q"),)
    assert (pair.chosen, pair.rejected) == ((Message("assistant", "yes"),), (Message("assistant", "no"),))
    assert pair.p_chosen == 1.0


def test_plain_strings_are_raw_text(write):
    (pair,) = load_pairs(write({"prompt": "once", "chosen": " upon", "rejected": " more"}))
    assert pair.prompt == (Message(RAW, "once"),)
    assert pair.chosen == (Message(RAW, " upon"),)


def test_an_implicit_prompt_is_what_both_message_lists_begin_with(write):
    shared = [user("a"), assistant("b"), user("c")]
    row = {"chosen": [*shared, assistant("yes")], "rejected": [*shared, assistant("no")]}
    (pair,) = load_pairs(write(row))
    assert contents(pair.prompt) == ["a", "b", "c"]
    assert (contents(pair.chosen), contents(pair.rejected)) == (["yes"], ["no"])


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Human: hi Bot: yes", "Human: hi Bot: no", "Human: hi Bot:"),
        ("say yellow", "say yelling", "say"),  # never inside a word
        ("say yes", "say yes sir", "say"),
        ("yes", "no", ""),
    ],
)
def test_an_implicit_prompt_in_strings_ends_between_words(write, chosen, rejected, prompt):
    (pair,) = load_pairs(write({"chosen": chosen, "rejected": rejected}))
    assert contents(pair.prompt) == [prompt]
    assert contents(pair.prompt + pair.chosen) == [prompt, chosen[len(prompt) :]]
    assert contents(pair.prompt + pair.rejected) == [prompt, rejected[len(prompt) :]]
    assert pair.chosen[0].content and pair.rejected[0].content


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"prompt": ', "not valid JSON: Expecting value at column 12"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "should be an object with 'chosen' and 'rejected', got list"),
        ({"prompt": "a", "rejected": "b"}, "has no 'chosen'; fields found: prompt, rejected"),
        ({**GOOD, "rejected": GOOD["chosen"]}, "'chosen' equals 'rejected'"),
        ({**GOOD, "prompt": "q"}, "mixes plain strings and message lists"),
        ({**GOOD, "chosen": ["yes"]}, "'chosen' is a list of 1 answers; write one row for each pair"),
        ({**GOOD, "chosen": [3]}, "'chosen[0]' should be"),
        ({**GOOD, "chosen": [{"role": "assistant"}]}, "'chosen[0]' should be"),
        ({**GOOD, "chosen": [{"role": "bot", "content": "x"}]}, "'chosen[0].role' should be system, user"),
        ({**GOOD, "chosen": []}, "'chosen' should be a string or a list of messages, got []"),
        ({**GOOD, "chosen": 3}, "'chosen' should be a string or a list of messages, got 3"),
        ({"prompt": "q", "chosen": "", "rejected": "no"}, "'chosen' is empty"),
        ({**GOOD, "p_chosen": 1.5}, "'p_chosen' should be above 0 and at most 1, got 1.5"),
        ({**GOOD, "p_chosen": "0.9"}, "'p_chosen' should be above 0 and at most 1, got '0.9'"),
        ({**GOOD, "p_chosen": True}, "'p_chosen' should be above 0"),
        ('{"prompt": "q", "chosen": "a", "rejected": "b", "p_chosen": NaN}', "'p_chosen' should be above 0"),
        ({**GOOD, "margin": "wide"}, "'margin' should be a number, got 'wide'"),
        ('{"prompt": "q", "chosen": "a", "rejected": "b", "margin": Infinity}', "'margin' should be a number"),
        ({**GOOD, "evidence": [1]}, "'evidence' should be an object, got list"),
        ({**GOOD, "parents": "key"}, "'parents' should be a list of strings"),
        ({"chosen": [user("a"), assistant("b")], "rejected": [user("c"), assistant("d")]}, "begin with different"),
        ({"chosen": [assistant("b")], "rejected": [assistant("d")]}, "begin with different"),
    ],
)
def test_a_fault_is_named_with_file_and_line(write, row, says):
    path = write(GOOD, "", row)
    with pytest.raises(PairError) as caught:
        load_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert says in str(caught.value)


def test_a_file_that_is_none_holds_nothing_or_is_no_text_is_a_clear_error(tmp_path):
    with pytest.raises(PairError, match="no such file"):
        load_pairs(tmp_path / "none.jsonl")
    with pytest.raises(PairError, match="is a folder; give a file"):
        load_pairs(tmp_path)
    empty, binary = tmp_path / "empty.jsonl", tmp_path / "binary.jsonl"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(PairError, match="contains no pairs"):
        load_pairs(empty)
    binary.write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(PairError, match=r"binary\.jsonl:1: byte 0xff is not UTF-8"):
        load_pairs(binary)


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([json.dumps(GOOD).encode()] * 2) + b"\r\n")
    assert len(load_pairs(path)) == 2


def test_what_is_saved_is_loaded_again_with_all_that_is_known_of_it(tmp_path):
    full = PreferencePair(
        prompt=(Message("system", "s"), Message("user", "q")),
        chosen=(Message("assistant", "a"),),
        rejected=(Message("assistant", "b"),),
        key="k",
        principle="kind",
        p_chosen=0.75,
        margin=0.25,
        rule="best of",
        family="f",
        parents=("x", "y"),
        evidence={"order": [0.7, 0.8]},
    )
    plain = PreferencePair(prompt=(Message(RAW, "p"),), chosen=(Message(RAW, "a"),), rejected=(Message(RAW, "b"),))
    save_pairs(tmp_path / "pairs.jsonl", [full, plain])
    assert load_pairs(tmp_path / "pairs.jsonl") == [full, plain]


def test_odd_characters_stay_what_they_are(tmp_path):
    odd = "a\u2028b\u2029c\x01d\x85e\x0bf\rg\nh🙂i\ufeffj\\ud800"
    pair = PreferencePair(
        prompt=(Message("user", odd),), chosen=(Message("assistant", odd),), rejected=(Message("assistant", "no"),)
    )
    path = tmp_path / "pairs.jsonl"
    save_pairs(path, [pair, pair])
    assert load_pairs(path) == [pair, pair]
    assert path.read_bytes().decode("utf-8").count("\n") == 2
    assert path.read_bytes() == "".join(pair_lines([pair, pair])).encode("utf-8")


def test_real_pairs_are_read(shared):
    pairs, bad = read_pairs(shared / "data" / "hh_harmless_300.jsonl")
    assert (len(pairs), [(row.line, row.kind) for row in bad]) == (299, [(87, "blank text")])
    assert all(pair.prompt[-1].role == "user" and pair.chosen != pair.rejected for pair in pairs)


def test_twenty_thousand_pairs_are_read_within_seconds(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text((json.dumps(GOOD) + "\n") * 20_000, encoding="utf-8")
    began = time.process_time()
    assert len(load_pairs(path)) == 20_000
    assert time.process_time() - began < 10


def test_pairs_go_through_a_data_set_and_back_unchanged(tmp_path):
    pairs = [
        PreferencePair(
            prompt=(Message("system", "s"), Message("user", f"q{i}")),
            chosen=(Message("assistant", "yes"),),
            rejected=(Message("assistant", "no"),),
            key=str(i),
            principle="kind",
            p_chosen=0.5 + i / 10,
            margin=i / 10,
            rule="human",
            family="f",
            parents=("a", "b")[:i],
            evidence={"verdicts": [{"judge": "j", "p": 0.7}]} if i else {},
        )
        for i in range(3)
    ]
    dataset = to_dataset(pairs)
    assert dataset.column_names[:3] == ["prompt", "chosen", "rejected"]
    assert from_dataset(dataset) == pairs
    dataset.to_json(tmp_path / "rows.jsonl")  # a file that others make of it is read, too
    assert [pair.prompt for pair in load_pairs(tmp_path / "rows.jsonl")] == [pair.prompt for pair in pairs]


def test_a_data_set_in_the_form_of_others_is_read_and_a_fault_is_named_by_its_row():
    from datasets import Dataset

    (pair,) = from_dataset(Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]))
    assert pair.prompt[0].role == RAW
    with pytest.raises(PairError, match="data set:1: 'chosen' equals 'rejected'"):
        from_dataset(Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "b"}]))
    with pytest.raises(PairError, match="contains no pairs"):
        from_dataset([])


def test_raw_text_and_messages_do_not_share_a_data_set():
    raw = PreferencePair(prompt=(Message(RAW, "a"),), chosen=(Message(RAW, "b"),), rejected=(Message(RAW, "c"),))
    said = PreferencePair(
        prompt=(Message("user", "a"),), chosen=(Message("assistant", "b"),), rejected=(Message("assistant", "c"),)
    )
    with pytest.raises(PairError, match="cannot contain both plain strings and message lists"):
        to_dataset([raw, said])


def test_a_dataset_with_one_split_is_that_split_and_with_several_they_are_named():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"prompt": "a ", "chosen": "b", "rejected": "c"}])
    assert from_dataset(datasets.DatasetDict(train=rows)) == from_dataset(rows) == as_pairs([dict(rows[0])])
    with pytest.raises(PairError, match=r"has the splits train, test; choose one: data\['NAME'\]"):
        from_dataset(datasets.DatasetDict(train=rows, test=rows))
    with pytest.raises(PairError, match="a single row"):
        from_dataset(dict(rows[0]))


def test_a_file_is_read_and_written_a_row_at_a_time(tmp_path):
    path, row = tmp_path / "pairs.jsonl", {**GOOD, "notes": "x" * 100_000}
    path.write_text("".join(json.dumps({**row, "key": str(i)}) + "\n" for i in range(200)), encoding="utf-8")
    tracemalloc.start()
    pairs = load_pairs(path)
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    long = (replace(pair, chosen=(Message("assistant", "y" * 100_000),)) for pair in pairs)
    save_pairs(path, long)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert read < 2_000_000 and written < 2_000_000


def test_equal_prompts_and_names_are_one_object(write):
    one, two = load_pairs(
        write({**GOOD, "principle": "be kind"}, {**GOOD, "chosen": [assistant("si")], "principle": "be kind"})
    )
    assert one.prompt is two.prompt and one.principle is two.principle


def test_a_text_that_a_data_set_cannot_store_is_an_error():
    odd = PreferencePair(prompt=(Message(RAW, "a"),), chosen=(Message(RAW, "\ud800"),), rejected=(Message(RAW, "c"),))
    with pytest.raises(PairError, match="half of a surrogate pair"):
        to_dataset([odd])


def test_parquet_is_read_through_datasets(tmp_path):
    from datasets import Dataset

    path = tmp_path / "a[1] b.parquet"
    Dataset.from_list([{"question": "why?", "chosen": "yes", "rejected": "no", "system": None}] * 2).to_parquet(path)
    assert [contents(pair.prompt) for pair in load_pairs(path)] == [["why?"], ["why?"]]
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(PairError, match="cannot be read as Parquet"):
        load_pairs(path)


def test_pairs_and_rows_can_be_given_in_one_list():
    row = {"prompt": "a ", "chosen": "b", "rejected": "c"}
    (pair,) = as_pairs([row])
    assert as_pairs([pair, row]) == from_dataset([row, pair]) == [pair, pair]
    with pytest.raises(PairError, match="data set:2: has no 'chosen'"):
        as_pairs([pair, {"rejected": "c"}])


def test_a_weight_is_kept_where_it_is_not_1(write, tmp_path):
    plain, heavy = load_pairs(write(GOOD, {**GOOD, "chosen": [assistant("si")], "weight": 2.5}))
    assert (plain.weight, heavy.weight) == (1.0, 2.5)
    save_pairs(tmp_path / "out.jsonl", [plain, heavy])
    assert ["weight" in line for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [False, True]
    assert load_pairs(tmp_path / "out.jsonl") == [plain, heavy] == from_dataset(to_dataset([plain, heavy]))
    assert as_pairs([plain, heavy], tmp_path / "aside.arrow")[1].weight == 2.5
    with pytest.raises(PairError, match="'weight' should be above 0 and finite, got 0"):
        load_pairs(write({**GOOD, "weight": 0}))
