"""The forecast of a change: against the calls that are then made, and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.evaluation.conflicts import Preference
from cai_lite.inputs.constitution import Conflict, Constitution, Principle, load_constitution
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.preflight.changing import _minutes, forecast, interaction
from cai_lite.records import Message, Prompt
from cai_lite.run.ledger import Run

SMALL = ["prompts.limit=8", "draft.n=2", "pair.min_margin=0.02", "evaluate.metrics=[adherence]"]
NEW_TEXT = "Leave out worn-out phrases."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("forecast") / "run"
    run_recipe(load_recipe("creative", SMALL, profile="embedded"), out, until="pair", quiet=True)
    return out


def edited(constitution: Constitution) -> Constitution:
    return replace(
        constitution,
        principles=tuple(replace(p, text=NEW_TEXT) if p.id == "no-cliche" else p for p in constitution.principles),
    )


def test_what_is_forecast_to_be_asked_of_the_stored_drafts_is_what_is_asked(run, tmp_path):
    old = load_constitution("creative-embedded")
    found = forecast(run, old, edited(old))
    text = Path(old.path).read_text(encoding="utf-8")
    file = tmp_path / "new.yaml"
    file.write_text(text.replace(old.principle("no-cliche").text, NEW_TEXT), encoding="utf-8")
    with Run.reading(run) as asked, Run(tmp_path / "out") as new:
        new.take_over(asked)
    recipe = load_recipe("creative", [*SMALL, f"constitution={file}"], profile="embedded")
    run_recipe(recipe, tmp_path / "out", until="pair", quiet=True)
    with Run.reading(tmp_path / "out") as new:
        calls = {row["stage"]: row["calls"] for row in new.calls()}
    kinds = found["kinds"]
    assert "draft" not in calls and kinds["draft"]["asked"] == 0
    assert kinds["critique"]["asked"] == calls.get("critique", 0)
    # A cell of verdicts for each stored text; a revision made anew comes on top, with all of its principles.
    assert 0.5 * calls["judge"] <= kinds["judge"]["asked"] <= 2 * calls["judge"]
    assert 0 < found["pairs"] <= found["learnt"] and 0 < found["updates"] <= found["whole"]
    assert found["interaction"] and all("no-cliche" in row["between"] for row in found["interaction"])


def test_no_change_asks_nothing_and_pairs_are_needed(run, tmp_path):
    same = load_constitution("creative-embedded")
    found = forecast(run, same, same)
    assert {kind: row["asked"] for kind, row in found["kinds"].items()} == dict.fromkeys(found["kinds"], 0)
    assert (found["pairs"], found["learnt"], found["updates"], found["interaction"]) == (0, 0, 0, [])
    with pytest.raises(InputError, match="a forecast takes a run that has made its pairs"):
        forecast(tmp_path, same, same)


def test_principles_that_pull_against_the_changed_one_come_first():
    principles = tuple(Principle(id=id_, text=id_) for id_ in ("a", "b", "c"))
    conflict = Conflict(between=("a", "c"), prefer="c")
    constitution = Constitution(
        principles=(*principles, Principle(id="d", text="d", applies_to=("rare",))), conflicts=(conflict,)
    )
    prompts = [Prompt(key=str(i), messages=(Message("user", "q"),), family="f") for i in range(3)]
    pulls = [
        *(Preference("a", ("x", "y"), "first"), Preference("b", ("x", "y"), "first")),
        *(
            Preference("c", ("x", "y"), "second"),
            Preference("a", ("u", "v"), "tie"),
            Preference("c", ("u", "v"), "first"),
        ),
    ]
    first, second = interaction(pulls, constitution, {"a"}, prompts)
    assert first["between"] == ["a", "c"] and first["conflict"] == "c" and first["prompts"] == 3
    assert (first["n"], first["opposed"]["value"]) == (1, 1.0)
    assert second["between"] == ["a", "b"] and second["opposed"]["value"] == 0.0 and second["conflict"] == ""
    assert [row["between"] for row in interaction([], constitution, {"a", "b"}, prompts)] == [
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
    ]


def test_a_pause_of_the_run_is_no_time_that_its_calls_took():
    times = [("draft", 0.0), ("draft", 30.0), ("judge", 90.0), ("judge", 9_000.0), ("judge", 9_060.0), ("x", 9_061.2)]
    assert _minutes(times) == {"draft": 0.5, "judge": 2.0, "evaluate": pytest.approx(0.02)}


def test_the_command_shows_the_forecast_of_a_run(run, tmp_path):
    text = (run / "constitution.yaml").read_text(encoding="utf-8")
    old = load_constitution("creative-embedded").principle("no-cliche").text
    (tmp_path / "new.yaml").write_text(text.replace(old, NEW_TEXT), encoding="utf-8")
    command = ["constitution", "diff", str(run / "constitution.yaml"), str(tmp_path / "new.yaml"), "--run", str(run)]
    held = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert held["forecast"]["kinds"]["judge"]["asked"] > 0 and held["rows"]["no-cliche"]["score"] > 0
    done = CliRunner().invoke(app, command, env={"COLUMNS": "160"})
    assert "asked anew" in done.output and "learnt with their replay" in done.output
