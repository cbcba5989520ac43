"""An answer of a run's student with the principles that applied, what is said of it, and what taught it."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.errors import UNSAFE, InputError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.records import Demonstration, Message, Ranking
from cai_lite.reporting.audit import chain
from cai_lite.run.ledger import Run
from cai_lite.serving.explain import explain, show_explained, why
from cai_lite.serving.taught import Taught, lesson, open_taught

HOSTILE = "\x1b[2J[bold]\u202e<script>"


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    return shutil.copytree(finished, tmp_path_factory.mktemp("explained") / "run")


@pytest.fixture(scope="module")
def taught(run):
    return open_taught(run)


def test_an_answer_that_was_learnt_leads_back_to_its_pair(run):
    pair = load_pairs(run / "pairs.jsonl")[3]
    found = explain(run, pair.prompt, answer=pair.chosen[0].content, nearest=6)
    assert [found[name][0]["key"] for name in ("text", "influence")] == [pair.key, pair.key]
    assert found["influence"][0]["rejected"] == pair.rejected[0].content
    assert (found["ranked"], found["given"], found["learnt"]) == (6, True, "pairs")
    with Run.reading(run) as ledger:
        assert chain(ledger, found["text"][0]["key"])["kind"] == "pair"


def test_the_student_is_asked_and_the_command_prints_it(run):
    words = ["explain", str(run), "I have a headache.", "--max-tokens", "24", "--no-influence"]
    done = CliRunner().invoke(app, [*words, "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["answer"] and not found["given"] and "influence" not in found
    assert {"kind", "principles", "not_applied", "text"} <= found.keys()
    assert all("score" in one and one["chosen"] for one in found["text"])
    shown = CliRunner().invoke(app, words).output
    assert "safety-net" in shown and "nearest by words" in shown and "cai-lite audit" in shown


def test_the_prompts_tags_decide_which_principles_apply(taught):
    question = (Message("user", "Is it normal to have a rash?"),)
    plain = why(taught, question, "Rest.")
    urgent = why(taught, question, "Rest.", tags=["red-flag"])
    assert "urgent-care" in plain["not_applied"]
    assert {row["id"]: row.get("checks") for row in urgent["principles"]}["urgent-care"] is False
    known = next(text for text, tags in taught.tags.items() if "red-flag" in tags)
    assert "red-flag" in why(taught, (Message("user", known.upper()),), "Rest.")["tags"]


def test_a_critic_says_what_it_thinks_of_each_principle_and_nothing_is_obeyed(taught, capsys):
    critic = ScriptedModel(lambda request: f"Yes, it breaks it. {HOSTILE}")
    found = why(taught, (Message("user", HOSTILE),), f"I can't help with that. {HOSTILE}", critic=critic)
    assert found["kind"] == "full_refusal" and len(critic.asked) == len(found["principles"])
    assert all(HOSTILE in row["critique"]["text"] for row in found["principles"])
    show_explained(found)
    shown = capsys.readouterr().out
    assert "a refusal" in shown and "[bold]" in shown and not UNSAFE.search(shown)


def test_a_citation_is_told(taught):
    text = f"In this answer I keep to this: {taught.constitution.principle('kind-tone').text}\n\nRest."
    assert why(taught, (Message("user", "A rash."),), text)["cites"] == "kind-tone"


def test_chat_tells_why(run):
    words = ["chat", str(run), "--say", "I have a headache.", "--max-tokens", "16"]
    done = CliRunner().invoke(app, [*words, "--why"])
    assert done.exit_code == 0, done.output
    assert "before: " in done.output and "after: " in done.output  # a run is its student with its adapter
    assert done.output.count("by rules of English") == 1 and "principles, by machine checks" in done.output
    assert "by rules of English" not in CliRunner().invoke(app, words).output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["explain", "nowhere", "Hi"], "nowhere is not the directory of a finished run"),
        (["chat", "embedded:student", "--why", "--say", "hi"], "name a run directory"),
    ],
)
def test_what_is_no_run_is_told(words, says):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and says in " ".join(done.output.split())


def test_faults_of_the_question_are_told(run):
    with pytest.raises(InputError, match="the prompt is empty"):
        explain(run, "  ")
    with pytest.raises(InputError, match=r"no-guard has no guard\.json"):
        explain(run, "Hi", answer="Hello.", guard=run / "no-guard")
    done = CliRunner().invoke(app, ["chat", str(run), "--adapter", "x", "--say", "hi"])
    assert done.exit_code == 2 and "leave out --adapter" in " ".join(done.output.split())


def test_every_kind_of_example_is_put_into_words():
    ask, best, worst = (
        (Message(role, text),) for role, text in (("user", "q"), ("assistant", "a"), ("assistant", "b"))
    )
    demonstration = lesson(Demonstration(prompt=ask, completion=best, key="k"))
    assert (demonstration.chosen, demonstration.rejected, demonstration.key) == ("a", "", "k")
    ranking = lesson(Ranking(prompt=(*ask, *best, *ask), completions=(best, worst), preferences=((0, 1), (0, 0))))
    assert (ranking.prompt, ranking.chosen, ranking.rejected) == ("user: q\nassistant: a\nuser: q", "a", "b")


def test_the_training_is_found_with_the_adapter_before_it(tmp_path):
    """Of several phases the last that learns from written examples counts; of several rounds the one that was kept."""
    phases = "train=[{method: sft, on: chosen}, {method: dpo, reference: base}, {method: rl}]"
    recipe = load_recipe("medical", [phases], profile="embedded")
    run = {"run": tmp_path, "constitution": load_constitution("medical-embedded")}
    found = Taught(recipe=recipe, number=1, place=tmp_path, **run)
    assert found.before == tmp_path / "phases/0-sft/adapter" and found.trained == tmp_path / "phases/1-dpo/adapter"
    alone = load_recipe("medical", profile="embedded")
    for number, before in ((1, None), (2, tmp_path / "rounds/1/adapter")):
        found = Taught(recipe=alone, number=0, place=tmp_path / "rounds" / str(number), **run)
        assert (found.before, found.trained) == (before, found.place / "adapter")
    nothing = Taught(recipe=recipe, number=None, place=tmp_path, **run)
    assert nothing.lessons == [] and why(nothing, (Message("user", "Hi"),), "Hello.")["learnt"] == ""
