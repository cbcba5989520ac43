"""The examples are recipes that the reader takes, and commands that the program has."""

import re
import shlex

import pytest
import yaml
from typer.testing import CliRunner

import cai_lite as cai
from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.yamlfile import read_document
from cai_lite.pipeline.walk import check_recipe

SERVED = {"TEACHER_URL": "http://127.0.0.1:9/v1", "STUDENT_URL": "http://127.0.0.1:9/v1"}


@pytest.fixture
def examples(repository):
    return repository / "recipes" / "examples"


def commands(examples):
    """Yield the words of each command line, in whatever file and in comments, too."""
    for file in sorted(examples.iterdir()):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".yml":
            steps = yaml.safe_load(text)["jobs"]["gate"]["steps"]
            text = "\n".join(step["run"] for step in steps if "run" in step)
        for found in re.findall(r"(?<![`\w])cai-lite [a-z].*", text):
            line = re.split(r"`|;| > ", found)[0]
            yield file.name, shlex.split(line, comments=True)[1:]


def test_every_command_line_is_one_that_the_program_takes(examples):
    seen = set()
    for name, words in commands(examples):
        shown = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, (name, words)
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.output, (name, words)
        seen.add((name, words[0]))
    assert {("release-gate.yml", "evaluate"), ("monitoring.md", "monitor"), ("own-teacher.yaml", "pairs")} <= seen
    assert {("whole-walk.yaml", "run"), ("README.md", "schema"), ("own-pairs.yaml", "train")} <= seen


@pytest.mark.parametrize("name", ["own-pairs", "own-teacher", "whole-walk"])
def test_the_recipes_are_sound(name, examples, monkeypatch):
    for variable, value in SERVED.items():
        monkeypatch.setenv(variable, value)
    file = examples / f"{name}.yaml"
    recipe = cai.load_recipe(file)
    assert bool(recipe.all_teachers) == (name != "own-pairs")
    assert [phase.method for phase in recipe.phases] == (["sft", "dpo"] if name == "whole-walk" else ["dpo"])
    for profile in read_document(file, InputError).data.get("profiles", {}):
        cai.load_recipe(file, profile=profile)


def test_the_own_pairs_are_read_and_no_teacher_is_asked(examples, tmp_path):
    recipe = cai.load_recipe(examples / "own-pairs.yaml", ["student.model=embedded:student", "student.load=null"])
    assert len(cai.load_pairs(recipe.pair.human)) == 8
    plan = check_recipe(recipe, tmp_path / "out")
    assert not plan.paid and plan.calls
    assert not [said for said in plan.warnings if "untold" in said]  # of a student that teaches itself


def test_the_whole_walk_can_be_tried_without_a_server(examples, tmp_path):
    recipe = cai.load_recipe(examples / "whole-walk.yaml", profile="embedded")
    assert not check_recipe(recipe, tmp_path / "out").paid


def test_the_workflow_passes_what_it_is_given_as_variables_and_stops_where_a_gate_fails(examples):
    """An input that is pasted into a shell line could be a command of its own."""
    gate = yaml.safe_load((examples / "release-gate.yml").read_text(encoding="utf-8"))["jobs"]["gate"]
    lines = [step["run"] for step in gate["steps"] if "run" in step]
    assert not [line for line in lines if "${{" in line or "|| true" in line]
    assert not any(step.get("continue-on-error") for step in gate["steps"])
    assert sum("--must" in line for line in lines) == 1
