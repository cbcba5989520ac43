"""Reviews: which items come first, what a decision leaves behind, how far people agree."""

import json

import pytest

from cai_lite.errors import InputError
from cai_lite.inputs.human import HUMAN, HumanEdit, HumanVote, read_human
from cai_lite.inputs.labels import LABELS, load_labels
from cai_lite.records import digest
from cai_lite.reporting.audit import verify
from cai_lite.run.ledger import Run
from cai_lite.serving import review_agreement, reviewing
from cai_lite.serving.review_agreement import agreement
from cai_lite.serving.reviewing import Decision, Review
from tests.serving.reviewed import make_run


@pytest.fixture
def run(tmp_path):
    with Run(make_run(tmp_path / "run")) as opened:
        yield opened


def human(run):
    return read_human(run.path(HUMAN)) if run.path(HUMAN).exists() else []


def test_comparisons_come_least_certain_first_and_changed_minds_before_them(run):
    review = Review(run, "pairs")
    numbers = [int(review.item(place).prompt[0].content.split()[1][:-1]) for place in range(len(review.keys))]
    assert numbers[:4] == [1, 1, 0, 0]
    assert numbers[4:] == sorted(numbers[4:])
    assert review.queue.drawn == "least certain first"
    drawn = Review(run, "pairs", at_random=True)
    assert sorted(drawn.keys) == sorted(review.keys) and drawn.keys != review.keys
    assert Review(run, "pairs", sample=5).keys == review.keys[:5]


def test_comparisons_of_held_out_prompts_are_left_out(run):
    row = {"key": "x", "prompt": [{"role": "user", "content": "?"}], "tags": [], "family": "f5", "side": "after"}
    with run.path("answers.jsonl").open("a") as file:
        file.write(json.dumps(row | {"answer": "x", "verdicts": {}}) + "\n")
    review = Review(run, "pairs")
    assert len(review.keys) == 22
    assert not [key for place, key in enumerate(review.keys) if review.item(place).family == "f5"]


def test_a_vote_becomes_a_line_that_names_the_pair_of_the_run(run):
    review = Review(run, "pairs")
    place = next(i for i in range(24) if review.item(i).family == "f7")
    item = review.item(place)
    review.decide(Decision(item=item.key, by="ada", choice="second", confidence=0.5, at=7.0))
    pairs = {key for key, _, _ in run.rows("pair")}
    (vote,) = human(run)
    assert vote == HumanVote(
        prompt=item.prompt, a=item.texts[0], b=item.texts[1], choice="b", principle="kind", confidence=0.5, by="ada",
        at=7.0, pair=item.pair,
    )  # fmt: skip
    assert item.pair in pairs and (review.done("ada"), review.done("bo")) == (1, 0)


def test_a_changed_decision_leaves_one_line_and_undo_brings_the_earlier_back(run):
    review = Review(run, "pairs")
    key, other = review.keys[:2]
    review.decide(Decision(item=other, by="bo", choice="tie"))
    review.decide(Decision(item=key, by="ada", choice="first"))
    review.decide(Decision(item=key, by="ada", choice="second", edit=(1, "Better.")))
    assert [getattr(line, "choice", "edit") for line in human(run)] == ["tie", "b", "edit"]
    assert isinstance(human(run)[-1], HumanEdit) and human(run)[-1].source == review.item(0).sources[1]
    assert review.undo("ada").choice == "first"
    assert [line.choice for line in human(run)] == ["tie", "a"]
    assert review.undo("ada").choice == "" and review.undo("ada") is None
    assert [line.choice for line in human(run)] == ["tie"] and review.done("ada") == 0
    assert len(list(run.rows("decision"))) == 5  # nothing is removed from the ledger


def test_a_review_goes_on_at_the_first_open_item_of_each_person(run):
    review = Review(run, "pairs")
    for place in (0, 1, 3):
        review.decide(Decision(item=review.keys[place], by="ada", choice="skip" if place == 1 else "tie"))
    again = Review(run, "pairs")
    assert again.next_open("ada") == 2 and again.next_open("ada", 3) == 4 and again.next_open("bo") == 0
    assert again.decisions == review.decisions and len(human(run)) == 2
    small = Review(run, "pairs", sample=2)
    assert small.next_open("ada") is None and small.done("ada") == 2


