import pytest

from cai_lite.evaluation.adherence import adherence
from cai_lite.records import Candidate
from cai_lite.stats import Figure


def says_yes(candidate, principle):
    """The scripted truth: an answer names the principles that it keeps."""
    return float(principle.id in candidate.text)


def put(prompts, texts):
    return [Candidate(key=f"{p.key}:{t}", prompt=p, text=t, author="m") for p, t in zip(prompts, texts, strict=True)]


def test_each_principle_counts_on_the_prompts_that_it_applies_to(constitution, prompt):
    prompts = [prompt(0, "pain"), prompt(1)]
    found = adherence((put(prompts, ["", "kind"]), put(prompts, ["kind ask", "kind"])), constitution, says_yes)
    kind, ask = found["principles"]["kind"], found["principles"]["ask"]
    assert (kind.before.value, kind.after.value, kind.change.value, kind.change.n) == (
        0.5,
        1.0,
        0.5,
        2,
    )
    assert (ask.before.value, ask.after.value, ask.change.n) == (0.0, 1.0, 1)


def test_the_overall_mean_weighs_each_cell_by_its_principle(constitution, prompt):
    prompts = [prompt(0, "pain"), prompt(1)]
    found = adherence((put(prompts, ["", "kind"]), put(prompts, ["kind", "kind"])), constitution, says_yes)["overall"]
    # Cells: kind (weight 3) on both prompts, ask (weight 1) on the first. Before 3 of 7, after 6.
    assert found.before.value == pytest.approx(3 / 7)
    assert found.after.value == pytest.approx(6 / 7)
    assert found.change.value == pytest.approx(3 / 7)
    assert found.change.n == 3


def test_slices_are_the_tags_that_begin_so(constitution, prompt):
    prompts = [prompt(0, "slice:held_out_words"), prompt(1, "slice:unseen_phrasing"), prompt(2, "other")]
    found = adherence((put(prompts, ["", "", ""]), put(prompts, ["kind", "", "kind"])), constitution, says_yes)[
        "splits"
    ]
    assert found.keys() == {"held_out_words", "unseen_phrasing"}
    assert found["held_out_words"].change.value == 1.0
    assert found["unseen_phrasing"].change.value == 0.0


def test_a_cell_that_cannot_be_told_on_one_side_counts_on_neither(constitution, prompt):
    prompts = [prompt(0), prompt(1)]

    def keeps(candidate, principle):
        return None if candidate.text == "?" else says_yes(candidate, principle)

    found = adherence((put(prompts, ["kind", "kind"]), put(prompts, ["?", "kind"])), constitution, keeps)
    assert found["overall"].before.n == found["overall"].after.n == 1
    assert adherence((put(prompts, ["?", "?"]), put(prompts, ["?", "?"])), constitution, keeps) == {}


def test_a_family_is_one_piece_of_evidence(constitution, prompt):
    def width(families):
        prompts = [prompt(i, family=family) for i, family in enumerate(families)]
        texts = ["kind" if i < 20 else "" for i in range(40)]
        change = adherence((put(prompts, [""] * 40), put(prompts, texts)), constitution, says_yes)["overall"].change
        return change.high - change.low

    assert width([f"f{i // 5}" for i in range(40)]) > 1.5 * width([f"f{i}" for i in range(40)])


def test_one_side_gives_figures_and_no_p_values(constitution, prompt):
    prompts = [prompt(0, "pain", "slice:hard"), prompt(1)]
    found = adherence([put(prompts, ["kind", "kind"])], constitution, says_yes)
    assert found.keys() == {"overall", "principles", "splits"}
    assert isinstance(found["overall"], Figure) and found["overall"].value == pytest.approx(6 / 7)
    assert found["principles"]["ask"].value == 0.0 and found["splits"]["hard"].n == 2
