"""A run without a teacher: a scripted student answers under a constitution, critiques and revises itself."""

import dataclasses
import json
import re

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError, RecipeError
from cai_lite.pipeline import walk
from cai_lite.pipeline.alone import train_run
from cai_lite.pipeline.prompted import TOLD
from cai_lite.pipeline.ready import check_ready, plan_of
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.walk import prompts_of
from cai_lite.preflight.pilot import preflight
from cai_lite.reporting.audit import verify
from cai_lite.run.ledger import Run

CONSTITUTION = """
name: toy
principles:
- {id: doctor, text: Name a doctor., checks: {require_any: [doctor]}}
- {id: kind, text: Be kind.}
conflicts:
- {between: [doctor, kind], prefer: doctor}
"""
RECIPE = """
constitution: constitution.yaml
prompts: {file: prompts.jsonl}
student: {model: "embedded:student"}
draft: {n: 1, temperature: 0.5, max_tokens: 64}
critique: {max_tokens: 64}
revise: {rounds: 1, max_tokens: 64}
pair: {rules: []}
train: [{method: sft, on: prompted, max_steps: 2, batch_size: 4, lora: {rank: 2}, max_tokens: 256}]
evaluate: {metrics: [adherence, win_rate, reliability, superficial, preference_accuracy, confounds]}
"""
REPLY = re.compile(r"reply>>\n(.*?)\n<<", re.DOTALL)


def student(critique=None):
    """A student that names a doctor to every second prompt if it is told to, and never otherwise."""

    def script(request):
        text = request.messages[-1].content
        if "Rewrite the reply" in text:
            return f"{REPLY.search(text)[1]} See a doctor."
        if "Does the reply keep this principle?" in text:
            assert "Be kind." not in text or critique is None, "only what was measured is critiqued"
            return critique or ("yes" if "doctor" in REPLY.search(text)[1] else "no, no doctor is named")
        assert "conversation>>" not in text
        named = request.messages[0].role == "system" and int(re.search(r"\d+", text)[0]) % 2
        return f"{text} is nothing{', says the doctor' if named else ''}."

    return ScriptedModel(script, name="student")


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """Walks the recipe with this student; returns the run directory."""
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Pain {i}", "family": f"f{i}", "split": "held_out" if i >= 8 else "train"} for i in range(20)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def run(model, *settings, until="pair"):
        recipe = load_recipe(tmp_path / "recipe.yaml", settings)
        roles = dataclasses.replace(open_roles(recipe), drafter=model)
        monkeypatch.setattr(walk, "open_roles", lambda recipe, on: roles)
        walk.run_recipe(recipe, tmp_path / "run", until=until, quiet=True)
        return tmp_path / "run"

    return run


def rows_of(out):
    return [json.loads(line) for line in (out / "prompted.jsonl").read_text().splitlines()]


def test_the_student_learns_its_own_answers_revised_without_the_constitution(walked):
    model = student()
    out = walked(model)
    rows = rows_of(out)
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": f"Pain {i}"}] for i in range(8)]
    assert all("doctor" in row["completion"][0]["content"] for row in rows)
    assert [len(row["steps"]) for row in rows] == [5, 1] * 4  # every second one is revised
    assert [row["family"] for row in rows] == [f"f{i}" for i in range(8)]
    assert (out / "pairs.jsonl").read_text() == ""
    with Run(out) as run:
        counts, found = run.counts(), run.recall("prompted")
        assert {call["model"] for call in run.calls()} == {"student"}
        assert list(run.damage()) == []
    assert counts["answers under the constitution to learn"] == {"kept": 8}
    assert counts["draft under the constitution"] == {"asked": 8, "kept": 8}
    assert (found["drafts"], found["revised"], found["trusted"]) == (8, 4, ["doctor"])
    assert found["left_out"] == {"kind": "there is nothing to measure it by"}
    assert found["agreement"]["value"] == 1.0 and found["agreement"]["n"] == 24  # told and untold, to 12 prompts
    assert (found["kept_told"]["value"], found["kept_untold"]["value"]) == (0.5, 0.0)
    log = (out / "log.txt").read_text()
    assert "the student keeps 0.50 of the machine checks" in log and "does not help this student" not in log
    assert "no teacher: the student learns to do untold" in log and "which 1 of 2 principles have" in log
    assert "used for doctor; not for kind" in log and "4 of 8 answers revised" in log
    model.asked.clear()
    walked(model)
    assert model.asked == []


@pytest.mark.parametrize(
    ("says", "why"), [("yes", r"agreement 0\.25"), ("no, bad", "not beyond chance"), ("hm", "could be read")]
)
def test_critiques_that_do_not_agree_with_the_checks_are_left_out(walked, says, why):
    out = walked(student(says), "critique.min_agreement=0.5")
    assert [len(row["steps"]) for row in rows_of(out)] == [1] * 8
    with Run(out) as run:
        found = run.recall("prompted")
        assert "self-critique" not in {call["stage"] for call in run.calls()}
    assert found["trusted"] == [] and re.search(why, found["left_out"]["doctor"])
    assert "self-critique is left out, and the answers under the constitution" in (out / "log.txt").read_text()


