"""Bad rows are set aside and counted; too many of them are an error."""

import json
import logging

import pytest

from cai_lite.errors import PairError, PromptError
from cai_lite.inputs.pairs import load_pairs, read_pairs
from cai_lite.inputs.prompts import load_prompts
from cai_lite.inputs.quarantine import BadRow, reasons

GOOD = {"prompt": "why?", "chosen": "yes", "rejected": "no"}
EMPTY, EQUAL = {**GOOD, "chosen": " "}, {**GOOD, "chosen": "no"}


def written(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_one_empty_answer_does_not_refuse_a_file_and_is_listed(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [GOOD] * 400 + [EMPTY] + [GOOD] * 381)
    assert len(load_pairs(path, quarantine=tmp_path / "quarantine.jsonl")) == 781
    (row,) = map(json.loads, (tmp_path / "quarantine.jsonl").read_text().splitlines())
    assert row == {"file": str(path), "line": 401, "kind": "blank text", "reason": "'chosen' is empty"}


def test_a_clean_file_removes_the_list_of_an_earlier_reading(tmp_path):
    (tmp_path / "quarantine.jsonl").write_text("old", encoding="utf-8")
    load_pairs(written(tmp_path / "pairs.jsonl", [GOOD]), quarantine=tmp_path / "quarantine.jsonl")
    assert not (tmp_path / "quarantine.jsonl").exists()


def test_without_a_place_for_the_list_a_warning_is_logged(tmp_path, caplog):
    path = written(tmp_path / "pairs.jsonl", [GOOD] * 40 + ["{\n"])
    with caplog.at_level(logging.WARNING):
        assert len(load_pairs(path)) == 40
    assert "1 of 41 rows left out (1 not valid JSON); line 41: not valid JSON" in caplog.text


def test_too_many_bad_rows_are_an_error_with_the_first_three_and_the_counts(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [GOOD] * 30 + [EMPTY, EQUAL, EMPTY, EMPTY])
    with pytest.raises(PairError) as caught:
        load_pairs(path)
    assert str(caught.value).splitlines() == [
        f"{path}:31: 'chosen' is empty",
        f"{path}:32: 'chosen' equals 'rejected', so there is no preference",
        f"{path}:33: 'chosen' is empty",
        f"{path}: 4 of 34 rows cannot be used (3 blank text, 1 equal sides); 'max_bad' allows 0.05 of them",
    ]
    pairs, bad = read_pairs(path, max_bad=0.2)
    assert (len(pairs), reasons(bad)) == (30, "3 blank text, 1 equal sides")
    assert bad[1] == BadRow(str(path), 32, "equal sides", "'chosen' equals 'rejected', so there is no preference")
    with pytest.raises(PairError, match="'max_bad' should be from 0 to below 1, got 1"):
        load_pairs(path, max_bad=1)


def test_a_file_of_bad_rows_is_an_error_whatever_is_allowed(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [EMPTY])
    with pytest.raises(PairError, match=r"1 of 1 rows cannot be used \(1 blank text\); so there are no pairs"):
        load_pairs(path, max_bad=0.9)


def test_prompts_are_sifted_in_the_same_way(tmp_path):
    rows = [{"prompt": f"word{i} thing{i} place{i}"} for i in range(40)]
    path = written(tmp_path / "prompts.jsonl", [*rows, {"prompt": "\0"}])
    prompts = load_prompts(path, held_out=0)
    assert (len(prompts.train), prompts.report["rows"], prompts.report["unusable"]) == (40, 40, 1)
    assert prompts.bad == [
        BadRow(str(path), 41, "unwritable text", "'message 1' contains the character NUL at character 1")
    ]
    with pytest.raises(PromptError, match="'max_bad' allows 0 of them"):
        load_prompts(path, held_out=0, max_bad=0)


def test_a_system_column_of_a_prompt_is_read_and_another_context_refused(tmp_path):
    path = written(tmp_path / "prompts.jsonl", [{"prompt": "why?", "system": "be brief"}])
    (prompt,) = load_prompts(path, held_out=0).train
    assert [m.role for m in prompt.messages] == ["system", "user"]
    with pytest.raises(PromptError, match="the column 'context' may belong to the prompt"):
        load_prompts(written(path, [{"prompt": "why?", "context": "It rained."}]))
