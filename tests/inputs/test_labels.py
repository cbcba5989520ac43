"""Labels of people: how they are read, and how those of several are joined."""

import json

import pytest

from cai_lite.errors import LabelError
from cai_lite.inputs.labels import AnswerLabel, load_labels, settle

GOOD = {"answer": "a1", "principle": "kind", "keeps": True, "by": "ada", "at": "2026-05-01T10:00:00Z"}


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "labels.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def said(keeps, by="ada", at=0.0, answer="a1", principle="kind"):
    return AnswerLabel(answer=answer, principle=principle, keeps=keeps, by=by, at=at)


def test_a_label_is_read_with_its_time(file):
    first, second, third = load_labels(
        file(GOOD, GOOD | {"at": "2026-05-01T12:00:00+02:00", "weight": 2}, GOOD | {"at": 7.5, "keeps": False})
    )
    assert first == AnswerLabel(answer="a1", principle="kind", keeps=True, by="ada", at=1777629600.0)
    assert (second.at, second.weight) == (first.at, 2.0)
    assert (third.at, third.keeps) == (7.5, False)
    assert load_labels(file(GOOD | {"at": "2026-05-01T10:00:00"}))[0].at == first.at  # without a zone it is UTC
    assert load_labels(file()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keeps": "yes"}, "'keeps' should be true or false, got 'yes'"),
        ({"keeps": 1}, "'keeps' should be true or false, got 1"),
        ({"by": " "}, "'by' should be a text, got ' '"),
        ({"answer": 5}, "'answer' should be a text, got 5"),
        ({"at": "yesterday"}, "'at' should be a time such as 2026-05-01T10:00:00Z, or seconds, got 'yesterday'"),
        ({"weight": 0}, "'weight' should be a number above 0, got 0"),
        ({"keep": True}, "unknown field 'keep'; did you mean 'keeps'?"),
    ],
)
def test_a_faulty_label_is_an_error_with_file_line_and_field(file, change, message):
    path = file(GOOD, GOOD | change)
    with pytest.raises(LabelError) as caught:
        load_labels(path)
    assert str(caught.value) == f"{path}:2: {message}"


def test_a_field_that_is_missing_and_a_line_cut_short_are_errors(file):
    path = file({"answer": "a1"}, '{"answer": "a', "7", "{}", "{}")
    with pytest.raises(LabelError) as caught:
        load_labels(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}:1: 'principle' is missing"
    assert lines[1].startswith(f"{path}:2: not valid JSON")
    assert lines[2] == f"{path}:3: should be an object with answer, principle, keeps, by, at, got 7"
    assert lines[3] == f"{path}: 2 more lines cannot be used"


def test_of_one_person_the_latest_label_counts():
    found = settle([said(True, at=2), said(False, at=1), said(False, at=5, answer="a2"), said(True, at=5, answer="a2")])
    assert found.keeps == {("a1", "kind"): True, ("a2", "kind"): True}
    assert found.superseded == 2


def test_of_several_people_the_majority_counts_and_a_tie_is_no_label():
    votes = [said(True, "ada"), said(True, "bo"), said(False, "cy")]
    split = [said(True, "ada", answer="a2"), said(False, "bo", answer="a2")]
    found = settle([*votes, *split])
    assert (found.keeps, found.ties) == ({("a1", "kind"): True}, 1)
    assert found.votes["a2", "kind"] == {"ada": True, "bo": False}
