"""Decisions in the forms of other tools, there and back."""

import json
import shutil

import pytest

from cai_lite.errors import InputError, LabelError
from cai_lite.run.ledger import Run
from cai_lite.serving.review_forms import FORMS, export_review, import_review
from cai_lite.serving.reviewing import Decision, Review
from tests.serving.reviewed import make_run

DECIDED = {
    "pairs": [
        {"choice": "first", "confidence": 0.5},
        {"choice": "second", "edit": (1, "Better.")},
        {"choice": "tie"},
        {"choice": "skip"},
        {"choice": "", "edit": (0, "An edit without a vote.")},
    ],
    "answers": [{"choice": "keeps"}, {"choice": "breaks", "edit": (0, "Better.")}, {"choice": "flag"}],
    "ranks": [{"choice": "ranks", "ranks": (1, 2, 2, 4)}, {"choice": "skip"}],
}


def plain(review):
    return {
        (one.item, one.by, one.choice, one.confidence, one.ranks, one.edit)
        for one in review.decisions.values()
        if one.choice or one.edit
    }


@pytest.mark.parametrize(("mode", "form"), [(m, f) for m in DECIDED for f in FORMS if m != "ranks" or f == "jsonl"])
def test_decisions_come_back_from_every_form(tmp_path, mode, form):
    make_run(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    with Run(tmp_path / "run") as run, Run(tmp_path / "copy") as copy:
        review, other = Review(run, mode), Review(copy, mode)
        for by in ("ada", "bo"):
            for key, decided in zip(review.keys, DECIDED[mode], strict=False):
                review.decide(Decision(item=key, by=by, **decided))
        other.decide(Decision(item=other.keys[-1], by="bo", choice="flag"))  # Argilla knows people by UUIDs alone
        other.decide(Decision(item=other.keys[-1], by="ada", choice="flag"))
        flags = plain(other)
        assert export_review(review, tmp_path / "file.json", form) == len(review.keys)
        assert import_review(other, tmp_path / "file.json", form) == 2 * len(DECIDED[mode])
        assert plain(other) == plain(review) | flags
        assert import_review(other, tmp_path / "file.json", form) == 0  # once is enough
        assert kinds(run) == kinds(copy)


def kinds(run):
    path = run.path("human.jsonl")
    return sorted(json.loads(line)["kind"] for line in path.read_text().splitlines()) if path.exists() else []


def test_argilla_and_label_studio_find_their_fields(tmp_path):
    with Run(make_run(tmp_path / "run")) as run:
        review = Review(run, "pairs")
        review.decide(Decision(item=review.keys[0], by="ada", choice="tie"))
        export_review(review, tmp_path / "argilla.json", "argilla")
        export_review(review, tmp_path / "studio.json", "label-studio")
    record, *_ = json.loads((tmp_path / "argilla.json").read_text())
    assert set(record) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert set(record["fields"]) == {"prompt", "response_a", "response_b"} and record["suggestions"] == {}
    assert [response["value"] for response in record["responses"]["decision"]] == ["tie"]
    assert set(record["responses"]["decision"][0]) == {"value", "user_id"}
    task, *_ = json.loads((tmp_path / "studio.json").read_text())
    assert task["id"] == 1 and task["data"]["key"] == review.keys[0]
    assert task["annotations"][0]["completed_by"] == {"email": "ada"}
    choice = {"type": "choices", "value": {"choices": ["tie"]}, "from_name": "decision", "to_name": "prompt"}
    assert choice in task["annotations"][0]["result"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "nothing", "answers": {"ada": {"decision": "a"}}}, ":2: 'nothing' is no item of this review (pairs)"),
        ({"answers": {"ada": {"decision": "first"}}}, ":2: 'decision' cannot be 'first'"),
        ({"answers": {"ada": {"decision": "a", "confidence": 11}}}, ":2: 'confidence' should be from 0 to 10, got 11"),
        ({"answers": {"ada": {"decision": [1, 2]}}}, ":2: 'ranks' is not a choice"),
        ({"answers": [1]}, ":2: is not a record of the form jsonl"),
        ({"answers": {"ada": {"edit_a": "\0"}}}, ":2: 'the edited text' contains the character NUL"),
    ],
)
def test_a_faulty_record_is_an_error_with_its_line_and_nothing_is_taken(tmp_path, row, message):
    with Run(make_run(tmp_path / "run")) as run:
        review = Review(run, "pairs")
        good = {"id": review.keys[0], "answers": {"ada": {"decision": "tie"}}}
        path = tmp_path / "file.jsonl"
        path.write_text(json.dumps(good) + "\n" + json.dumps(good | row) + "\n")
        with pytest.raises(LabelError) as caught:
            import_review(review, path, "jsonl")
        assert message in str(caught.value)
        assert not review.decisions


def test_a_form_that_nobody_knows_or_that_has_no_rankings_is_refused(tmp_path):
    with Run(make_run(tmp_path / "run")) as run:
        with pytest.raises(InputError, match="no form 'argila'; did you mean 'argilla'"):
            export_review(Review(run, "pairs"), tmp_path / "x", "argila")
        with pytest.raises(InputError, match="rankings are written as jsonl"):
            export_review(Review(run, "ranks"), tmp_path / "x", "argilla")
