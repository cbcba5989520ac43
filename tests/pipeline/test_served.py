"""What a server answers is examined as the run was; a wrong template, a lost adapter or silence do not pass."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.evaluation.result import Answered
from cai_lite.inputs.constitution import load_constitution
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.served import compared, examine, named
from cai_lite.records import Message, Reply
from cai_lite.run.ledger import Run
from tests.conftest import completion

CONSTITUTION = """
name: toy
principles:
- {id: doctor, text: Name a doctor., checks: {require_any: [doctor]}}
- {id: short, text: Use a few words., checks: {max_words: 30}}
"""
RECIPE = """
constitution: constitution.yaml
prompts: {file: prompts.jsonl}
student: {model: "embedded:student"}
draft: {n: 1, temperature: 0.5, max_tokens: 64}
revise: {rounds: 1}
pair: {rules: []}
train: [{method: sft, on: prompted}]
evaluate: {metrics: [adherence]}
"""
SIZE = 48


def says(body):
    """A server of several models, which differ in what became of the adapter."""
    text, name = body["messages"][-1]["content"], body["model"]
    number = int(re.search(r"\d+", text)[0])
    good = f"{text} passes. See a doctor if it lasts."
    answers = {
        "adapter": good,
        "base": "Rest.",
        "template": f"<|im_start|>user {text}<|im_end|>",
        "refusing": "I'm sorry, but I can't help with that. See a doctor.",
        "silent": "",
        "half": good if number % 8 else "Rest.",
    }
    return 200, {}, completion(answers[name])


@pytest.fixture
def run(tmp_path):
    """A finished run as its files show it: prompts, recipe, and the trained student's answers with their verdicts."""
    rows = [{"prompt": f"Pain {i}", "family": f"f{i}", "split": "train"} for i in range(8)]
    rows += [{"prompt": f"Ache {i}", "family": f"g{i}", "split": "held_out"} for i in range(100, 100 + SIZE)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(load_recipe(tmp_path / "recipe.yaml").resolved())
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "format": 1,
                "model": "embedded:student + adapter",
                "against": "embedded:student",
                "constitution": "toy",
                "judge": "machine checks",
                "seed": 0,
                "metrics": {},
            }
        )
    )
    lines = [
        {
            "key": f"{side}{row['prompt']}",
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "family": row["family"],
            "tags": [],
            "side": side,
            "answer": f"{row['prompt']} passes. See a doctor if it lasts." if side == "after" else "Rest.",
            "verdicts": {"doctor": side == "after", "short": True},
        }
        for row in rows[8:]
        for side in ("before", "after")
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def examined(run, server, name, *more):
    server.reply = says
    command = ["evaluate", str(run.parent / "recipe.yaml"), "--served", f"{server.url}#{name}", "--out", str(run)]
    return CliRunner().invoke(app, [*command, "--quiet", *more])


def test_the_same_model_is_as_good_as_it_was_measured(run, server):
    done = examined(run, server, "adapter", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    change = found["paired"]["adherence"]["change"]
    assert found["holds"] and found["same_answers"] == 1.0 and found["prompts"] == SIZE
    assert -0.05 < change["low"] < change["value"] == 0.0 < change["high"] < 0.05
    assert json.loads((run / "served" / "adapter" / "served.json").read_text()) == found
    assert all("chat_template_kwargs" not in body for body in server.bodies)  # the template is the server's
    assert {body["temperature"] for body in server.bodies} == {0.5}  # of the run's evaluation


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("base", "adherence is worse than in the run"),
        ("template", "50% of what was decided in the run cannot be decided on what is served"),
        ("refusing", "empty answers and refusals are more frequent"),
        ("silent", "adherence is worse than in the run"),
        ("half", "adherence"),
    ],
)
def test_what_is_served_wrongly_does_not_pass(name, says, run, server):
    done = examined(run, server, name)
    assert done.exit_code == 1, done.output
    assert says in done.output, done.output
    assert "NOT shown to be as good as it was measured" in done.output


