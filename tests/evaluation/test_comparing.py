from cai_lite.evaluation.adherence import CELLS, KeptCell
from cai_lite.evaluation.comparing import paired, paired_runs, side_by_side, unbeaten
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
    assert found["adherence"].change.value == 0.8 and found["adherence"].change.n == 3
    assert found["adherence.kind"].before.value == 0.5 and found["adherence.kind"].after.value == 1.0


def test_repeated_answers_are_averaged_and_another_wording_is_another_principle():
    found = paired([cell("a", 0.0), cell("a", 1.0)], [cell("a", 1.0), cell("a", 1.0)])
    assert found["adherence"].before.value == 0.5 and found["adherence"].change.n == 1
    assert paired([cell("a", 0.0)], [cell("a", 1.0, text="other")]) == {}


def test_runs_that_cannot_be_paired_are_named_with_the_reason(tmp_path):
    for name in ("one", "two", "bare"):
        with Run(tmp_path / name) as opened:
            if name != "bare":
                opened.remember(CELLS, [cell("a", float(name == "two"))])
    runs = [tmp_path / name for name in ("one", "two", "bare", "two")]
    changes, notes = paired_runs(runs, [{"judge": "j"}, {"judge": "j"}, {"judge": "j"}, {"judge": "k"}])
    assert changes[0]["adherence"].change.value == 1.0 and changes[1:] == [{}, {}]
    assert "bare does not hold the decisions on each prompt" in notes[0]
    assert notes[1].endswith("other judges decided (j; k)")
