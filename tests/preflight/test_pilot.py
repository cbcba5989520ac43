"""What preflight says of judges whose faults are known."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from cai_lite.chat import open_model
from cai_lite.chat.faults import Watch
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.inputs.constitution import Conflict, Constitution, Principle
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.preflight.pilot import _forecast, preflight, show_preflight

GOOD = Principle(id="good", text="Prefer what says good.")
LONG = Principle(id="long", text="Prefer what says long.")


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Runs preflight with a scripted judge; drafts say 'good' and 'long' in turn, never both."""
    rows = [{"prompt": f"question {i}", "family": str(i), "split": "train"} for i in range(30)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("TEACHER_URL", "http://localhost/v1")

    def run(judge, principles, *overrides, conflicts=(), prompts=20, unsure=None, teacher=None, critic=None):
        recipe = load_recipe(
            "medical",
            overrides=[
                f"prompts.file={tmp_path / 'prompts.jsonl'}",
                "judge.log_probs=never",
                "revise.rounds=0",
                *overrides,
            ],
        )
        student = ScriptedModel(lambda r: f"{r.messages[-1].content} {'good' if r.index else 'long'}")
        model = ScriptedModel(
            lambda r: unsure(r) if unsure and r.sampling.temperature > 0 else judge(r.messages[-1].content)
        )
        constitution = Constitution(name="c", principles=tuple(principles), conflicts=tuple(conflicts))
        roles = SimpleNamespace(
            drafter=student,
            judges=[SimpleNamespace(model=model, weight=1.0)],
            judge=model,
            teachers=[SimpleNamespace(model=teacher or model)],
            critics=[SimpleNamespace(model=critic, section="critique.by")] if critic else [],
            assign=lambda prompts: [(teacher or model, prompts)],
            constitution=constitution,
            close=lambda: None,
            digests=lambda: {},
            watch=lambda model, say, told, stops: Watch(say=say, told=told, stops=stops, section="teacher"),
        )
        monkeypatch.setattr("cai_lite.preflight.pilot.open_roles", lambda _: roles)
        found = preflight(recipe, tmp_path / "run", prompts=prompts, quiet=True)
        console = Console(record=True, width=160)
        show_preflight(found, console)
        return found, {row["id"]: row for row in found["principles"]}, console.export_text()

    return run


def honest(text):
    """Prefers the reply that says the principle's word."""
    word = re.findall(r"Prefer what says (\w+)", text)[-1]
    other = {"good": "long", "long": "good"}[word]
    replies = text.replace(f"says {word}", "")
    return "A" if re.search(rf"\d {word}", replies).start() < re.search(rf"\d {other}", replies).start() else "B"


def test_a_judge_that_knows_is_ready(look):
    found, rows, shown = look(honest, [GOOD])
    assert found["ready"]
    assert rows["good"]["verdict"] == "ready"
    assert rows["good"]["order_consistency"]["value"] == 1
    assert rows["good"]["same_in_other_words"]["value"] == 1
    assert rows["good"]["judged"] == 20
    assert "ready" in shown


def test_a_judge_that_always_takes_the_first_is_found_out(look):
    found, rows, shown = look(lambda _: "A", [GOOD])
    assert not found["ready"]
    assert (rows["good"]["verdict"], rows["good"]["order_consistency"]["value"]) == ("vague", 0)
    assert "changes with the order of the replies" in shown


def test_a_judge_that_turns_with_the_wording_is_found_out(look):
    turned = {"A": "B", "B": "A"}
    _, rows, _ = look(lambda text: turned[honest(text)] if "whatever else" in text else honest(text), [GOOD])
    assert rows["good"]["verdict"] == "vague"
    assert "wording" in rows["good"]["why"]


def test_principles_that_pull_apart_are_named_unless_the_constitution_decides(look):
    found, rows, shown = look(honest, [GOOD, LONG])
    (row,) = found["conflicts"]
    assert (row["opposed"], row["pull_apart"], row["decided"]) == (1.0, True, False)
    assert rows["good"]["verdict"] == rows["long"]["verdict"] == "conflicting"
    assert "prefer opposite sides in 100% of 20 comparisons" in shown


def test_a_decided_conflict_is_no_fault(look):
    decided = Conflict(between=("good", "long"), prefer="good", when="always")
    found, _, shown = look(honest, [GOOD, LONG], conflicts=[decided])
    assert found["ready"]
    assert "decided in the constitution" in shown


def test_unreadable_answers_are_counted_as_such_and_little_is_said_to_be_unknown(look):
    _, rows, _ = look(lambda _: "Hard to say.", [GOOD])
    assert (rows["good"]["unreadable"], rows["good"]["verdict"]) == (1.0, "unknown")


def test_the_forecast_counts_the_calls_of_the_recipe(look):
    found, _, _ = look(honest, [GOOD], "pair.rules=[best_over_worst]", "draft.n=4", "judge.principles=1")
    # 30 prompts: 4 drafts each, and 6 comparisons of them in two orders.
    assert found["forecast"]["calls"] == 30 * 4 + 30 * 6 * 2


def test_the_forecast_halves_the_price_of_what_is_left_to_a_batch():
    """By hand: the run makes 30 x 2 drafts of 1 each, and judges 30 comparisons in two orders at 3 each."""
    recipe = load_recipe("medical", ["draft.n=2", "pair.rules=[best_over_worst]", "judge.principles=1"], "embedded")
    live, batch = (open_model("http://h/v1", model="m", batch=each) for each in (False, True))
    calls = [
        {"stage": stage, "calls": 10, "tokens_in": 10, "tokens_out": 10, "cost": cost, "seconds": 36.0}
        for stage, cost in (("draft", 10.0), ("judge", 30.0))
    ]
    plain, half = (
        _forecast(recipe, SimpleNamespace(drafter=live, judge=judge), 30, calls, []) for judge in (live, batch)
    )
    assert plain["cost"] == pytest.approx(60 + 60 * 3) and "batched" not in plain
    assert half["cost"] == pytest.approx(60 + 60 * 3 / 2) and half["batched"] == ["judge"]


def test_a_judge_that_says_something_else_when_asked_again_has_no_kappa(look):
    """It prefers good after even questions and long after odd ones; asked again, it turns round for half of them."""

    def picky(text):
        number = int(re.search(r"question (\d+)", text)[1])
        return honest(text.replace("says good", "says long") if number % 2 else text)

    def dice(request):
        said, number = picky(text := request.messages[-1].content), int(re.search(r"question (\d+)", text)[1])
        return {"A": "B", "B": "A"}[said] if number % 4 > 1 else said

    _, rows, shown = look(picky, [GOOD], unsure=dice)
    assert rows["good"]["paraphrase_kappa"]["value"] == 1
    assert abs(rows["good"]["repeat_kappa"]["value"]) < 0.25
    assert "again" in shown


def teaching(request):
    """Finds that what lacks "good" breaks the principle, and mends it in every second question."""
    text = request.messages[-1].content
    number = int(re.search(r"question (\d+)", text)[1]) if "question" in text else 0
    if "Rewrite the reply" in text:
        return f"Answer {number} is good. It ends here." if number % 2 else f"Answer {number} is long. Other words."
    reply = text.split("reply>>\n")[1].split("\n<<")[0]
    return "yes, it does" if "good" in reply else "no, it does not"


def test_some_drafts_are_revised_and_what_the_rewrites_mend_is_told(look):
    teacher = ScriptedModel(teaching, name="teacher")
    found, _, shown = look(honest, [GOOD], "revise.rounds=1", teacher=teacher)
    figures = found["revisions"]["figures"]
    assert figures["mended"]["n"] == figures["satisfied"]["n"] > 0
    assert figures["mended"]["value"] == found["revisions"]["rounds"]["1"] / figures["mended"]["n"]
    assert f"of {figures['mended']['n']} rewrites mend their principle" in shown


def test_a_critic_that_disagrees_with_the_teacher_makes_a_preflight_fail(look):
    teacher, critic = ScriptedModel(teaching, name="teacher"), ScriptedModel(lambda r: "no, bad", name="critic")
    found, _, shown = look(honest, [GOOD], "revise.rounds=1", teacher=teacher, critic=critic)
    assert not found["ready"] and found["critics"][0]["agreement"]["value"] == 0.5
    assert "critic critic: agrees with the teacher in 50% of 40 critiques" in shown and "refused" in shown
    again = ScriptedModel(teaching, name="better")
    found, _, shown = look(honest, [GOOD], "revise.rounds=1", teacher=teacher, critic=again)
    assert found["ready"] and found["critics"][0]["refused"] == ""
