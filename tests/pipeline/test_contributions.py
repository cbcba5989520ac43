"""What each principle contributed: by hand on a few verdicts, and on a run of the embedded models."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline import alone
from cai_lite.pipeline.contributions import Decided, contributions, decided, left_without
from cai_lite.pipeline.recipe import PairSection, load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.records import Candidate, Message, Prompt, Verdict
from cai_lite.run.ledger import Run

SMALL = ["prompts.limit=8", "draft.n=2", "pair.min_margin=0.02"]


def verdict(number: int, principle: str, p_first: float, over: tuple[str, ...] = ()) -> Verdict:
    prompt = Prompt(key=f"p{number}", messages=(Message("user", f"q{number}"),), family=str(number))
    first, second = (
        Candidate(key=f"{number}{side}", prompt=prompt, text=f"{side} {number}", author="s") for side in ("one", "two")
    )
    return Verdict(
        key=f"{number}{principle}",
        first=first,
        second=second,
        principle=principle,
        choice="first" if p_first > 0.5 else "second",
        p_first=p_first,
        order="none",
        judge="j",
        rule="best_over_worst",
        over=over,
    )


@pytest.fixture
def by_hand() -> Decided:
    """Margins: 0 is decided by kind at (0.4 + 0.2)/2 = 0.3; 1 by kind at (0.4 - 0.2)/2 = 0.1, against short; 2 by kind
    alone; 3 by short alone at 0.2; 4 is even, (0.3 - 0.3)/2, and makes no pair.
    """
    verdicts = [
        *(verdict(0, "kind", 0.9), verdict(0, "short", 0.7)),
        *(verdict(1, "kind", 0.9), verdict(1, "short", 0.3)),
        *(verdict(2, "kind", 0.9), verdict(3, "short", 0.7)),
        *(verdict(4, "kind", 0.8), verdict(4, "short", 0.2)),
    ]
    principles = tuple(Principle(id=id_, text=f"Be {id_}.") for id_ in ("kind", "short", "unasked"))
    found = Decided(verdicts, Constitution(name="c", principles=principles), PairSection(min_margin=0.05), [])
    return found._replace(kept=list(found.without("").values()))


def test_pairs_that_go_turn_and_come_without_a_principle_are_counted(by_hand):
    assert contributions(by_hand) == {
        "pairs": 4,
        "principles": {
            "kind": {"decides": 3, "share": pytest.approx(0.8), "gone": 1, "flipped": 1, "gained": 1},
            "short": {"decides": 1, "share": pytest.approx(0.2), "gone": 1, "flipped": 0, "gained": 1},
        },
    }


def test_what_is_left_without_a_principle_is_what_the_others_decide(by_hand):
    left = {pair.prompt[0].content: pair.chosen[0].content for pair in left_without(by_hand, "kind")}
    assert left == {"q0": "one 0", "q1": "two 1", "q3": "one 3", "q4": "two 4"}
    with pytest.raises(InputError, match="no principle 'kindd'; did you mean 'kind'"):
        left_without(by_hand, "kindd")


def test_pairs_that_the_filters_of_the_run_dropped_stay_dropped(by_hand):
    some = by_hand._replace(kept=[pair for pair in by_hand.kept if pair.prompt[0].content in ("q2", "q3")])
    left = {pair.prompt[0].content for pair in left_without(some, "kind")}
    assert contributions(some)["principles"]["kind"] | {"share": 0} == {
        **{"decides": 1, "share": 0, "gone": 1, "flipped": 0, "gained": 1}
    }
    assert left == {"q3", "q4"}


def test_a_preferred_principle_that_is_left_out_vetoes_nobody(by_hand):
    vetoed = [verdict(0, "kind", 0.9, over=("short",)), verdict(0, "short", 0.1)]
    found = by_hand._replace(verdicts=vetoed)
    found = found._replace(kept=list(found.without("").values()))
    assert [pair.chosen[0].content for pair in found.kept] == ["one 0"]
    assert contributions(found)["principles"]["kind"]["flipped"] == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("contributions") / "run"
    run_recipe(load_recipe("creative", SMALL, profile="embedded"), out, until="pair", quiet=True)
    return out


def test_the_pairs_of_a_run_are_made_again_from_its_verdicts(run):
    found = decided(run)
    assert [pair.key for pair in found.without("").values()] == [p.key for p in load_pairs(run / "pairs.jsonl")]
    assert sum(row["decides"] for row in contributions(found)["principles"].values()) == len(found.kept) > 0


def test_verdicts_of_another_constitution_in_the_same_run_are_noticed(run, tmp_path):
    lines = [json.loads(line) for line in (run / "pairs.jsonl").read_text().splitlines()]
    lines[0]["chosen"][0]["content"] = "of nobody"
    for name in ("recipe.yaml", "constitution.yaml"):
        (tmp_path / name).write_text((run / name).read_text())
    with Run.reading(run) as old, Run(tmp_path) as new:
        for kind in ("candidate", "verdict"):
            new.keep_rows(kind, old.rows(kind))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="holds verdicts of another constitution besides"):
        decided(tmp_path)
    (tmp_path / "constitution.yaml").unlink()
    with pytest.raises(InputError, match=r"has no constitution.yaml; run its recipe in it once more"):
        decided(tmp_path)


def test_the_command_prints_the_table(run):
    command = ["constitution", "contributions", str(run)]
    held = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert held["pairs"] == len(load_pairs(run / "pairs.jsonl")) and "no-cliche" in held["principles"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "120"})
    assert "gone without it" in done.output and "no-cliche" in done.output


def test_a_training_without_a_principle_learns_what_the_others_decide(run, tmp_path, monkeypatch):
    given = []

    def note(student, data, *args, **more):
        given.append(data)
        return {}

    monkeypatch.setattr(alone, "_train", note)
    alone.train_run(run, [], tmp_path / "out", without="no-cliche")
    (data,) = given
    left = left_without(decided(run), "no-cliche")
    assert [pair.key for pair in data] == [pair.key for pair in left]
    assert all(pair.principle != "no-cliche" for pair in left)
    with pytest.raises(InputError, match="this training learns 'on: chosen'"):
        alone.train_run(run, ["train.method=sft", "train.on=chosen"], tmp_path / "out", without="no-cliche")
    done = CliRunner().invoke(
        app, ["train", "--without", "a", "--student", "s", "--pairs", "p", "--out", str(tmp_path / "x")]
    )
    assert done.exit_code == 2 and "--without is for --run" in done.output
