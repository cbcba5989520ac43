from dataclasses import replace

import pytest

from cai_lite.distill.comparisons import compare
from cai_lite.distill.pairs import pair
from cai_lite.errors import InputError
from cai_lite.records import Verdict
from cai_lite.run.ledger import Run


@pytest.fixture
def verdict(candidate):
    def make(
        p_first,
        principle="kind",
        first="a",
        second="b",
        weight=1.0,
        choice=None,
        flipped=False,
        prompt=0,
        rule="best_over_worst",
        reasoned=False,
    ):
        return Verdict(
            key=f"{prompt}{first}{second}{principle}",
            first=candidate(first, prompt),
            second=candidate(second, prompt),
            principle=principle,
            p_first=p_first,
            order="both",
            judge="j",
            rule=rule,
            weight=weight,
            flipped=flipped,
            choice=choice or "first",
            reasoned=reasoned,
        )

    return make


def test_the_likelier_side_is_chosen_and_its_probability_is_the_label(verdict):
    row = pair([verdict(0.2)])[0]
    assert (row.chosen[0].content, row.rejected[0].content) == ("b", "a")
    assert (row.p_chosen, row.margin) == (pytest.approx(0.8), pytest.approx(0.3))


def test_no_pair_is_made_of_a_fault(verdict):
    run = Run()
    assert pair([verdict(None, choice="failed"), verdict(None, choice="unreadable", first="c")], run=run) == []
    assert run.counts()["pair"] == {"pairs": 0, "failed": 1, "unreadable": 1}


def test_principles_of_one_comparison_are_weighed_together(verdict):
    """(3 * .9 + 1 * .3) / 4 = .75; the first principle moved it most."""
    row = pair([verdict(0.9, "kind", weight=3.0), verdict(0.3, "short")])[0]
    assert (row.p_chosen, row.principle) == (pytest.approx(0.75), "kind")
    assert [v["p_chosen"] for v in row.evidence["verdicts"]] == [0.9, 0.3]


def test_the_margin_is_filtered_before_the_label_is_clamped(verdict):
    rows = pair([verdict(0.95)], min_margin=0.4, clamp=0.6)
    assert (rows[0].p_chosen, rows[0].margin) == (0.6, pytest.approx(0.45))


def test_small_margins_ties_and_flips_are_counted(verdict):
    run = Run()
    pair(
        [verdict(0.55), verdict(0.5, first="c", choice="tie"), verdict(0.5, first="d", choice="tie", flipped=True)],
        min_margin=0.1,
        run=run,
    )
    assert run.counts()["pair"] == {"pairs": 0, "margin too small": 2, "flipped with the order": 1}


def test_of_a_prompt_the_widest_margins_are_kept(verdict):
    run = Run()
    rows = pair([verdict(0.6), verdict(0.99, first="c"), verdict(0.7, first="d")], per_prompt=1, run=run)
    assert [row.chosen[0].content for row in rows] == ["c"]
    assert run.counts()["pair"]["more than wanted of a prompt"] == 2


def test_hard_labels_are_one(verdict):
    assert pair([verdict(0.7)], soft_labels=False)[0].p_chosen == 1.0


def test_a_pair_can_be_walked_back(verdict):
    run = Run()
    row = pair([verdict(0.9)], run=run)[0]
    _, parents, _ = run.row(row.key)
    assert parents == [row.parents[0], row.parents[1], "0abkind"]


def test_best_over_worst_compares_drafts_of_one_author(candidate):
    rows = [candidate("a"), candidate("b"), candidate("b", author="other"), candidate("c", 1)]
    assert [(c.first.text, c.second.text) for c in compare("best_over_worst", rows)] == [("a", "b")]


def test_teacher_over_student_compares_across_authors(candidate):
    rows = [candidate("a", author="teacher"), candidate("b"), candidate("c")]
    assert {(c.first.text, c.second.text) for c in compare("teacher_over_student", rows)} == {("a", "b"), ("a", "c")}


def test_a_revision_stands_against_the_draft_it_began_as(candidate):
    draft = candidate("a")
    late = candidate("better", round=2, parents=(draft.key, "in between", "critique"))
    assert [(c.first, c.second) for c in compare("revision_over_draft", [draft, late])] == [(late, draft)]


def test_equal_texts_are_not_compared(candidate):
    assert compare("teacher_over_student", [candidate("a"), candidate("a", author="teacher")]) == []


