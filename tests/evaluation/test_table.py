import io
import json

import pytest
from rich.console import Console

from cai_lite.evaluation.gates import gates
from cai_lite.evaluation.result import evaluation_json
from cai_lite.evaluation.table import headline, show


def comparison(before, after):
    def figure(value):
        return {"value": value, "n": 120, "low": value - 0.05, "high": value + 0.05}

    return {"before": figure(before), "after": figure(after), "change": figure(after - before)}


def evaluation(**metrics):
    return evaluation_json(
        model="m + adapter", against="m", constitution="medical", judge="[local]/judge", seed=1, metrics=metrics
    )


@pytest.fixture
def shown():
    def make(found):
        out = io.StringIO()
        show(found, Console(file=out, width=120, force_terminal=False))
        return out.getvalue()

    return make


def line(text, name):
    found = next(row for row in text.splitlines() if name in row)
    return found


def test_the_file_has_the_contracts_shape():
    found = evaluation(words=comparison(30, 31))
    assert list(found) == ["format", "model", "against", "constitution", "judge", "seed", "metrics"]
    assert found["format"] == 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_everything_measured_is_a_row_with_signed_change_interval_and_n(shown):
    of_principles = {"no-dose": comparison(0.5, 0.8), "see-doctor": comparison(0.6, 0.5)}
    text = shown(
        evaluation(
            adherence={
                "overall": comparison(0.55, 0.65),
                "principles": of_principles,
                "splits": {"held_out_words": comparison(0.4, 0.7)},
            },
            adherence_judge={"overall": comparison(0.5, 0.75), "principles": {}, "splits": {}},
            adherence_checks={"overall": comparison(0.9, 0.95), "principles": {}, "splits": {}},
            well_formed=comparison(0.99, 0.98),
            perplexity=comparison(1.5, 1.75),
            words=comparison(31, 33),
            preference_accuracy={"value": 0.85, "n": 60, "low": 0.8, "high": 0.9},
        )
    )
    assert "[local]/judge" in text
    for cell in ("0.50", "0.80", "+0.30", "[+0.25, +0.35]", "120"):
        assert cell in line(text, "no-dose")
    assert "-0.10" in line(text, "see-doctor")
    assert "+0.25" in line(text, "by the judge")
    assert "+0.05" in line(text, "by machine checks")
    assert "+0.30" in line(text, "held out words")
    assert "-0.01" in line(text, "well-formed")
    assert "[0.80, 0.90]" in line(text, "held-out preference accuracy")
    assert text.index("no-dose") < text.index("all principles") < text.index("held out words") < text.index("words ")


def test_what_is_absent_is_not_shown(shown):
    text = shown(evaluation(words=comparison(31, 33)))
    for name in ("all principles", "perplexity", "well-formed", "preference", "judge s"):
        assert name not in text


def test_the_headline_is_one_sentence_with_its_interval():
    overall = {"overall": comparison(0.5, 0.8), "principles": {}}
    assert headline(evaluation(adherence=overall)).startswith(
        "adherence 0.50 -> 0.80, change +0.30 [+0.25, +0.35], n 120"
    )
    alone = {"overall": {"value": 0.8, "n": 9, "low": 0.7, "high": 0.9}, "principles": {}}
    assert headline(evaluation(adherence=alone)).startswith("adherence 0.80 [0.70, 0.90], n 9")
    assert headline(evaluation()) == ""


def test_a_gate_that_compares_a_bare_value_names_the_bound_that_protects(shown):
    found = evaluation(over_refusal=comparison(0.0, 0.04))
    found["gates"] = [gate._asdict() for gate in gates({"over_refusal": "<= 0.05"}, found["metrics"])]
    text = " ".join(shown(found).split())
    assert "gate holds: over_refusal <= 0.05, is 0.040" in text
    assert "the bound that protects is over_refusal.high, 0.090" in text
