import re

import pytest

from cai_lite.evaluation.result import read_answers
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.reporting import answers as module
from cai_lite.reporting.answers import answers
from cai_lite.run.ledger import Run
from tests.reporting.conftest import answer_line


@pytest.fixture
def shown(tmp_path):
    """The section made of rows (number, side, text, verdicts), by the order of principles given."""

    def make(*rows, order=("kind", "safe"), scores=(), policy=None):
        (tmp_path / "answers.jsonl").write_text("".join(answer_line(*row) for row in rows))
        with Run(tmp_path) as run:
            run.keep_rows("score", scores)
            return answers(read_answers(tmp_path), run, order, policy)

    return make


def cards(made):
    """The attributes of the cards, in order."""
    return [dict(re.findall(r'data-(\w+)="([^"]*)"', card)) for card in re.findall(r"<details[^>]*>", made.section)]


def test_before_stands_beside_after_with_verdicts_in_the_colour_of_good_and_bad(shown):
    made = shown((1, "before", "Go home.", {"kind": False}), (1, "after", "Please rest.", {"kind": True})).section
    assert made.index("Go home.") < made.index("Please rest.")
    assert '<span class="bad">✗ breaks</span>' in made and '<span class="good">✓ keeps</span>' in made
    assert "Question 1 &lt;b&gt;of a user" in made and "tags: symptoms" in made


def test_the_worst_stand_first_each_with_what_became_of_each_principle(shown):
    made = shown(
        (1, "before", "x", {"kind": False, "safe": True}),
        (1, "after", "x", {"kind": True, "safe": True}),
        (2, "before", "x", {"kind": True, "safe": False}),
        (2, "after", "x", {"kind": False, "safe": False}),
    )
    assert [card["state"] for card in cards(made)] == ["0n 1b", "0m 1k"]
    assert "breaks kind (newly), safe" in made.section and "keeps every principle judged" in made.section
    assert made.breaking == {"kind": (1, 1), "safe": (1, 1)}
    assert 'data-principle="1"' in made.link("safe") and ">1<" in made.link("safe")


def test_a_verdict_that_could_not_be_read_is_none(shown):
    made = shown((1, "after", "x", {"kind": None, "safe": True}))
    assert "? unreadable" in made.section and cards(made)[0]["state"] == "1k"


def test_a_model_measured_alone_has_answers_of_one_side(shown):
    made = shown((1, "after", "x", {"kind": False}))
    assert cards(made)[0]["state"] == "0b" and "before</th>" not in made.section
    assert shown((1, "before", "x", {"kind": False})) is None


def test_baselines_stand_beside_the_model(shown):
    rows = [(1, side, f"Answer of {side}.", {"kind": True}) for side in ("before", "after", "prompted", "teacher")]
    made = shown(*rows).section
    assert re.findall(r"<h3>([^<]+)", made) == ["before", "after", "base, prompted", "teacher"]


def test_the_evidence_is_the_probability_that_the_judge_gave(shown):
    scores = [("s", ["a1after"], {"principle": "kind", "log_odds": 2.0, "outcome": "read"})]
    assert "✓ keeps (0.88)" in shown((1, "after", "x", {"kind": True}), scores=scores).section


def test_machine_checks_are_evidence_where_they_differ_from_the_verdict(shown):
    kind = Principle(id="kind", text="Be kind.", checks=Checks(forbid=("stupid",)))
    policy = Constitution(name="c", principles=(kind,))
    rows = [(1, "before", "Rest.", {"kind": False}), (1, "after", "You are stupid.", {"kind": True})]
    made = shown(*rows, policy=policy).section
    assert "✗ breaks<span" in made and "; checks: passed" in made and "; checks: failed" in made
    assert "; checks" not in shown((1, "after", "Rest.", {"kind": True}), policy=policy).section


def test_kinds_of_reply_can_be_told_apart(shown):
    rows = [(1, "after", "I cannot help with that.", {}), (2, "after", "", {}), (3, "after", "Rest and drink.", {})]
    assert sorted(card["reply"] for card in cards(shown(*rows))) == ["answer", "full_refusal", "none"]


def test_of_many_prompts_some_are_shown_for_every_principle_and_it_is_said(shown, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 4)
    rows = [(i, "after", "x", {"kind": False, "safe": True}) for i in range(20)]
    made = shown(*rows, (99, "after", "x", {"kind": True, "safe": False}))
    assert "4 of 21 prompts shown" in made.section
    assert made.breaking == {"kind": (20, 3), "safe": (1, 1)} and "20 (3 shown)" in made.link("kind")


def test_samples_of_one_prompt_are_cards_of_their_own(shown):
    rows = [(1, side, f"{side} {i}", {"kind": True}) for side in ("before", "after") for i in range(3)]
    assert len(cards(shown(*rows))) == 3
