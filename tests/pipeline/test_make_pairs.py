"""The teacher's half with several voices and with people's pairs, on the embedded models."""

import json

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.evaluation.comparing import paired_runs
from cai_lite.evaluation.result import read_evaluation
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.ready import calls_needed
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import prompts_of, run_recipe
from cai_lite.run.ledger import Run

SMALL = ["prompts.limit=6", "draft.n=2", "pair.min_margin=0.01", "judge.principles=2"]


def walked(out, *settings):
    run_recipe(load_recipe("creative", [*SMALL, *settings], profile="embedded"), out, until="pair", quiet=True)
    with Run(out) as run:
        return load_pairs(out / "pairs.jsonl"), run.counts(), (out / "log.txt").read_text()


def test_two_teachers_and_two_judges_leave_their_names_and_their_agreement(tmp_path):
    several = "[{model: 'embedded:teacher', weight: 2.0}, {model: 'embedded:student'}]"
    pairs, counts, log = walked(
        tmp_path / "run",
        "teacher=null",
        f"teachers={several}",
        f"judge.by={several}",
        "pair.rules=[revision_over_draft,best_over_worst]",
    )
    assert {"critique (embedded:teacher)", "critique (embedded:student)"} <= counts.keys()
    assert {"judge (embedded:teacher) best_over_worst", "judge (embedded:student) best_over_worst"} <= counts.keys()
    judged = counts["judge (embedded:student) best_over_worst"]
    assert judged["asked"] == counts["judge (embedded:teacher) best_over_worst"]["asked"] > 0
    assert (
        judged["unreadable"] > 0
    )  # the student is no judge: where it was about to say something else, nothing is read
    assert pairs and log


def test_the_teachers_own_answers_are_given_the_constitution_and_the_students_are_not(tmp_path):
    pairs, _, _ = walked(tmp_path / "run", "pair.rules=[teacher_over_student]", "pair.min_margin=0")
    authors = {pair.evidence[side] for pair in pairs for side in ("chosen_by", "rejected_by")}
    teachers = {author for author in authors if "teacher" in author}
    assert teachers and all("told the constitution" in author for author in teachers)
    assert not any("told the constitution" in author for author in authors - teachers)


def test_peoples_pairs_are_mixed_in_and_keep_their_label(tmp_path):
    rows = [
        {"prompt": "Tell me a story.", "chosen": "Once upon a time.", "rejected": "No.", "p_chosen": 0.9},
        {"prompt": "And another.", "chosen": "There was a fox.", "rejected": "Never."},
    ]
    rows = [
        {
            **row,
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in rows
    ]
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs, counts, _ = walked(tmp_path / "run", f"pair.human={file}")
    human = [pair for pair in pairs if pair.rule == "human"]
    assert [pair.p_chosen for pair in human] == [0.9, 1.0]
    assert len(pairs) > len(human)
    assert counts["human pairs"] == {"read": 2}


def test_peoples_pairs_of_held_out_prompts_are_not_trained_on(tmp_path):
    held_out = prompts_of(load_recipe("creative", SMALL, profile="embedded")).held_out[0]
    prompts = [[message._asdict() for message in held_out.messages], [{"role": "user", "content": "And another."}]]
    sides = {side: [{"role": "assistant", "content": f"{side} it is."}] for side in ("chosen", "rejected")}
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt, **sides}) + "\n" for prompt in prompts))
    pairs, counts, _ = walked(tmp_path / "run", f"pair.human={file}")
    assert [pair.prompt[-1].content for pair in pairs if pair.rule == "human"] == ["And another."]
    assert counts["guards"]["prompt is held out"] == 1


def test_peoples_pairs_that_cannot_be_used_are_quarantined_and_named_in_the_log(tmp_path):
    rows = [{"prompt": f"Story {i} ", "chosen": f"Once {i}.", "rejected": f"No {i}."} for i in range(20)]
    file, out = tmp_path / "people.jsonl", tmp_path / "run"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "p_chosen": 2}]))
    _, counts, log = walked(out, f"pair.human={file}")
    (bad,) = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert (bad["line"], bad["kind"]) == (21, "number out of range")
    assert counts["human pairs"] == {"read": 20, "unusable": 1}
    assert "1 human pairs left out" in log
    assert "quarantine.jsonl" not in json.loads((out / "manifest.json").read_text())


def test_a_file_of_peoples_pairs_that_is_not_there_is_named_before_anything_is_asked():
    with pytest.raises(InputError, match=r"'pair\.human': no such file: .*nowhere\.jsonl"):
        load_recipe("creative", ["pair.human=nowhere.jsonl"], profile="embedded")


def test_peoples_pairs_alone_are_learnt_without_a_draft_or_a_verdict(tmp_path):
    rows = [{"prompt": f"Tell me story {i}.", "chosen": f"Once, {i}.", "rejected": "No."} for i in range(3)]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ["pair.rules=[]", f"pair.human={tmp_path / 'people.jsonl'}"]
    recipe = load_recipe("creative", [*SMALL, *settings], profile="embedded")
    made = run_recipe(recipe, tmp_path / "run", until="pair", quiet=True)
    assert made["pairs"] == 3 and not {"draft", "judge"} & made["counts"].keys()
    assert {pair.rule for pair in load_pairs(tmp_path / "run" / "pairs.jsonl")} == {"human"}
    calls = calls_needed(recipe, prompts_of(recipe))
    assert "training pairs" not in calls and "held-out pairs" not in calls
    with pytest.raises(InputError, match=r"'train' learns pairs, and 'pair\.rules' is an empty list"):
        load_recipe("creative", ["pair.rules=[]"], profile="embedded")


@pytest.mark.slow
def test_people_only_ai_only_and_both_are_compared_on_the_same_prompts(tmp_path):
    rows = [{"prompt": f"Write a poem about {i} mice.", "chosen": f"Mice {i}.", "rejected": "No."} for i in range(4)]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = [*SMALL, "prompts.eval_limit=6", "train.max_steps=1", "train.batch_size=2", "evaluate.metrics=[adherence]"]
    people = f"pair.human={tmp_path / 'people.jsonl'}"
    runs = {"ai": [], "people": [people, "pair.rules=[]"], "both": [people]}
    for name, settings in runs.items():
        run_recipe(load_recipe("creative", [*small, *settings], profile="embedded"), tmp_path / name, quiet=True)
    learnt = {name: {pair.rule == "human" for pair in load_pairs(tmp_path / name / "pairs.jsonl")} for name in runs}
    assert learnt == {"ai": {False}, "people": {True}, "both": {False, True}}
    places = [tmp_path / name for name in runs]
    changes, notes = paired_runs(places, list(map(read_evaluation, places)))
    overall = [read_evaluation(place)["metrics"]["adherence"]["overall"]["after"] for place in places]
    assert not notes and [each["adherence"].change.n for each in changes] == [overall[0]["n"]] * 2
    for found, after in zip(changes, overall[1:], strict=True):
        change = found["adherence"]
        assert change.before.value == pytest.approx(overall[0]["value"])
        assert change.after.value == pytest.approx(after["value"])
    shown = CliRunner().invoke(app, ["report", str(places[0]), "--compare", str(places[1]), "--json"])
    assert json.loads(shown.output)["paired"][0]["adherence"] == changes[0]["adherence"].as_dict()
    page = (places[0] / "report.html").read_text()
    assert "Change from" in page and "paired, with 95 % intervals" in page
