from cai_lite.evaluation.comparing import side_by_side, unbeaten


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
