"""A pairing rule is one function, named in `PAIRINGS`: this file adds one from outside."""

from itertools import pairwise

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.comparisons import PAIRINGS, Comparison, compare
from cai_lite.distill.pairs import pair
from cai_lite.distill.verdicts import judge
from cai_lite.errors import InputError, RecipeError
from cai_lite.pipeline.recipe import load_recipe


def neighbours(candidates):
    """Each candidate against the next one."""
    yield from (Comparison(first, second) for first, second in pairwise(candidates))


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(PAIRINGS, "neighbours", neighbours)


def test_an_added_rule_is_compared_judged_and_paired(added, candidate, constitution):
    rows = [candidate("good one"), candidate("bad two"), candidate("good three")]
    first_is_good = ScriptedModel(lambda r: "A" if "reply A>>\ngood" in r.messages[-1].content else "B")
    assert [(c.first.text, c.second.text) for c in compare("neighbours", rows)] == [
        ("good one", "bad two"),
        ("bad two", "good three"),
    ]
    verdicts = judge(first_is_good, rows, constitution, rule="neighbours", principles=1, log_probs="never")
    made = pair(verdicts)
    assert {row.rule for row in made} == {"neighbours"} and {row.rejected[-1].content for row in made} == {"bad two"}


def test_a_recipe_takes_an_added_rule_and_no_other(added):
    read = load_recipe("medical", ["pair.rules=[neighbours]"], profile="embedded")
    assert read.pair.rules == ("neighbours",)
    with pytest.raises(RecipeError, match="did you mean 'neighbours'"):
        load_recipe("medical", ["pair.rules=[neighbour]"], profile="embedded")


def test_an_unknown_rule_is_refused(candidate):
    with pytest.raises(InputError, match="no pairing rule 'best'"):
        compare("best", [candidate("a")])