def test_a_server_that_reads_prompts_as_other_tokens_is_told_apart(run, server):
    with Run(run) as opened:
        for number in range(SIZE):
            reply = Reply(text="It passes.", tokens_in=5)  # as many as the server counts
            opened.keep_replies("answers after", "embedded:student + adapter", {f"call {number}": reply})
    assert json.loads(examined(run, server, "adapter", "--json").stdout)["notes"] == []
    with Run(run) as opened:
        opened.keep_replies("answers after", "embedded:student + adapter", {"call 0": Reply(text="Yes.", tokens_in=4)})
    (note,) = json.loads(examined(run, server, "adapter", "--json").stdout)["notes"]
    assert note.startswith(f"the prompts were {5 * SIZE} tokens to the server and {5 * SIZE - 1} to the run")


def test_a_finished_exam_is_asked_anew_and_an_old_one_is_kept(run, server):
    assert examined(run, server, "adapter").exit_code == 0
    first = len(server.bodies)
    assert examined(run, server, "adapter").exit_code == 0
    assert len(server.bodies) == 2 * first == 2 * SIZE
    assert sorted(path.name for path in (run / "served").iterdir()) == ["adapter", "adapter.1"]


def test_few_prompts_show_nothing_and_say_so(run, server):
    done = examined(run, server, "adapter", "--set", "prompts.eval_limit=6")
    assert done.exit_code == 1
    assert "may be worse by more than 0.05" in done.output and f"{SIZE - 6} prompts of the run" in done.output
    wide = examined(run, server, "adapter", "--set", "prompts.eval_limit=6", "--margin", "0.5")
    assert wide.exit_code == 0, wide.output


def test_another_exam_is_refused_before_anybody_is_asked(run, server):
    done = examined(run, server, "adapter", "--set", "evaluate.temperature=0.9")
    assert done.exit_code == 2 and "evaluate.temperature is 0.9 here and was None" in done.output
    (run / "constitution.yaml").write_text(CONSTITUTION.replace("Name a doctor.", "Name a nurse."))
    changed = examined(run, server, "adapter")
    assert changed.exit_code == 2 and "'doctor' has another text" in changed.output
    assert not server.bodies and not (run / "served").exists()


def test_a_judge_that_is_not_the_runs_is_refused(run, server):
    told = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps({**told, "judge": "somebody"}))
    server.reply = says
    with pytest.raises(InputError, match="other judges decided: somebody"):
        examine(load_recipe(run.parent / "recipe.yaml"), run, f"{server.url}#adapter", quiet=True)


def test_options_of_another_evaluation_do_not_go_along(run, server):
    assert examined(run, server, "adapter", "--must", "adherence>=0.5").exit_code == 2
    alone = CliRunner().invoke(app, ["evaluate", "medical", "--served", server.url])
    assert alone.exit_code == 2 and "--out RUN" in alone.output
    with pytest.raises(InputError, match="should be the URL of a server"):
        named("embedded:student")


def row(prompt, *, answer="Yes.", side="after", **verdicts):
    return Answered(
        key=prompt,
        prompt=(Message("user", prompt),),
        family=prompt,
        tags=(),
        side=side,
        answer=answer,
        verdicts=verdicts,
    )


def test_an_empty_answer_keeps_nothing_whatever_decides(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    policy = load_constitution(tmp_path / "c.yaml")
    before = [row(str(i), doctor=True, short=True) for i in range(40)]
    after = [row(str(i), answer="" if i < 20 else "Yes.", **({} if i < 20 else {"doctor": True})) for i in range(40)]
    found = compared(before, after, policy, folder=tmp_path, model="m")
    assert found.differences["adherence.doctor"].comparison.after.value == 0.5
    assert found.unusable.change.value == 0.5 and not found.holds
    with pytest.raises(InputError, match="no prompt in common"):
        compared(before, [row("other")], policy, folder=tmp_path, model="m")


def test_what_is_clearly_better_is_asked_about(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    before = [row(str(i), doctor=False) for i in range(40)]
    after = [row(str(i), doctor=True) for i in range(40)]
    found = compared(before, after, load_constitution(tmp_path / "c.yaml"), folder=tmp_path, model="m")
    assert found.holds and found.notes == (
        "adherence is clearly higher than in the run: is this the model that was measured?",
    )
