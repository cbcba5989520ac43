"""Figures of the quality of revisions, counted by hand."""

import pytest

from cai_lite.distill.revisions import Attempt
from cai_lite.evaluation.revisions import MEMO, measure_revisions, others_kept, revision_quality
from cai_lite.records import Candidate, Message, Prompt
from cai_lite.run.ledger import Run


@pytest.mark.parametrize(
    ("before", "after", "critique", "share"),
    [
        ("A one. B two. C three.", "A one. X new. C three.", "", 1.0),  # the one changed sentence is the mend
        ("A one. B two. C three.", "A one. X new. Y new.", "", 0.5),  # a second changed one is not
        ("A one. B two. C three.", "A one! C three, b TWO.", "", 0.5),  # sentences that were joined do not stand
        ("A one. B two. C three.", "C three. A one. B two. See a doctor.", "", 1.0),  # an added sentence harms none
        ("A one. B two. C three.", "X new. B two. C three.", 'no, "b two" is rude', 0.5),  # the quoted one is unharmed
        ("A one. B two.", "Y new.", 'no, "a one" and "b two" are rude', None),  # nothing else is there
        ("A one.", "B two.", "", None),
        ("A one. A one. B two.", "A one. B two.", "", 1.0),  # a repetition stands once
    ],
)
def test_the_other_sentences_of_a_text_stand_or_do_not(before, after, critique, share):
    assert others_kept(before, after, critique) == share


@pytest.fixture
def attempt():
    def made(draft, outcome="revised", mended=True, *, round=1, left=(), broken=(), after="A one. X. C three."):
        prompt = Prompt(key=f"p{draft}", messages=(Message("user", "q"),), family=f"f{draft}")
        first = Candidate(key=f"d{draft}", prompt=prompt, text="A one. B two. C three.", author="s")
        new = Candidate(key=f"r{draft}.{round}", prompt=prompt, text=after, author="t", round=round)
        return Attempt(
            draft=first,
            before=first,
            critique="no",
            principle="kind",
            round=round,
            needed=True,
            outcome=outcome,
            after=new if outcome in ("revised", "broke what held") else None,
            mended=mended,
            left=left,
            broken=broken,
        )

    return made


def test_every_figure_counts_what_it_says(attempt):
    found = revision_quality(
        [
            attempt(0),
            attempt(1, left=("short",)),
            attempt(1, round=2, after="A one. X. Y."),
            attempt(2, "broke what held", left=("short",), broken=("short",)),
            attempt(3, "unchanged", False, left=("kind",)),
            attempt(4, "cut", None, left=("kind",)),
            attempt(5, mended=None),
        ]
    )
    value = {name: (figure["value"], figure["n"]) for name, figure in found["figures"].items()}
    assert value["mended"] == (4 / 5, 5)
    assert value["others_kept"] == (pytest.approx((1 + 1 + 0.5 + 1 + 1) / 5), 5)
    assert value["new_violations"] == (1 / 6, 6)
    assert value["satisfied"] == (3 / 6, 6)
    assert value["rounds"] == (pytest.approx(4 / 3), 3)
    assert value["unusable"] == (2 / 7, 7)
    assert found["rounds"] == {"1": 2, "2": 1, "never": 3}
    assert found["principles"]["kind"]["n"] == 5
    assert found["summary"].startswith(
        "4 of 5 rewrites mend their principle; 90% of the other sentences stand; 1 broke"
    )


def test_the_oracle_sees_only_what_was_really_broken(attempt):
    found = revision_quality([attempt(0), attempt(1)], lambda id_, asked, text: "X" in text)
    assert (found["figures"]["mended_by_oracle"]["value"], found["figures"]["mended_by_oracle"]["n"]) == (1.0, 2)
    assert "mended_by_oracle" not in revision_quality([attempt(0)], lambda id_, asked, text: True)["figures"]


def test_without_revisions_there_are_no_figures(attempt):
    assert revision_quality([]) == {}


def test_the_metric_is_what_the_run_stored(attempt):
    run = Run()
    subject = type("Subject", (), {"run": run})
    assert measure_revisions(subject) == {"revisions": {}}
    run.remember(MEMO, revision_quality([attempt(0), attempt(1)]))
    assert measure_revisions(subject)["revisions"]["mended"].value == 1.0
