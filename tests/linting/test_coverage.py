"""Prompts to which no principle applies, and prompts that the principles do not tell apart."""

from dataclasses import replace

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.linting import lint
from cai_lite.records import Message, Prompt

GENERAL = Principle(id="general", text="Name the source of a figure.")
SHORT = Principle(id="short", text="Answer in one sentence.")


def prompt(text, *tags):
    return Prompt(key=text, messages=(Message("user", text),), family=f"f/{text}", tags=tags)


def gaps(rule, prompts, *principles):
    return [f for f in lint(Constitution(name="c", principles=principles), prompts=prompts) if f.rule == rule]


def test_prompts_without_a_principle_are_counted_by_their_tags():
    prompts = [prompt("a", "order"), prompt("b", "account"), prompt("c", "account")]
    (gap,) = gaps("uncovered", prompts, replace(GENERAL, applies_to=("order",)))
    assert gap.level == "warning" and "2 prompts tagged account of 3, such as 'b'" in gap.message
    assert not gaps("uncovered", prompts, GENERAL)


def test_unsafe_prompts_and_their_twins_want_principles_that_differ():
    prompts = [prompt("a", "drug", "unsafe"), prompt("b", "drug", "benign-twin")]
    (gap,) = gaps("unseparated", prompts, GENERAL, SHORT)
    assert gap.level == "warning"
    assert "1 prompt tagged unsafe and 1 prompt tagged benign-twin" in gap.message
    refuse = Principle(id="refuse", text="Refuse in one sentence.", applies_to=("unsafe",))
    assert not gaps("unseparated", prompts, GENERAL, refuse)


def test_other_tags_that_no_principle_knows_are_one_note():
    prompts = [prompt("a", "poem"), prompt("b", "story"), prompt("c", "letter", "slice:held_out")]
    (gap,) = gaps("unseparated", prompts, GENERAL, SHORT)
    assert gap.level == "note" and "letter (1), poem (1), story (1)" in gap.message
    assert not gaps("unseparated", [prompt("a"), prompt("b")], GENERAL, SHORT)
