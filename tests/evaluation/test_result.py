import json
from dataclasses import replace

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import InputError
from cai_lite.evaluation.result import ANSWERS, answer_lines, as_json, evaluation_json, read_answers, read_evaluation
from cai_lite.records import Message
from cai_lite.stats import Comparison, Figure


def test_figures_become_dictionaries_at_every_depth():
    figure = Figure(0.5, 4, 0.25, 0.75)
    measured = {"a": {"b": figure, "p": 0.125}, "c": Comparison(figure, figure, figure)}
    found = as_json(measured)
    assert found["a"] == {"b": {"value": 0.5, "n": 4, "low": 0.25, "high": 0.75}, "p": 0.125}
    assert list(found["c"]) == ["before", "after", "change"]
    assert json.loads(json.dumps(found)) == found


def test_what_was_written_is_read_back(tmp_path):
    written = evaluation_json(
        model="m", against="", constitution="c", judge="j", seed=1, metrics={"kl": Figure(0.5, 4, 0.25, 0.75)}
    )
    (tmp_path / "evaluation.json").write_text(json.dumps(written))
    assert read_evaluation(tmp_path) == written
    with pytest.raises(InputError, match=r"no evaluation\.json"):
        read_evaluation(tmp_path / "nowhere")


def test_answers_stand_with_the_verdicts_that_were_asked_for(subject, prompt, tmp_path):
    def judged(request):
        said = request.messages[-1].content
        return (
            "perhaps" if "question 1" in said else "yes" if "kind" in said.split("reply>>")[1].split("<<")[0] else "no"
        )

    made = subject(
        "kind", "rude", judges=[ScriptedModel(judged, name="judge")], prompts=[prompt(0, "slice:a"), prompt(1)]
    )
    assert [json.loads(line)["verdicts"] for line in answer_lines(made)] == [{}] * 4  # nobody was asked yet
    made.keeps()
    (tmp_path / ANSWERS).write_text("".join(answer_lines(made)))
    found = read_answers(tmp_path)
    assert [(one.side, one.answer, one.verdicts) for one in found] == [
        ("before", "rude", {"kind": False}),  # "ask" applies to neither prompt
        ("after", "kind", {"kind": True}),
        ("before", "rude", {"kind": None}),  # an unreadable verdict
        ("after", "kind", {"kind": None}),
    ]
    first = found[0]
    assert (first.prompt, first.family, first.tags) == ((Message("user", "question 0"),), "f0", ("slice:a",))
    assert [one.key for one in found] == [
        c.key for place in (0, 1) for c in (made.sides[0][place], made.sides[1][place])
    ]


def test_each_sample_has_a_line_and_a_key_of_its_own(subject, prompt):
    made = subject("kind", "rude", samples=2, prompts=[prompt(0), prompt(1)])
    rows = [json.loads(line) for line in answer_lines(made)]
    assert [row["side"] for row in rows] == ["before", "before", "after", "after"] * 2
    assert len({row["key"] for row in rows}) == 8
    assert [row["side"] for row in map(json.loads, answer_lines(subject("kind")))] == ["after"] * 4


def test_machine_checks_decide_only_principles_that_have_some(subject, prompt):
    made = subject("You fool.", judges=[], prompts=[replace(prompt(0), messages=(Message("user", "the pain is bad"),))])
    assert [json.loads(line)["verdicts"] for line in answer_lines(made)] == [{"kind": False}]


@pytest.mark.parametrize("line", ["not json", '{"key": "k"}', '{"key": "k", "prompt": [{"role": "user"}]}'])
def test_damaged_answers_are_named_by_their_line(line, tmp_path):
    (tmp_path / ANSWERS).write_text(line + "\n")
    with pytest.raises(InputError, match=r"answers\.jsonl:1: damaged"):
        read_answers(tmp_path)
    with pytest.raises(InputError, match=r"no answers\.jsonl; .* writes one"):
        read_answers(tmp_path / "nowhere")