def test_a_line_that_a_kill_kept_from_its_file_is_written_when_the_review_goes_on(run, monkeypatch):
    review = Review(run, "pairs")
    review.decide(Decision(item=review.keys[0], by="ada", choice="tie"))
    monkeypatch.setattr(reviewing, "append_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        review.decide(Decision(item=review.keys[1], by="ada", choice="first"))
    assert len(human(run)) == 1
    monkeypatch.undo()
    for _ in range(2):
        assert Review(run, "pairs").next_open("ada") == 2
        assert [line.choice for line in human(run)] == ["tie", "a"]


def test_labels_are_of_random_answers_with_a_verdict(run):
    review = Review(run, "answers")
    assert len(review.keys) == 12 and review.queue.drawn == "uniformly at random"  # 'brief' has no verdict
    item = review.item(0)
    review.decide(Decision(item=item.key, by="ada", choice="breaks", edit=(0, "Better."), at=7.0))
    (label,) = load_labels(run.path(LABELS))
    assert (label.answer, label.principle, label.keeps, label.at) == (item.sources[0], "kind", False, 7.0)
    assert human(run)[0].after == "Better."
    (event,) = run.rows("decision")
    assert event[2]["drawn"] == "uniformly at random" and event[1] == [item.sources[0]]


def test_ranks_become_votes_on_every_two_candidates(run):
    review = Review(run, "ranks")
    item = review.item(0)
    assert len(review.keys) == 12 and len(item.texts) == 4
    review.decide(Decision(item=item.key, by="ada", choice="ranks", ranks=(2, 1, 2, 3)))
    assert [vote.choice for vote in human(run)] == ["b", "tie", "a", "a", "a", "a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "nothing"}, "no item 'nothing'"),
        ({"choice": "keeps"}, "'keeps' is not a choice"),
        ({"confidence": float("nan")}, "confidence should be from 0 to 1"),
        ({"ranks": (1, 2)}, "there should be 0 ranks"),
        ({"edit": (2, "x")}, "no text 2 to edit"),
        ({"edit": (0, " ")}, "the edited text is empty"),
        ({"edit": (0, "a\0b")}, "contains the character NUL"),
        ({"by": " "}, "needs the name"),
    ],
)
def test_a_decision_that_does_not_fit_its_item_is_refused(run, change, message):
    review = Review(run, "pairs")
    with pytest.raises(InputError, match=message):
        review.decide(Decision(**{"item": review.keys[0], "by": "ada", "choice": "tie"} | change))
    assert not list(run.rows("decision")) and human(run) == []


def test_texts_that_no_file_can_hold_are_decided_on_all_the_same(tmp_path):
    with Run(make_run(tmp_path / "run", prompts=2, hostile=True)) as run:
        review = Review(run, "pairs")
        assert "the character NUL" in review.decide(Decision(item=review.keys[0], by="ada", choice="tie"))
        assert review.done("ada") == 1 and human(run) == []


def test_a_run_without_comparisons_is_refused(tmp_path):
    with Run(tmp_path / "run") as run, pytest.raises(InputError, match="no comparisons to review"):
        Review(run, "pairs")


def test_a_reviewed_run_verifies_as_before(run):
    before = verify(run.directory)
    review = Review(run, "pairs")
    review.decide(Decision(item=review.keys[0], by="ada", choice="tie"))
    assert verify(run.directory) == before


def test_agreement_of_people_and_judge(run):
    """Ada follows the judge on 20 of 24 comparisons and Bo on 22, and they agree on 22: by hand, with a coin deciding
    which text is called a, chance agreement is near one half."""
    review = Review(run, "pairs")
    for place, key in enumerate(review.keys):
        review.decide(Decision(item=key, by="ada", choice="second" if place < 4 else "first"))
        review.decide(Decision(item=key, by="bo", choice="second" if place < 2 else "first"))
    review.decide(Decision(item=review.keys[-1], by="cy", choice="flag"))
    found = agreement(review)
    assert found["raters"]["ada"] == {"second": 4, "first": 20} and found["flagged"] == [review.keys[-1]]
    assert 0.7 < found["people_alpha"]["value"] < 0.95 and found["people_alpha"]["n"] == 24
    # Prompt 0 has a probability of one half, a tie of the judge, and leaves 22 comparisons of two people.
    assert found["judge_kappa"]["n"] == 44 and 0.6 < found["judge_kappa"]["value"] < 1
    assert set(found["judge_kappa_by_principle"]) == {"kind"}


def test_agreement_with_the_judge_on_labels(run):
    review = Review(run, "answers")
    for place, key in enumerate(review.keys):
        kept = review.item(place).evidence["keeps"]
        review.decide(Decision(item=key, by="ada", choice="keeps" if kept != (place == 0) else "breaks"))
    found = agreement(review)["judge_kappa"]
    assert found["n"] == 12 and found["value"] == pytest.approx(5 / 6, abs=0.02)  # 11 of 12 agree, 1/2 by chance


def test_where_all_say_the_same_there_is_no_kappa(run):
    review = Review(run, "answers")
    cells = [(True, True, str(place)) for place in range(12)]
    assert review_agreement._kappa(cells) is None and review_agreement._kappa([*cells, (True, False, "x")]).value == 0
    assert "judge_kappa" not in agreement(review)


def test_the_order_on_the_screen_says_nothing_of_the_order_in_the_run():
    tosses = [reviewing.coin(digest(n)) for n in range(400)]
    assert 160 < sum(tosses) < 240
