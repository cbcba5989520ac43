"""A teacher that thinks before it answers: pairs with the right setting, and an early stop that names it without."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from cai_lite.errors import Stopped
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.make_pairs import Work, nothing_left
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.preflight.pilot import preflight
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from tests.conftest import completion

THOUGHT = "The user wants something. A verdict could be yes, or B. " * 20
TOKENS = 400  # length of a thought


def answer(text, seed=0):
    """Drafts are bad and revisions are good; critiques and verdicts say so."""
    if "Begin with one letter" in text:
        return "A" if text.index("bad answer") > text.index("good") else "B"
    if "Rewrite the reply" in text:
        return f"A good answer to {text.split('end>>')[0][-40:]}"
    if "Begin with one word" in text:
        return "No, it is bad." if "bad answer" in text else "Yes, it is good."
    return f"A bad answer to {text[:60]} ({seed})"


def thinking(form, *, heeds=True):
    def reply(body):
        said = answer(body["messages"][-1]["content"], body.get("seed"))
        if heeds and body.get("chat_template_kwargs", {}).get("enable_thinking") is False:
            return 200, {}, completion(said)
        cut = body["max_tokens"] < TOKENS
        if form == "content":
            return (
                200,
                {},
                completion(f"<think>\n{THOUGHT}" + ("" if cut else f"</think>\n\n{said}"), *["length"] * cut),
            )
        made = completion(None if cut else said, "length" if cut else "stop")
        made["choices"][0]["message"][form] = THOUGHT
        if body.get("logprobs"):  # of the thought that the server took out: they would turn every verdict round
            other = {"A": "B", "B": "A"}.get(said, "A")
            scores = [{"token": other, "logprob": -0.01}, {"token": "AB".replace(other, ""), "logprob": -5.0}]
            made["choices"][0]["logprobs"] = {"content": [{"token": other, "logprob": -0.01, "top_logprobs": scores}]}
        return 200, {}, made

    return reply


@pytest.fixture
def recipe(server, tmp_path):
    rows = [{"prompt": f"question {i} about number {i * i}", "family": str(i)} for i in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = "name: c\nprinciples:\n  - {id: good, text: Be good.}\n"
    (tmp_path / "mine.yaml").write_text(rules)
    text = f"""
constitution: {tmp_path / "mine.yaml"}
prompts: {{file: prompts.jsonl, held_out: 0.0}}
teacher: {{url: "{server.url}", model: m}}
student: {{model: "embedded:student"}}
draft: {{from: teacher, n: 2}}
critique: {{principles_per_draft: 1}}
judge: {{principles: 1}}
"""
    (tmp_path / "recipe.yaml").write_text(text)
    return lambda *settings: load_recipe(tmp_path / "recipe.yaml", settings)


def made(recipe, out):
    return run_recipe(recipe, out, until="pair", quiet=True)["pairs"]


@pytest.mark.parametrize("form", ["content", "reasoning_content", "reasoning"])
def test_with_thinking_switched_off_a_thinking_teacher_makes_pairs(server, recipe, tmp_path, form):
    server.reply = thinking(form)
    assert made(recipe("teacher.template={enable_thinking: false}"), tmp_path / "run") > 0
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in server.bodies)


@pytest.mark.parametrize("form", ["content", "reasoning_content", "reasoning"])
def test_without_it_the_run_stops_early_and_names_the_setting(server, recipe, tmp_path, form):
    server.reply = thinking(form)
    with pytest.raises(Stopped) as caught:
        made(recipe(), tmp_path / "run")
    assert str(caught.value) == (
        "critique: 24 of 24 replies unreadable: 24 cut while thinking at critique.max_tokens=256; "
        "set teacher.template: {enable_thinking: false} or critique.max_tokens: 4096, and run the same command again"
    )
    said = (tmp_path / "run" / "log.txt").read_text()
    assert said.count("m thinks before it answers: set teacher.template: {enable_thinking: false}") == 2  # two limits
    asked = len(server.bodies)
    with pytest.raises(Stopped):
        made(recipe(), tmp_path / "run")
    assert len(server.bodies) == asked  # nothing is asked twice
    assert made(recipe("teacher.template={enable_thinking: false}"), tmp_path / "run") > 0


@pytest.mark.parametrize("form", ["content", "reasoning_content", "reasoning"])
def test_with_room_for_the_thought_the_answer_behind_it_is_read(server, recipe, tmp_path, form):
    server.reply = thinking(form)
    room = [f"{name}.max_tokens=4096" for name in ("draft", "critique", "revise", "judge")]
    made(recipe(*room), tmp_path / "run")
    pairs = load_pairs(tmp_path / "run" / "pairs.jsonl")
    assert pairs
    for pair in pairs:  # also where the scores beside the answer are those of the thought
        assert pair.chosen[0].content.startswith("A good") and pair.rejected[0].content.startswith("A bad")


def test_a_server_that_ignores_the_variable_is_told_apart(server, recipe, tmp_path):
    server.reply = thinking("content", heeds=False)
    with pytest.raises(Stopped, match=r"does not heed teacher\.template, so set critique\.max_tokens: 4096"):
        made(recipe("teacher.template={enable_thinking: false}"), tmp_path / "run")


def test_a_long_stage_stops_at_its_first_replies(server, recipe, tmp_path):
    server.reply = thinking("content")
    with pytest.raises(Stopped, match=r"critique: \d+ of \d+ replies"):
        made(recipe("draft.n=20"), tmp_path / "run")
    with Run(tmp_path / "run") as run:
        critiques = next(row for row in run.calls() if row["stage"] == "critique")
    assert critiques["calls"] < 200  # of 240


def test_all_drafts_cut_stop_the_run_before_anything_is_judged(server, recipe, tmp_path):
    server.reply = lambda body: (200, {}, completion("half an ans", "length"))
    with pytest.raises(Stopped) as caught:
        made(recipe(), tmp_path / "run")
    assert str(caught.value) == (
        "no pairs to train on: all 24 drafts were cut at draft.max_tokens=512 tokens; "
        "raise it and run the same command again"
    )
    with pytest.raises(Stopped, match=r"no pairs to train on: draft: 4 of 4 drafts cut at draft\.max_tokens=512"):
        made(recipe("prompts.limit=2"), tmp_path / "few")


def test_some_faults_are_said_and_the_run_goes_on(server, recipe, tmp_path):
    def behave(body):
        text = body["messages"][-1]["content"]
        return (
            200,
            {},
            completion("half", "length")
            if text.startswith("question 3")
            else completion(answer(text, body.get("seed"))),
        )

    server.reply = behave
    assert made(recipe(), tmp_path / "run") > 0
    assert (
        "! draft: 2 of 24 drafts cut at draft.max_tokens=512 tokens; raise it"
        in (tmp_path / "run" / "log.txt").read_text()
    )


def test_preflight_says_what_to_set(server, recipe, tmp_path):
    server.reply = thinking("content")
    found = preflight(recipe(), tmp_path / "pre", quiet=True)
    assert not found["ready"]
    assert any("set teacher.template: {enable_thinking: false}" in fault for fault in found["faults"])
    assert "cut while thinking at judge.max_tokens=8" in found["principles"][0]["why"]


def test_no_pairs_without_a_fault_names_what_was_dropped(recipe):
    run = Run()
    run.count("pair", {"pairs": 0, "margin too small": 7})
    work = Work(
        recipe=recipe(), roles=SimpleNamespace(teachers=(), judges=(), critics=()), run=run, screen=Screen(quiet=True)
    )
    assert nothing_left(work) == (
        "no pairs to train on: 7 with 'margin too small'; lower pair.min_margin or add prompts"
    )
