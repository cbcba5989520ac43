"""Ratings made of what judges said in a run."""

from __future__ import annotations

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.rated import PER_QUESTION, ratings_of_run
from cai_lite.distill.verdicts import judge
from cai_lite.records import Reply
from cai_lite.run.ledger import Run

TEXTS = {"kind": "Be kind.", "short": "Be short."}


def rated(run, prompts, **more):
    settings = {"rules": ["best_over_worst"], "weights": {}, "min_margin": 0.05, "soft_labels": True} | more
    return ratings_of_run(run, prompts, TEXTS, **settings)


def verdict(request):
    """ "good" keeps both principles, "fair" one of them, "bad" none."""
    text = request.messages[-1].content
    kind = "Be kind." in text
    yes = "good" in text or ("fair" in text and kind)
    return Reply(text="yes" if yes else "no", log_probs={"yes": -0.01 if yes else -5.0, "no": -5.0 if yes else -0.01})


@pytest.fixture
def run(candidate, constitution):
    found, drafts = Run(), [candidate(text) for text in ("good", "fair", "bad")]
    keep_candidates(found, drafts)
    model = ScriptedModel(verdict, wording="short")
    judge(model, drafts, constitution, rule="best_over_worst", mode="pointwise", principles=2, run=found)
    return found


def test_all_candidates_that_a_judge_scored_are_compared_by_principle_and_over_all(run, prompts):
    found = rated(run, prompts)
    assert all(row.p > 0.5 for row in found)
    said = {
        (row.principle, row.completions[0][0].content, row.completions[1][0].content): round(row.p, 2) for row in found
    }
    assert said == {
        ("kind", "good", "bad"): 0.99,
        ("kind", "fair", "bad"): 0.99,
        ("short", "good", "fair"): 0.99,
        ("short", "good", "bad"): 0.99,
        ("", "good", "bad"): 0.99,
        ("", "good", "fair"): 0.75,
        ("", "fair", "bad"): 0.75,
    }
    assert {row.text for row in found} == {"", *TEXTS.values()} and {row.family for row in found} == {"f0"}
    assert len({row.key for row in found}) == len(found)
    assert rated(run, prompts) == found


def test_weights_margins_and_hard_labels_are_those_of_the_recipe(run, prompts):
    joint = [row for row in rated(run, prompts, weights={"kind": 3.0, "short": 1.0}) if not row.text]
    assert sorted(round(row.p, 2) for row in joint) == [0.62, 0.87, 0.99]
    joint = [row for row in rated(run, prompts, min_margin=0.3) if not row.text]
    assert len(joint) == 1
    assert {row.p for row in rated(run, prompts, soft_labels=False)} == {1.0}


def test_other_prompts_principles_and_rules_are_left_out(run, prompts):
    assert rated(run, prompts[1:]) == [] == rated(run, prompts, rules=["after_against_before"])
    assert not ratings_of_run(run, prompts, {}, rules=["best_over_worst"], weights={}, min_margin=0, soft_labels=True)


def test_verdicts_of_a_judge_that_compares_are_taken_as_they_are(candidate, constitution, prompts):
    found, drafts = Run(), [candidate(text) for text in ("worse", "better")]
    keep_candidates(found, drafts)
    model = ScriptedModel(lambda r: "A" if "Reply A: better" in r.messages[-1].content else "B", wording="short")
    judge(model, drafts, constitution, rule="best_over_worst", principles=2, run=found)
    rows = rated(found, prompts)
    assert [(row.principle, row.p) for row in rows] == [("kind", 1.0), ("short", 1.0), ("", 1.0)]
    assert all(row.completions[0][0].content == "better" for row in rows)


def test_a_prompt_gives_at_most_so_many_comparisons_of_a_principle(candidate, constitution, prompts):
    found, drafts = Run(), [candidate(f"{kind} {i}") for i in range(5) for kind in ("good", "bad")]
    keep_candidates(found, drafts)
    model = ScriptedModel(verdict, wording="short")
    judge(model, drafts, constitution, rule="best_over_worst", mode="pointwise", principles=2, run=found)
    assert len(rated(found, prompts)) == 3 * PER_QUESTION
