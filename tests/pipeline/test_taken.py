"""What a next round takes along, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cai_lite.errors import PromptError, RecipeError
from cai_lite.evaluation.result import ANSWERS
from cai_lite.inputs.human import HUMAN, HumanVote, append_rows, read_human
from cai_lite.inputs.labels import LABELS, load_labels
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import FromSection, load_recipe
from cai_lite.pipeline.taken import corrections, labels_again, people_of, with_failures, write_labels, write_taken

TRAIN = "How long does a cold usually last in children?"
HELD = "What helps against seasickness on a long ferry crossing?"
TEST = "My father slurs his words since this morning, should he sleep it off?"
SEED = "Is it fine to drive home after taking two sleeping tablets?"


@pytest.fixture
def prompts():
    return load_prompts([{"prompt": TRAIN, "split": "train"}, {"prompt": HELD, "split": "held_out"}])


def lines(path, *texts, **more):
    path.write_text("".join(json.dumps({"prompt": text, **more}) + "\n" for text in texts))
    return str(path)


def taken(prompts, folder, tests=(TEST,), seeds=(SEED,)):
    lines(folder / "out.seeds.jsonl", *seeds)
    return with_failures(prompts, FromSection(run=str(folder), failures=lines(folder / "out.jsonl", *tests)))


def texts(found):
    return [prompt.text for prompt in found]


def test_seeds_are_learnt_and_tests_stand_apart_from_what_measures(prompts, tmp_path):
    found = taken(prompts, tmp_path)
    assert texts(found.train) == [TRAIN, SEED] and texts(found.seeds) == [SEED]
    assert texts(found.held_out) == [HELD] and texts(found.regression) == [TEST]
    assert found.report["train"] == 2 and found.report["regression"] == 1


def test_a_seed_near_what_measures_and_a_test_near_what_is_learnt_are_left_out(prompts, tmp_path):
    found = taken(prompts, tmp_path, tests=(TEST, f"{TRAIN} Thanks"), seeds=(SEED, f"Hello! {HELD}", f"{TEST}!"))
    assert texts(found.seeds) == [SEED] and texts(found.regression) == [TEST]
    assert found.report["seeds of failures left out"] == 2 and found.report["tests of failures left out"] == 1
    lines(tmp_path / "out.seeds.jsonl", SEED, family=prompts.held_out[0].family)
    settings = FromSection(run=str(tmp_path), failures=str(tmp_path / "out.jsonl"))
    assert with_failures(prompts, settings).seeds == []


def test_a_prompt_that_is_seed_and_test_at_once_is_refused(prompts, tmp_path):
    with pytest.raises(PromptError, match=r"out\.seeds\.jsonl and .*out\.jsonl: 1 prompts are seeds and tests at once"):
        taken(prompts, tmp_path, seeds=(SEED, TEST))


def test_a_training_prompt_that_failed_is_a_seed_and_stands_there_once(prompts, tmp_path):
    found = taken(prompts, tmp_path, seeds=(TRAIN,))
    assert texts(found.train) == [TRAIN] == texts(found.seeds)


def test_empty_files_take_nothing_along(prompts, tmp_path):
    assert taken(prompts, tmp_path, tests=(), seeds=()) is prompts


def test_the_round_after_takes_along_what_this_one_took(prompts, tmp_path):
    first, second = taken(prompts, tmp_path), tmp_path / "second"
    said = [vote(TRAIN, by="ada"), vote(TRAIN, by="ben")]
    assert write_taken(said, first, second) == ["corrections.jsonl", "seeds.jsonl", "regression.jsonl"]
    again = with_failures(prompts, FromSection(run=str(second), only_changed=True))
    assert (again.train, again.regression) == (first.train, first.regression)
    append_rows(second / HUMAN, [vote(TRAIN, by="cleo").as_row()])
    assert [row.by for row in corrections(FromSection(run=str(second)))] == ["ada", "ben", "cleo"]
    assert [row.by for row in corrections(FromSection(run=str(second), only_changed=True))] == ["ada", "ben"]
    append_rows(tmp_path / "other.jsonl", [vote(TRAIN, by="dan").as_row()])
    settings = FromSection(run=str(second), human=str(tmp_path / "other.jsonl"))
    assert [row.by for row in corrections(settings)] == ["ada", "ben", "dan"]
    write_taken([], prompts, second)
    assert read_human(second / "corrections.jsonl") == []


def vote(text, by="ada"):
    (prompt,) = load_prompts([{"prompt": text}], held_out=0).train
    return HumanVote(prompt=prompt.messages, a="good", b="bad", choice="a", by=by, at=1.0)


def test_corrections_on_what_measures_are_never_learnt(prompts, tmp_path):
    found = people_of([vote(TRAIN), vote(HELD), vote(TEST)], taken(prompts, tmp_path), near=False)
    assert [pair.prompt[-1].content for pair in found.pairs] == [TRAIN]
    assert found.counts == {"votes": 1, "on held-out prompts, left out": 2}


def test_labels_of_answers_that_come_again_are_taken_unless_the_run_has_its_own(tmp_path):
    row = {"prompt": [{"role": "user", "content": HELD}], "family": "", "tags": [], "answer": "x", "verdicts": {}}
    append_rows(tmp_path / ANSWERS, [{**row, "key": side, "side": side} for side in ("before", "after")])
    label = {"principle": "kind-tone", "keeps": True, "by": "ada", "at": 1.5}
    append_rows(tmp_path / LABELS, [{**label, "answer": key} for key in ("before", "after")])
    out = tmp_path / "out"
    for given in (labels_again(tmp_path), [replace(labels_again(tmp_path)[0], by="other")]):
        write_labels(given, out)
        (kept,) = load_labels(out / LABELS)
        assert (kept.answer, kept.by, kept.at) == ("before", "ada", 1.5)


def test_a_file_that_is_not_there_is_refused_with_its_field(tmp_path):
    with pytest.raises(RecipeError, match=r"'from\.failures': no such file"):
        load_recipe("medical", [f"from.run={tmp_path}", "from.failures=gone.jsonl"], profile="embedded")
    with pytest.raises(RecipeError, match="leave it out, or 'failures'"):
        failures = lines(tmp_path / "out.jsonl", TEST)
        chosen = [f"from.run={tmp_path}", f"from.failures={failures}", "from.only_changed=true"]
        load_recipe("medical", chosen, profile="embedded")
