from cai_lite.evaluation.shown import sections


def figure(value):
    return {"value": value, "n": 9, "low": value, "high": value}


def test_sections_come_in_one_order_and_empty_ones_are_left_out():
    metrics = {
        "reliability": {"repeat_kappa": figure(1.0)},
        "unknown_metric": figure(0.5),
        "kl": figure(0.1),
        "adherence_checks": {"overall": figure(0.4), "principles": {"kind": figure(0.3)}, "splits": {}},
        "adherence": {"overall": figure(0.9), "principles": {"kind": figure(0.8)}, "splits": {"hard": figure(0.7)}},
    }
    found = sections(metrics)
    assert [section.title for section, _ in found] == [
        *("Adherence", "Form and drift", "Other metrics", "Judge reliability"),
    ]
    assert [row.path for row in found[0][1]] == [
        *("adherence.kind", "adherence_checks", "adherence", "adherence.splits.hard"),
    ]
    assert found[2][1][0].label.heading == "unknown metric"
