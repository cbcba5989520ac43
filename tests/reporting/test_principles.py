import re

from cai_lite.reporting.principles import principles
from tests.reporting.conftest import comparison, figure


def test_principles_stand_worst_first_and_all_of_them_last(evaluation):
    made = principles(evaluation, {"kind-tone": "Be kind."}, None)
    assert re.findall(r'<th scope="row">([^<]+)', made)[:3] == ["kind-tone", "safety-net", "adherence, all principles"]
    assert "<p>Be kind.</p>" in made


def test_machine_checks_stand_beside_the_headline_and_a_contradiction_is_said(evaluation):
    clear = {"value": -0.2, "n": 9, "low": -0.3, "high": -0.1}
    checks = {"principles": {"kind-tone": {**comparison(0.71, 0.51), "change": clear}}}
    evaluation["metrics"]["adherence_checks"] = checks
    made = principles(evaluation, {}, None)
    assert "adherence by machine checks: " in made and 'data-path="adherence_checks.kind-tone.after"' in made
    assert '<p class="warn">machine checks move the other way</p>' in made


def test_a_fall_is_red_a_rise_green_and_what_may_be_chance_grey(evaluation):
    evaluation["metrics"]["adherence"]["principles"] = {
        "rose": comparison(0.3, 0.8),
        "fell": comparison(0.8, 0.3),
        "same": comparison(0.5, 0.51),
    }
    made = principles(evaluation, {}, None)
    for name, colour in (("rose", "good"), ("fell", "bad"), ("same", "same")):
        assert re.search(rf'data-path="adherence.{name}.change"[^>]* class="{colour}"', made)
    assert made.count("dot-after bad") == 1 and made.count("dot-after same") == 1


def test_a_model_measured_alone_has_values_without_change(evaluation):
    evaluation["metrics"] = {"adherence": {"overall": figure(0.7), "principles": {"kind-tone": figure(0.7)}}}
    made = principles(evaluation, {}, None)
    assert "0.70" in made and "change" not in made and "before" not in made


def test_without_adherence_there_is_no_section(evaluation):
    evaluation["metrics"] = {"words": comparison(40, 41)}
    assert principles(evaluation, {}, None) is None
