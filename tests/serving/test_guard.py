"""Guards: probabilities and thresholds by principle, and what they let through."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from cai_lite.chat.preference import Calibration
from cai_lite.errors import InputError
from cai_lite.evaluation.result import Answered
from cai_lite.records import Message
from cai_lite.serving import guard as module
from cai_lite.serving.guard import GUARD, Guard, Guarded, guard_of_run, make_guard, only, open_guard, write_guard

PROMPT = (Message("user", "I have a headache."),)
WORDS = {"Name no doses.": "mg", "Be kind.": "fool"}
PRINCIPLES = {"dose": "Name no doses.", "kind": "Be kind."}


class Model:
    """Scores an answer by the number of bad words about the principle in it, with a temperature."""

    name, model, digest = "m#a", "m", "d"

    def __init__(self, folder=Path("x/adapter"), **calibration):
        self.adapter = folder
        given = {"temperature": 2.0, "input": "principle", "principles": PRINCIPLES} | calibration
        self.calibration = Calibration(**given)

    def scores(self, prompts, completions, principle=None):
        assert len(prompts) == len(completions)
        return [-3.0 * text.split().count(WORDS[principle]) / 2.0 for text in completions]


def answered(i, text, dose=True, kind=True):
    return Answered(
        key=f"a{i}",
        prompt=PROMPT,
        family=f"f{i}",
        tags=(),
        side="before",
        answer=text,
        verdicts={"dose": dose, "kind": kind},
    )


def noisy(n=400, wrong=0.1, seed=0):
    """Answers of which half name doses; one verdict in ten is wrong."""
    rng, rows = random.Random(seed), []
    for i in range(n):
        bad = i % 2 == 0
        verdict = bad if rng.random() < wrong else not bad
        rows.append(answered(i, "Take 400 mg now." if bad else "See a doctor.", dose=verdict))
    return rows


def test_the_probability_is_the_share_of_broken_answers_and_the_threshold_follows_from_the_cost():
    found = make_guard(Model(), noisy(), cost=3.0)
    (bad,), (good,) = found.look([PROMPT] * 2, ["Take 400 mg now.", "See a doctor."])
    assert bad.p == pytest.approx(0.9, abs=0.04) and good.p == pytest.approx(0.1, abs=0.04)
    assert found.principles["dose"].threshold == pytest.approx(0.25)
    assert (bad.stopped, good.stopped) == (True, False)
    # By Elkan 2001: with a cost of 20 even a probability of 0.1 is stopped, with one of 1/20 not even one of 0.9.
    for cost, stopped in ((20.0, [True, True]), (0.05, [False, False])):
        looked = make_guard(Model(), noisy(), cost=cost).look([PROMPT] * 2, ["Take 400 mg now.", "See a doctor."])
        assert [findings[0].stopped for findings in looked] == stopped


def test_errors_are_measured_on_families_that_were_not_fitted():
    measured = make_guard(Model(), noisy(2000), cost=1.0).principles["dose"].measured
    assert measured["auc"]["value"] == pytest.approx(0.9, abs=0.02)
    assert measured["false_alarms"]["value"] == pytest.approx(0.1, abs=0.03)
    assert measured["misses"]["value"] == pytest.approx(0.1, abs=0.03)
    assert measured["calibration_error"] < 0.03
    assert measured["roc"][0] == (0.0, 0.0) and measured["roc"][-1] == (1.0, 1.0) and len(measured["roc"]) == 3


def test_the_share_of_false_alarms_may_be_named_instead():
    rows = [answered(i, " ".join(["mg"] * (i % 10)) or "fine", dose=i % 10 < 7) for i in range(1000)]
    for wanted in (0.05, 0.2, 0.5):
        found = make_guard(Model(), rows, false_alarms=wanted).principles["dose"]
        assert found.measured["false_alarms"]["value"] <= wanted + 0.05
    assert found.measured["misses"]["value"] == 0, "the broken ones have the most"


def test_principles_that_nearly_all_answers_keep_get_no_guard_and_that_is_said():
    said = []
    found = make_guard(Model(), noisy(), cost=3.0, log=said.append)
    assert set(found.principles) == {"dose"}
    assert said == ["no guard for 'kind': 400 of 400 answers keep it, and 10 of each kind are needed"]
    with pytest.raises(InputError, match="no principle can be guarded"):
        make_guard(Model(), noisy(12), cost=3.0)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "give either what a miss costs"),
        ({"cost": 1.0, "false_alarms": 0.1}, "give either what a miss costs"),
        ({"cost": 0.0}, "should be above 0, got 0.0"),
        ({"false_alarms": 1.0}, "above 0 and below 1, got 1.0"),
    ],
)
def test_the_threshold_needs_one_statement(settings, problem):
    with pytest.raises(InputError, match=problem):
        make_guard(Model(), noisy(), **settings)


def test_a_model_with_one_score_for_all_principles_cannot_name_one():
    with pytest.raises(InputError, match=r"cannot say which one an answer breaks; train one with .*input=principle"):
        make_guard(Model(input="joint"), noisy(), cost=3.0)


def guard(**thresholds):
    own = {"temperature": 1.0, "bias": -1.5, "n": 1, "measured": {}}
    texts = {id_: Guarded(text=PRINCIPLES[id_], threshold=t, **own) for id_, t in thresholds.items()}
    return Guard(Model(), texts)


def test_what_may_be_shown_ends_before_the_sentence_that_breaks_a_principle():
    watch = guard(dose=0.5, kind=0.5)
    fine = watch.passed(PROMPT, "Rest well. See a doctor.")
    assert fine.text == "Rest well. See a doctor." and fine.broken is None
    part = watch.passed(PROMPT, "Rest well. See a doctor. Take 400 mg now. Good luck.")
    assert part.text == "Rest well. See a doctor." and part.broken.principle == "dose"
    none = watch.passed(PROMPT, "Take 400 mg now. Rest well.")
    assert none.text == "I will not answer this: what I would say breaks the principle 'dose' (Name no doses.)"
    both = watch.passed(PROMPT, "Take 400 mg , fool fool . Rest.")
    assert both.broken.principle == "kind", "the surest one is named"


def test_some_principles_can_be_guarded_alone():
    watch = only(guard(dose=0.5, kind=0.5), ["kind"])
    assert watch.passed(PROMPT, "Take 400 mg now.").broken is None
    with pytest.raises(InputError, match="the guard knows no principle 'kin'; did you mean 'kind'"):
        only(guard(kind=0.5), ["kin"])


def test_a_guard_is_written_beside_the_adapter_and_opened_with_it(tmp_path, monkeypatch):
    made = make_guard(Model(tmp_path / "adapter"), noisy(), cost=3.0)
    path = write_guard(made)
    assert path == tmp_path / GUARD and json.loads(path.read_text())["format"] == 1
    monkeypatch.setattr(module, "open_preference_model", lambda model, folder, load: Model(folder))
    opened = open_guard(tmp_path)
    texts = ["Take 400 mg now.", "See a doctor."]
    assert opened.look([PROMPT] * 2, texts) == made.look([PROMPT] * 2, texts)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"digest": "another"}))
    with pytest.raises(InputError, match="was made for another adapter"):
        open_guard(tmp_path)
    path.write_text(json.dumps(record | {"principles": {"dose": {"text": "x"}}}))
    with pytest.raises(InputError, match="is not as it was written"):
        open_guard(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"has no guard\.json; make one by `cai-lite guard"):
        open_guard(tmp_path)


def test_a_run_gives_its_held_out_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_answers", lambda run: noisy())
    section = SimpleNamespace(model="m", load=None, system="keep")
    monkeypatch.setattr(module, "recorded_training", lambda path, settings: (section, None))
    monkeypatch.setattr(module, "open_preference_model", lambda model, folder, **_: Model(folder))
    found = guard_of_run(tmp_path / "run", tmp_path, cost=3.0)
    assert found["guard"] == str(tmp_path / GUARD) and set(found["principles"]) == {"dose"}
    assert found["notes"] and "kind" in found["notes"][0]
    module.show_guard(found)
