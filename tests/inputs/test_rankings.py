"""Rankings made from pairs, and read as they are."""

from __future__ import annotations

import json
import math

import pytest

from cai_lite.errors import PairError
from cai_lite.inputs.rankings import as_rankings, rankings_of
from cai_lite.records import Message, PreferencePair


def pair(better, worse, p=1.0, prompt="q", family=""):
    return PreferencePair(
        prompt=(Message("user", prompt),),
        chosen=(Message("assistant", better),),
        rejected=(Message("assistant", worse),),
        p_chosen=p,
        family=family,
    )


def orders(ranking):
    """The texts in order, and the label of each ordered pair of them."""
    texts = [completion[0].content for completion in ranking.completions]
    labels = {
        texts[j] + texts[k]: round(p, 6) for j, line in enumerate(ranking.preferences) for k, p in enumerate(line) if p
    }
    return "".join(texts), labels


def test_chains_of_pairs_make_an_order():
    (ranking,), counts = rankings_of([pair("b", "c"), pair("a", "b", family="f")])
    assert orders(ranking) == ("abc", {"ab": 1, "ac": 1, "bc": 1})
    assert ranking.family == ""
    assert counts == {"ordered": 3, "contradictory": 0}


def test_the_pairs_of_a_prompt_stay_together_and_apart_from_others():
    found, _ = rankings_of([pair("a", "b"), pair("a", "b", prompt="other"), pair("a", "c")])
    assert [orders(ranking)[0] for ranking in found] == ["abc", "ab"]


def test_what_no_chain_joins_stays_unordered():
    (ranking,), counts = rankings_of([pair("a", "c"), pair("b", "c")])
    assert orders(ranking) == ("abc", {"ac": 1, "bc": 1})
    assert counts["ordered"] == 2


def test_pairs_that_contradict_each_other_leave_a_partial_order():
    circle = [pair("a", "b"), pair("b", "c"), pair("c", "a")]
    (ranking,), counts = rankings_of([*circle, pair("x", "a"), pair("c", "z")])
    assert orders(ranking)[0] == "xabcz"
    assert set(orders(ranking)[1]) == {"xa", "xb", "xc", "xz", "az", "bz", "cz"}
    assert counts["contradictory"] == 3
    assert rankings_of(circle) == ([], {"contradictory": 3, "ordered": 0, "prompts without an order": 1})
    assert rankings_of([pair("a", "b"), pair("b", "a")])[0] == []


def test_soft_labels_add_up_along_a_chain_as_log_odds():
    (ranking,), _ = rankings_of([pair("a", "b", 0.6), pair("b", "c", 0.75)])
    expected = 1 / (1 + math.exp(-(math.log(1.5) + math.log(3))))
    assert orders(ranking)[1] == {"ab": 0.6, "bc": 0.75, "ac": round(expected, 6)}
    (stated,), _ = rankings_of([pair("a", "b", 0.6), pair("b", "c", 0.75), pair("a", "c", 0.55)])
    assert orders(stated)[1]["ac"] == 0.55  # what a pair says stands


def test_repeated_pairs_have_their_mean_label():
    (ranking,), _ = rankings_of([pair("a", "b", 0.9), pair("b", "a", 0.6)])
    assert orders(ranking) == ("ab", {"ab": 0.65})


def test_rows_with_completions_are_read_best_first_or_by_ranks(tmp_path):
    rows = [
        {"prompt": "q", "completions": ["a", "b", "c"]},
        {"prompt": [{"role": "user", "content": "q"}], "completions": ["a", "b", "c"], "ranks": [2, 1, 1]},
    ]
    first, second = as_rankings(rows)[0]
    assert orders(first) == ("abc", {"ab": 1, "ac": 1, "bc": 1})
    assert orders(second) == ("bca", {"ba": 1, "ca": 1})
    assert (first.completions[0][0].role, second.completions[0][0].role) == ("", "assistant")
    path = tmp_path / "rankings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert as_rankings(path)[0] == as_rankings(str(path))[0] == [first, second] == as_rankings([first, second])[0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"prompt": "q", "completions": ["a"]}], "'completions' should be a list of two or more"),
        ([{"prompt": "q", "completions": ["a", "b"], "ranks": [1]}], "'ranks' should be a list of 2 numbers"),
        ([{"prompt": "q", "completions": ["a", "b"], "ranks": [1, 1]}], "all completions have the same rank"),
        ([{"prompt": "q", "completions": ["a", "a"]}], "two of its completions are equal"),
        ([{"completions": ["a", "b"]}], "has no 'prompt'"),
        (5, "rankings should be rows with 'prompt' and 'completions', or pairs; got 5"),
    ],
)
def test_what_is_no_ranking_is_refused_in_words(rows, says):
    with pytest.raises(PairError) as caught:
        as_rankings(rows)
    assert says in str(caught.value)
