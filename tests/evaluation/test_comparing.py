import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from cai_lite.errors import InputError
from cai_lite.evaluation.adherence import CELLS, KeptCell
from cai_lite.evaluation.comparing import against_first, check_prompts, paired, side_by_side, unbeaten
from cai_lite.run.ledger import Run


def run(kind, short, **more):
    def after(value):
        return {"after": {"value": value, "n": 5, "low": 0.0, "high": 1.0}}

    return {
        "metrics": {
            "adherence": {"overall": after(0.5), "principles": {"kind": after(kind), "short": after(short)}},
            **more,
        }
    }


def test_principles_come_first_and_what_a_run_lacks_is_none():
    rows = side_by_side([run(0.9, 0.1), run(0.5, 0.5, kl={"value": 0.2, "n": 3, "low": 0.1, "high": 0.3})])
    assert [row.name for row in rows] == ["adherence.kind", "adherence.short", "adherence", "kl"]
    assert rows[-1].figures[0] is None and rows[-1].figures[1].value == 0.2


def test_a_run_is_beaten_where_another_is_as_good_everywhere_and_better_once():
    rows = side_by_side([run(0.9, 0.1), run(0.5, 0.5), run(0.5, 0.4), run(0.9, 0.1)])
    assert unbeaten(rows) == [True, True, False, True]


def cell(prompt, after, *, principle="kind", text="t", weight=1.0):
    return KeptCell(prompt, f"family {prompt}", principle, text, weight, (0.0, after))


def test_two_runs_are_paired_by_prompt_and_principle_and_what_only_one_has_is_left_out():
    first = [cell("a", 0.0), cell("b", 1.0), cell("c", 1.0), cell("a", 0.0, principle="short", text="s", weight=3.0)]
    second = [cell("b", 1.0), cell("a", 1.0), cell("d", 0.0), cell("a", 1.0, principle="short", text="s", weight=9.0)]
    found = paired(first, second)
    assert list(found) == ["adherence", "adherence.kind", "adherence.short"]
    # prompts a and b under "kind", a under "short" with weight 3: (1 + 0 + 3 * 1) / 5
    assert found["adherence"].comparison.change.value == 0.8 and found["adherence"].comparison.change.n == 3
    kind = found["adherence.kind"].comparison
    assert kind.before.value == 0.5 and kind.after.value == 1.0


def test_repeated_answers_are_averaged_and_another_wording_is_another_principle():
    found = paired([cell("a", 0.0), cell("a", 1.0)], [cell("a", 1.0), cell("a", 1.0)])
    assert found["adherence"].comparison.before.value == 0.5 and found["adherence"].comparison.change.n == 1
    assert paired([cell("a", 0.0)], [cell("a", 1.0, text="other")]) == {}


def test_runs_that_cannot_be_paired_are_named_with_the_reason(tmp_path):
    for name in ("one", "two", "bare"):
        with Run(tmp_path / name) as opened:
            if name != "bare":
                opened.remember(CELLS, [cell("a", float(name == "two"))])
    runs = [tmp_path / name for name in ("one", "two", "bare", "two")]
    found = against_first(runs, [{"judge": "j"}, {"judge": "j"}, {"judge": "j"}, {"judge": "k"}])
    assert found[0].paired["adherence"].comparison.change.value == 1.0
    assert [each.paired for each in found[1:]] == [{}, {}] and not found[0].notes
    assert "bare does not hold the decisions on each prompt" in found[1].note
    assert found[2].note.endswith("other judges decided (j; k)")


def kept(tmp_path, **cells):
    for name, rows in cells.items():
        with Run(tmp_path / name) as opened:
            opened.remember(CELLS, rows)
    return [tmp_path / name for name in cells], [{"judge": "j"} for _ in cells]


def test_p_values_are_adjusted_by_holm_over_the_principles_alone():
    def side(better):
        rows = [cell(str(i), float(i < 3 or better), principle="kind", text="k") for i in range(12)]
        return rows + [cell(str(i), float(i % 2 == better), principle="short", text="s") for i in range(12)]

    found = paired(side(False), side(True))
    changes = {"kind": [0] * 3 + [1] * 9, "short": [-1, 1] * 6}
    plain = [
        scipy_stats.permutation_test((rows,), np.mean, permutation_type="samples", n_resamples=5000, rng=1).pvalue
        for rows in changes.values()
    ]
    assert [found[f"adherence.{name}"].p for name in changes] == pytest.approx(plain, abs=0.05)
    raw = [found[f"adherence.{name}"].p for name in changes]
    adjusted = [found[f"adherence.{name}"].p_holm for name in changes]
    assert adjusted == pytest.approx(list(multipletests(raw, method="holm")[1]))
    assert found["adherence"].p_holm is None and "p_holm" not in found["adherence"].as_dict()


@pytest.mark.parametrize(
    ("prompts", "margin", "not_worse"), [(10, 0.05, False), (400, 0.05, True), (400, 0.001, False)]
)
def test_a_principle_is_not_worse_only_where_its_interval_lies_above_minus_the_margin(prompts, margin, not_worse):
    rows = [cell(str(i), 1.0) for i in range(prompts)]
    found = paired(rows, rows, margin=margin)["adherence.kind"]
    assert found.comparison.change.value == 0.0 and found.not_worse is not_worse


def test_principles_of_another_text_are_never_set_side_by_side(tmp_path):
    first = [cell("a", 0.0), cell("a", 1.0, principle="short", text="s")]
    runs, evaluations = kept(tmp_path, one=first, two=[cell("a", 1.0, text="other"), first[1]])
    (found,) = against_first(runs, evaluations)
    assert list(found.paired) == ["adherence", "adherence.short"] and found.other_texts == ("kind",)
    assert "principle 'kind' has another text and is not compared" in found.notes[0]
    names = [row.name for row in side_by_side([run(0.9, 0.1), run(0.5, 0.5)], [found])]
    assert names == ["adherence.short"]  # the mean over all principles is not that of the same texts, either


def test_runs_on_other_prompts_are_refused_unless_that_is_asked_for(tmp_path):
    rows = [[cell(f"{name}{i}", float(i < good)) for i in range(40)] for name, good in (("a", 10), ("b", 30))]
    runs, evaluations = kept(tmp_path, one=rows[0], two=rows[1])
    found = against_first(runs, evaluations)
    with pytest.raises(InputError, match=r"two was evaluated on other held-out prompts than .*one.*--unpaired"):
        check_prompts(runs[0], found)
    figure = found[0].unpaired["adherence.kind"]
    low, high = confint_proportions_2indep(30, 40, 10, 40, method="newcomb")
    assert (figure.value, figure.n) == (0.5, 80)
    assert (figure.low, figure.high) == (pytest.approx(low), pytest.approx(high))
    assert not found[0].paired and found[0].as_dict()["unpaired"]["adherence.kind"]["value"] == 0.5