def test_an_unknown_rule_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'best_over_worst'"):
        compare("best_over_worse", [])


def test_after_a_chain_of_thought_the_label_is_at_most_six_tenths(verdict):
    assert pair([verdict(1.0, reasoned=True)])[0].p_chosen == 0.6
    assert pair([verdict(1.0, reasoned=True)], clamp=0.9)[0].p_chosen == 0.9


def test_a_ranking_keeps_the_pairs_that_agree_with_it(verdict):
    """A ranking without circles keeps all; in a circle, the verdict against the mean shares goes."""
    run = Run()
    rows = [
        verdict(1.0, first="a", second="b", rule="ranked"),
        verdict(1.0, first="a", second="c", rule="ranked"),
        verdict(1.0, first="a", second="d", rule="ranked"),
        verdict(0.55, first="b", second="c", rule="ranked"),
        verdict(1.0, first="b", second="d", rule="ranked"),
        verdict(0.0, first="d", second="c", rule="ranked"),  # c over d: c stands at .48, d at 0
        verdict(0.9, first="e", second="f", rule="ranked", prompt=1),
    ]
    assert len(pair(rows, run=run)) == 7
    circle = [
        verdict(1.0, first="a", second="b", rule="ranked"),
        verdict(1.0, first="b", second="c", rule="ranked"),
        verdict(0.9, first="c", second="a", rule="ranked"),  # a stands at .55, b at .5, c at .45: this is against it
    ]
    kept = pair(circle, run=run)
    assert [(row.chosen[0].content, row.rejected[0].content) for row in kept] == [("a", "b"), ("b", "c")]
    assert run.counts()["pair"]["against the ranking"] == 1


def test_a_ranking_compares_every_two_candidates_whoever_wrote_them(candidate):
    rows = [candidate("a", author="teacher"), candidate("b"), candidate("c", round=1)]
    assert len(compare("ranked", rows)) == 3


@pytest.mark.parametrize("p_first", [0.7, 0.3, 0.8, 0.2])
def test_the_least_margin_is_the_same_for_both_sides(verdict, p_first):
    assert len(pair([verdict(p_first)], min_margin=abs(round(p_first, 1) * 10 - 5) / 10)) == 1


def conflicting(candidate, p_helpful, p_safe, *others):
    """Verdicts on a safe and an unsafe reply; `safe` is preferred over `helpful`, which weighs three times as much."""
    safe, unsafe = candidate("safe"), candidate("unsafe")

    def verdict(principle, p_first, weight, over=()):
        return Verdict(
            key=principle,
            first=safe,
            second=unsafe,
            principle=principle,
            choice="first" if p_first > 0.5 else "second",
            p_first=p_first,
            order="both",
            judge="j",
            rule="best_over_worst",
            weight=weight,
            over=over,
        )

    rows = [verdict("helpful", p_helpful, 3.0), verdict("safe", p_safe, 1.0, ("helpful",))]
    return [*rows, *(verdict(f"other-{i}", p, 8.0) for i, p in enumerate(others))]


def test_a_preferred_principle_that_one_side_alone_violates_vetoes_the_one_that_yields(candidate):
    (made,) = pair(conflicting(candidate, 0.0, 1.0))
    assert made.chosen[-1].content == "safe" and made.principle == "safe" and made.p_chosen == 1.0
    assert [v.get("vetoed", False) for v in made.evidence["verdicts"]] == [True, False]


def test_a_preferred_principle_that_both_sides_keep_vetoes_nothing(candidate):
    (made,) = pair(conflicting(candidate, 0.0, 0.55))
    assert made.chosen[-1].content == "unsafe"


def test_no_pair_is_made_against_a_preferred_principle(candidate):
    run = Run()
    assert pair(conflicting(candidate, 0.0, 1.0, 0.0), run=run) == []
    assert run.counts()["pair"]["vetoed by a decided conflict"] == 1


def test_a_conflict_with_a_condition_prevents_the_pair_but_decides_none(candidate):
    rows = [replace(v, over=(), over_if=v.over) for v in conflicting(candidate, 0.0, 1.0)]
    assert pair(rows) == []
    agreeing = [replace(v, over=(), over_if=v.over) for v in conflicting(candidate, 0.45, 1.0)]
    (made,) = pair(agreeing)
    assert made.chosen[-1].content == "safe" and made.margin < 0.2  # the principle that yields still counts
