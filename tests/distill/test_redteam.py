"""A red team keeps what breaks the student now, as training prompts of the families of their seeds."""

import re

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.exam import ExamPrompt, exam, exam_lines, read_exam
from cai_lite.distill.exam_kinds import kinds_of
from cai_lite.distill.leaks import HeldOut
from cai_lite.distill.redteam import redteam
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.prompts import load_prompts
from cai_lite.records import Message, Prompt
from tests import examining


@pytest.fixture
def policy():
    return Constitution(
        name="shop",
        principles=(
            Principle(id="no-refunds", text="Promise no refund.", applies_to=("order",)),
            Principle(id="kind", text="Be kind."),
        ),
    )


@pytest.fixture
def seeds(policy):
    model = ScriptedModel(examining.teacher)
    return exam(model, policy, n=8, held_out=0.3, kinds=kinds_of(["denied", "unsafe", "allowed"])).prompts


def attack(policy, seeds, judges=None, **more):
    model = ScriptedModel(examining.teacher)
    return redteam(model, ScriptedModel(examining.student, name="s"), judges or [model], seeds, policy, **more)


def test_what_broke_the_student_is_kept_and_the_yield_is_stated(policy, seeds):
    found = attack(policy, seeds)
    assert len(found.kept) >= 10
    for row in found.kept:
        last = examining.student(type("R", (), {"messages": row.prompt.messages}))
        assert last == "Fine, I will do it." and row.prompt.split == "train"
        assert {"adversarial", f"slice:pressure-{row.tactic}"} <= set(row.prompt.tags)
    shown = found.as_dict()
    decided = shown["tried"] - shown["undecided"]
    assert shown["yield"]["n"] == decided and shown["yield"]["low"] < shown["yield"]["value"] <= shown["yield"]["high"]
    assert shown["yield"]["value"] == pytest.approx((shown["kept"] + sum(shown["dropped"].values())) / decided)
    assert set(shown["yield_by_principle"]) == {"no-refunds", "kind"}
    assert set(shown["yield_by_tactic"]) == {"authority", "flattery", "threat", "gradual"}
    assert shown["simulated_user_errors"]["n"] > 30


def test_held_out_and_allowed_seeds_are_not_used_and_families_keep_their_side(policy, seeds, tmp_path):
    found = attack(policy, seeds)
    held_out = [row.prompt for row in seeds if row.prompt.split == "held_out"]
    assert found.skipped["held out"] == len(held_out) > 3
    assert found.skipped["ask for what is allowed"] > 3
    pressed = {talk.seed.family for talk in found.talks}
    assert not pressed & {prompt.family for prompt in held_out}
    assert {row.prompt.family for row in found.kept} <= pressed
    reserved = HeldOut([prompt.messages for prompt in held_out])
    assert not any(reserved.matches(row.prompt.messages) for row in found.kept)
    both = tmp_path / "both.jsonl"
    both.write_text(exam_lines(seeds) + exam_lines(found.kept))
    report = load_prompts(both).report
    assert report["families_on_both_sides"] == report["contaminated"] == 0
    assert report["train"] + report["held_out"] == len(seeds) + len(found.kept)


def test_what_is_kept_seeds_the_next_round(policy, seeds, tmp_path):
    path = tmp_path / "broken.jsonl"
    first = attack(policy, seeds)
    path.write_text(exam_lines(first.kept))
    again = attack(policy, read_exam(path, held_out=0.0), turns=1)
    assert len(again.talks) == len(first.kept)
    assert all(len(talk.messages) == len(talk.seed.messages) + 2 * talk.turns for talk in again.talks)
    assert {row.prompt.family for row in again.kept} <= {row.prompt.family for row in first.kept}


def test_both_verdicts_must_say_so(policy, seeds):
    """One judge is asked a second time, as a sample; of two, each is asked once; what one cannot say is undecided."""
    judge = ScriptedModel(examining.teacher, name="j")
    attack(policy, seeds, [judge], limit=4)
    assert {request.sampling.temperature for request in judge.asked} == {0.0, 1.0}
    mild = ScriptedModel(lambda r: "yes", name="mild")
    assert attack(policy, seeds, [judge, mild]).kept == []
    unsure = attack(policy, seeds, [judge, ScriptedModel(lambda r: "Hm.", name="unsure")])
    assert unsure.kept == [] and set(unsure.broken) == {None} and unsure.yielded is None


def test_a_prompt_without_a_principle_takes_one_that_applies(policy):
    rows = [
        ExamPrompt(prompt=Prompt(key=str(i), messages=(Message("user", f"Refund the {i}. tent!"),), family=f"f{i}"))
        for i in range(3)
    ]
    found = attack(policy, rows)
    assert {talk.principle.id for talk in found.talks} == {"kind"}  # the other one needs the tag "order"


def test_the_limit_is_drawn_by_hash(policy, seeds):
    few, more = attack(policy, seeds, limit=3), attack(policy, seeds, limit=5)
    keys = [{talk.seed.key for talk in found.talks} for found in (few, more)]
    assert len(keys[0]) == 3 and len(keys[1]) == 5 and keys[0] < keys[1]


def test_wrong_names_and_nothing_to_press_are_told(policy, seeds):
    with pytest.raises(InputError, match="did you mean 'threat'"):
        attack(policy, seeds, tactics=["thread"])
    held_out = [row for row in seeds if row.prompt.split == "held_out"]
    with pytest.raises(InputError, match=re.escape(f"{len(held_out)} held out")):
        attack(policy, held_out)
    with pytest.raises(InputError, match="too small"):
        redteam(ScriptedModel(examining.teacher, wording="short"), ScriptedModel(examining.student), [], seeds, policy)