def test_a_student_that_the_constitution_does_not_help_is_said_to_be_one(walked):
    deaf = ScriptedModel(lambda request: "Nothing.", name="student")
    log = (walked(deaf, "revise.rounds=0") / "log.txt").read_text()
    assert "does not help this student, so that there is next to nothing to learn" in log


def test_without_rounds_nobody_is_critiqued(walked):
    out = walked(student(), "revise.rounds=0")
    with Run(out) as run:
        assert {call["stage"].removeprefix("held-out ") for call in run.calls()} == {"draft", TOLD}
    assert [len(row["steps"]) for row in rows_of(out)] == [1] * 8


def test_the_whole_walk_is_judged_by_machine_checks_and_says_so(walked):
    out = walked(student(), until="report")
    found = json.loads((out / "evaluation.json").read_text())
    assert found["judge"] == "machine checks"
    assert found["metrics"]["adherence"]["principles"].keys() == {"doctor"}
    assert not {"win_rate", "reliability", "preference_accuracy", "confounds"} & found["metrics"].keys()
    assert "checks_gap" not in found["metrics"].get("superficial", {})
    page = (out / "report.html").read_text()
    assert "No judge: adherence is decided by the machine checks" in page
    assert "The student taught by itself" in page and "keep under the constitution" in page
    assert "no teacher: the student learns" in page
    assert "self-critique not used for kind" in page
    assert json.loads((out / "training.json").read_text())["method"] == "sft"
    assert "prompted.jsonl" in json.loads((out / "manifest.json").read_text())
    assert verify(out) == []


def test_such_a_run_has_no_critiques_of_a_teacher_to_make_a_critic_of(walked, tmp_path):
    with pytest.raises(InputError, match="this run had no teacher"):
        train_run(walked(student()), ["train.method=sft", "train.on=critiques"], tmp_path / "critic", quiet=True)
    assert not (tmp_path / "critic").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pair.rules=[best_over_worst]", r"'teacher' is missing: .* it is needed for pair\.rules: \[best_over_worst\]"),
        ("draft.from=teacher", r"needed for draft\.from"),
        ("train=[{method: sft, on: revisions}]", "needed for a phase 'on: revisions'"),
        ("train=[{method: dpo}]", r"learns pairs, and 'pair\.rules' is an empty list"),
        ("train=[{method: sft, on: chosen}]", r"learns pairs, and 'pair\.rules' is an empty list"),
        ("train=[{method: sft, on: critiques}]", "cai-lite train --method sft --on critiques --run RUN"),
    ],
)
def test_a_recipe_without_a_teacher_says_what_would_need_one(walked, tmp_path, setting, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "recipe.yaml", [setting])


def test_pairs_need_no_teacher_if_a_judge_is_named(walked, tmp_path):
    judged = ["pair.rules=[best_over_worst]", "judge.by={model: 'embedded:teacher'}", "train=[{method: dpo}]"]
    recipe = load_recipe(tmp_path / "recipe.yaml", judged)
    roles = open_roles(recipe)
    assert roles.teachers == () and [judge.model.name for judge in roles.judges] == ["embedded:teacher"]
    (said,) = plan_of(recipe, roles, prompts_of(recipe), tmp_path / "run").warnings[-1:]
    assert said.startswith("no teacher")


def test_what_a_run_without_a_judge_cannot_measure_is_refused_before_it_begins(walked, tmp_path):
    def ready(*settings):
        recipe = load_recipe(tmp_path / "recipe.yaml", settings)
        check_ready(recipe, open_roles(recipe), prompts_of(recipe), tmp_path / "run")

    ready("evaluate.must={adherence.doctor: '>= 0.5'}")
    with pytest.raises(InputError, match=r"must\.win_rate: .* it takes a judge"):
        ready("evaluate.must={win_rate: '>= 0.5'}")
    with pytest.raises(InputError, match=r"adherence\.kind: .* 'kind' has no machine checks"):
        ready("evaluate.must={adherence.kind: '>= 0.5'}")
    (tmp_path / "constitution.yaml").write_text("name: toy\nprinciples: [{id: kind, text: Be kind.}]\n")
    with pytest.raises(InputError, match="adherence cannot be measured: there is no judge"):
        ready()
    with pytest.raises(InputError, match="preflight tries the judge of the pairs"):
        preflight(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "preflight", quiet=True)


@pytest.mark.parametrize("name", ["medical", "customer-service", "creative"])
def test_the_packaged_profile_alone_asks_for_no_server(name, tmp_path):
    recipe = load_recipe(name, ["student.model=embedded:student", "student.load=null"], profile="alone")
    roles = open_roles(recipe)
    assert roles.teachers == roles.judges == () and recipe.phases[0].on == "prompted"
    check_ready(recipe, roles, prompts_of(recipe), tmp_path / "run")
    plan = plan_of(recipe, roles, prompts_of(recipe), tmp_path / "run")
    assert not plan.paid and plan.calls.keys() == {"answers under the constitution", "answers"}
    (tmp_path / "recipe.yaml").write_text(recipe.resolved())
    assert load_recipe(tmp_path / "recipe.yaml").resolved() == recipe.resolved()
