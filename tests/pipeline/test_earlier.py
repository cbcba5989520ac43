"""A run that goes on from an earlier one: what is asked anew, what is learnt, and what is refused.

Walked on the embedded models, small: the earlier run lacks one principle of the creative constitution.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.embedded.grammar import DOMAINS, draw_ask
from cai_lite.errors import InputError, RecipeError, Stopped
from cai_lite.evaluation.labels import Planned
from cai_lite.evaluation.result import read_answers
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.human import append_rows
from cai_lite.inputs.pairs import load_pairs, save_pairs
from cai_lite.inputs.prompts import all_prompts
from cai_lite.inputs.versions import Change
from cai_lite.pipeline.earlier import Earlier, corrective, held, since
from cai_lite.pipeline.ready import show_plan
from cai_lite.pipeline.recipe import FromSection, load_recipe
from cai_lite.pipeline.walk import check_recipe, run_recipe
from cai_lite.records import Message, PreferencePair, dicts_of
from cai_lite.reporting.audit import chain, verify
from cai_lite.run.ledger import Run

ADDED = "no-cliche"
SMALL = [
    "prompts.limit=8",
    "prompts.eval_limit=8",
    "draft.n=2",
    "critique.principles_per_draft=4",
    "train.epochs=2",
    "train.batch_size=4",
    "pair.min_margin=0.02",
    "evaluate={metrics: [adherence], baselines: []}",
]
SAME = ("pairs.jsonl", "corrective.jsonl", "evaluation.json", "answers.jsonl", "adapter/adapter_model.safetensors")


def written(path, *, without=""):
    """Write the creative constitution, whole or without a principle."""
    content = yaml.safe_load(Path(load_constitution("creative-embedded").path).read_text(encoding="utf-8"))
    content["principles"] = [each for each in content["principles"] if each["id"] != without]
    content["conflicts"] = [each for each in content.get("conflicts", []) if without not in each["between"]]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def recipe(constitution, *more):
    return load_recipe("creative", [*SMALL, f"constitution={constitution}", *more], profile="embedded")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A finished run under the constitution without one principle, which is added to the file afterwards."""
    folder = tmp_path_factory.mktemp("earlier")
    run_recipe(recipe(written(folder / "policy.yaml", without=ADDED)), folder / "old", quiet=True)
    written(folder / "policy.yaml")
    return folder


@pytest.fixture(scope="module")
def new(old):
    result = run_recipe(gone_on(old), old / "new", quiet=True)
    return old / "new", result


def gone_on(old, *more):
    return recipe(old / "policy.yaml", f"from.run={old / 'old'}", *more)


def keys_of(folder, *, own=False):
    with Run.reading(folder) as run:
        begin = run.taken_over if own else 0
        return {key for (key,) in run._db.execute("select key from calls where rowid > ?", (begin,))}


def test_nothing_that_the_earlier_run_asked_is_asked_again(old, new):
    out, result = new
    asked, known = keys_of(out, own=True), keys_of(old / "old")
    assert asked and asked.isdisjoint(known) and known < keys_of(out)
    with Run.reading(out) as run:
        stages = {row["stage"]: row["calls"] for row in run.calls()}
    with Run.reading(old / "old") as run:
        before = {row["stage"]: row["calls"] for row in run.calls()}
    assert not {"draft", "answers before", "answers earlier"} & stages.keys()
    assert 0 < stages["judge"] < before["judge"] and 0 < stages["critique"] < before["critique"]
    assert result["since"]["asked"] == len(asked) and result["since"]["known"] == len(known)


def test_its_pairs_are_those_of_a_whole_run_under_the_new_constitution(old, new, tmp_path):
    run_recipe(recipe(old / "policy.yaml"), tmp_path / "whole", until="pair", quiet=True)
    made, whole = (load_pairs(folder / "pairs.jsonl") for folder in (new[0], tmp_path / "whole"))
    assert [shown(pair) for pair in made] == [shown(pair) for pair in whole]
    # A local judge's batches have other neighbours, so that its numbers differ in their last digits.
    assert [pair.margin for pair in made] == pytest.approx([pair.margin for pair in whole], abs=1e-4)


def shown(pair):
    return pair.key, pair.prompt, pair.chosen, pair.rejected, pair.principle, pair.rule


def test_it_learns_what_the_change_made_from_the_earlier_adapter_on(old, new):
    out, _ = new
    learnt, before = load_pairs(out / "corrective.jsonl"), load_pairs(old / "old" / "pairs.jsonl")
    known = {(pair.prompt, pair.chosen, pair.rejected) for pair in before}
    made = [p for p in learnt if (p.prompt, p.chosen, p.rejected) not in known or p.principle == ADDED]
    assert made and len(learnt) <= 2 * len(made)
    assert {pair.key for pair in learnt} <= {pair.key for pair in load_pairs(out / "pairs.jsonl")}
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-4)  # held to the adapter that it begins with
    assert verify(out) == [] and verify(old / "old") == []


def test_each_principle_is_compared_with_the_earlier_student_and_the_others_have_a_gate(old, new):
    _, result = new
    evaluation, rows = result["evaluation"], result["since"]["principles"]
    assert next(iter(rows)) == ADDED and rows[ADDED]["how"] == "added" and "not_worse" not in rows[ADDED]
    others = [id_ for id_ in rows if id_ != ADDED]
    assert others and all(rows[id_]["how"] == "" for id_ in others)
    found = {gate["name"]: gate["holds"] for gate in evaluation["gates"]}
    assert found == {f"adherence_over_earlier.{id_}.change.low": rows[id_]["not_worse"] for id_ in others}
    with (old / "old" / "evaluation.json").open() as file:  # the earlier student gave the answers that it gave then
        then = json.load(file)["metrics"]["adherence"]["principles"]
    assert {id_: rows[id_]["before"]["value"] for id_ in others} == {
        id_: pytest.approx(then[id_]["after"]["value"]) for id_ in others
    }


@pytest.mark.parametrize("dies", [1, 2, 5])
def test_a_run_that_is_killed_goes_on_and_ends_in_the_same_bytes(old, new, tmp_path, monkeypatch, dies):
    keep, kept = Run.keep_replies, []

    def cut_off(self, stage, *args):
        kept.append(stage)
        if len(kept) == dies:
            raise KeyboardInterrupt
        keep(self, stage, *args)

    monkeypatch.setattr(Run, "keep_replies", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(gone_on(old), tmp_path / "cut", quiet=True)
    monkeypatch.setattr(Run, "keep_replies", keep)
    run_recipe(load_recipe(tmp_path / "cut" / "recipe.yaml"), tmp_path / "cut", quiet=True)
    for name in SAME:
        assert (tmp_path / "cut" / name).read_bytes() == (new[0] / name).read_bytes(), name


@pytest.fixture(scope="module")
def said(old, tmp_path_factory):
    """Votes against some of the earlier run's pairs, an edit of a held-out answer, and failures in production."""
    folder, pairs = tmp_path_factory.mktemp("said"), load_pairs(old / "old" / "pairs.jsonl")
    rows = [
        {
            "kind": "vote",
            "prompt": dicts_of(pair.prompt),
            "a": pair.chosen[0].content,
            "b": pair.rejected[0].content,
            "choice": "b" if n < 3 else "tie",
            "confidence": 0.5,
            "by": "ada",
            "at": 1.0,
        }
        for n, pair in enumerate(pairs[:4])
    ]
    measured = read_answers(old / "old")[0]
    edit = {"kind": "edit", "prompt": dicts_of(measured.prompt), "before": measured.answer, "after": "Better."}
    append_rows(folder / "human.jsonl", [*rows, {**edit, "by": "ada", "at": 1.0}])
    known = {prompt.text for prompt in all_prompts(recipe("creative-embedded").prompts.file)}
    asks = (draw_ask(DOMAINS["creative"], random.Random(n)) for n in range(60))
    fresh = list(dict.fromkeys(ask.text for ask in asks if ask.text not in known))[:4]
    for name, some in (("out.jsonl", fresh[:2]), ("out.seeds.jsonl", fresh[2:])):
        append_rows(folder / name, [{"prompt": text, "family": f"failed/{text}"} for text in some])
    return folder, pairs, fresh


@pytest.fixture(scope="module")
def next_round(old, said):
    folder = said[0]
    out, more = folder / "next", [f"from.human={folder / 'human.jsonl'}", f"from.failures={folder / 'out.jsonl'}"]
    begun = recipe(old / "old" / "constitution.yaml", f"from.run={old / 'old'}", *more)
    return out, begun, run_recipe(begun, out, quiet=True)


def test_a_next_round_learns_what_people_said_and_what_failed(old, said, next_round):
    _, pairs, fresh = said
    out, _, result = next_round
    learnt, made = load_pairs(out / "corrective.jsonl"), load_pairs(out / "pairs.jsonl")
    people = [pair for pair in learnt if pair.rule == "human"]
    assert [(p.chosen, p.rejected, p.weight) for p in people] == [(p.rejected, p.chosen, 0.5) for p in pairs[:3]]
    assert all((p.prompt, p.chosen, p.rejected) != shown(pairs[n])[1:4] for p in made for n in range(4))
    with Run.reading(out) as run:  # back to who said it
        (parent,) = chain(run, people[0].key)["parents"]
    assert parent["payload"]["by"] == "ada" and parent["payload"]["text"] == people[0].chosen[0].content
    seeds = [pair for pair in learnt if pair.prompt[-1].content in fresh[2:]]
    assert seeds and not [pair for pair in made if pair.prompt[-1].content in fresh[:2]]
    assert result["since"]["corrections"] == {"votes": 3, "ties": 1, "on held-out prompts, left out": 1}
    with Run.reading(out) as run:  # as it failed: by the student with the earlier adapter, the others as they were
        calls = {row["stage"]: (row["model"], row["calls"]) for row in run.calls()}
    assert calls["draft what failed"] == ("embedded:student + adapter", 4) and "draft" not in calls


def test_a_next_round_measures_what_failed_apart_and_every_principle_has_a_gate(said, next_round):
    out, _, result = next_round
    metrics, gates = result["evaluation"]["metrics"], result["evaluation"]["gates"]
    failed = metrics["regression"]["overall"]
    assert failed["after"]["n"] == 2 * 4 and result["since"]["regression"] == failed
    fresh = {row.prompt[-1].content for row in read_answers(out)} & set(said[2])
    assert not fresh  # of the answers that measure the round
    principles = metrics["adherence_over_earlier"]["principles"]
    assert {gate["name"] for gate in gates} == {f"adherence_over_earlier.{id_}.change.low" for id_ in principles}
    log = (out / "log.txt").read_text()
    assert "corrections by ada: 3 votes; 1 ties; 1 on held-out prompts, left out" in log
    assert verify(out) == []


def test_a_next_round_that_is_killed_ends_in_the_same_bytes(next_round, tmp_path, monkeypatch):
    out, begun, _ = next_round
    keep, kept = Run.keep_replies, []

    def cut_off(self, stage, *args):
        kept.append(stage)
        if len(kept) == 2:
            raise KeyboardInterrupt
        keep(self, stage, *args)

    monkeypatch.setattr(Run, "keep_replies", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(begun, tmp_path / "cut", quiet=True)
    monkeypatch.setattr(Run, "keep_replies", keep)
    run_recipe(load_recipe(tmp_path / "cut" / "recipe.yaml"), tmp_path / "cut", quiet=True)
    for name in (*SAME, "seeds.jsonl", "regression.jsonl", "corrections.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (out / name).read_bytes(), name


def test_what_a_next_round_takes_along_is_said_before_it_begins(next_round, tmp_path):
    plan = check_recipe(next_round[1], tmp_path / "new")
    rows = {row[0]: row[1:] for row in plan.along}
    assert rows["corrections by ada"][0].startswith("3 votes; 1 ties")
    assert rows["failures: seeds"][0] == rows["failures: tests"][0] == "2"
    console = Console(record=True, width=200, file=io.StringIO())
    show_plan(plan, [], console)
    assert "what this round takes along" in console.export_text() and not (tmp_path / "new").exists()


def test_the_constitution_is_kept_as_it_was(old):
    kept = load_constitution(old / "old" / "constitution.yaml")
    assert ADDED not in {principle.id for principle in kept.principles}


def test_what_cannot_be_gone_on_from_is_refused_before_anything_is_written(old, tmp_path):
    def refused(said, found, out=tmp_path / "out"):
        with pytest.raises(InputError, match=said):
            check_recipe(found, out)

    refused("is the run to go on from", gone_on(old), old / "old")
    refused("is not a run directory", gone_on(old, f"from.run={tmp_path}"))
    measured = tmp_path / "human.jsonl"
    edit = {"kind": "edit", "prompt": dicts_of(read_answers(old / "old")[0].prompt), "before": "a", "after": "b"}
    append_rows(measured, [{**edit, "by": "ada", "at": 1.0}])
    same = f"constitution={old / 'old' / 'constitution.yaml'}"
    refused(r"no corrections \(1 on held-out prompts, left out\)", gone_on(old, same, f"from.human={measured}"))
    seeds = tmp_path / "seeds.jsonl"  # what failed was measured there, so nothing may be learnt of it
    seeds.write_text(json.dumps({"prompt": edit["prompt"]}) + "\n")
    refused(r"or failures \(seeds left out .*: 1\)", gone_on(old, same, f"from.seeds={seeds}"))
    refused("nothing changed: .* says the same", gone_on(old, f"constitution={old / 'old' / 'constitution.yaml'}"))
    refused(r"in more than the constitution: draft.n, judge.votes;", gone_on(old, "draft.n=3", "judge.votes=3"))
    for missing, said in (
        ("constitution.yaml", "an earlier version made it and kept no constitution.yaml"),
        ("evaluation.json", r"not finished \(evaluation.json missing\); `cai-lite status"),
    ):
        part = tmp_path / missing
        shutil.copytree(old / "old", part)
        (part / missing).unlink()
        refused(said, gone_on(old, f"from.run={part}"))
    text = (old / "old" / "recipe.yaml").read_text()
    part = tmp_path / "weights"
    shutil.copytree(old / "old", part)
    head = next(line for line in text.splitlines() if line.startswith("# student "))
    (part / "recipe.yaml").write_text(text.replace(head, head[:-3] + "abc"))
    refused(r"student embedded:student \(other weights than then\)", gone_on(old, f"from.run={part}"))
    assert not (tmp_path / "out").exists()


def test_how_new_pairs_are_learnt_may_differ(old, tmp_path):
    check_recipe(
        gone_on(old, "train.learning_rate=1e-4", "from.replay=0", "evaluate.must={adherence: '>= 0'}"), tmp_path
    )


def test_a_directory_with_other_replies_is_not_mixed_with_them(old, tmp_path):
    with Run(tmp_path / "used") as run:
        run.take_over(Run())
        assert run.taken_over == 0
    shutil.copytree(old / "old", tmp_path / "other")
    with pytest.raises(InputError, match="holds the replies of another run already"):
        run_recipe(gone_on(old), tmp_path / "other", quiet=True)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rounds=2", "'from' goes on for one round; set rounds=1"),
        ("train.init_adapter=somewhere", "leave out train.init_adapter"),
        ("train=[{method: sft, on: revisions}]", "no phase of 'train' learns pairs"),
        ("evaluate={metrics: [drift], baselines: []}", "'from' takes 'adherence' among"),
        ("from.replay=-1", "'replay' should be 0 or more"),
        ("from.margin=0", "'margin' should be above 0"),
    ],
)
def test_what_going_on_asks_of_a_recipe_is_checked_with_it(tmp_path, setting, says):
    with pytest.raises(RecipeError, match=says):
        recipe("creative-embedded", f"from.run={tmp_path}", setting)


def test_the_earlier_student_is_a_baseline_of_such_runs_alone():
    with pytest.raises(RecipeError, match=r"name that run as 'from\.run'"):
        recipe("creative-embedded", "evaluate={baselines: [earlier]}")


def test_of_several_phases_those_that_learn_pairs_are_walked(tmp_path):
    phases = "train=[{method: sft, on: revisions, lora: {rank: 4}}, {method: dpo, epochs: 3}]"
    found = recipe("creative-embedded", f"from.run={tmp_path}", phases).phases
    assert [(phase.method, phase.epochs, phase.lora.rank) for phase in found] == [("dpo", 3, 4)]


def pair(number, principle="a", *, chosen="good"):
    sides = {"good": "bad", "bad": "good"}
    return PreferencePair(
        prompt=(Message("user", f"q{number}"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", sides[chosen]),),
        key=f"{number}{principle}{chosen}",
        principle=principle,
    )


@pytest.fixture
def earlier(tmp_path):
    save_pairs(tmp_path / "pairs.jsonl", [pair(n) for n in range(20)])
    changed = (Change(principle="b", how="reworded", fields={}),)
    return Earlier(folder=tmp_path, changed=changed, settings=FromSection(run=str(tmp_path), replay=0.5))


def test_new_pairs_turned_ones_and_those_of_a_changed_principle_are_corrective_and_some_others_replayed(earlier):
    new = [pair(0, chosen="bad"), pair(1, "b"), pair(30), pair(31)]
    rest = [pair(n) for n in range(2, 20)]
    learnt = corrective([*rest, *new], earlier, seed=0)
    assert set(map(id, new)) <= set(map(id, learnt)) and len(learnt) == 4 + 2
    assert [id(p) for p in learnt] == [id(p) for p in [*rest, *new] if p in learnt]
    assert learnt == corrective([*rest, *new], earlier, seed=0) != corrective([*rest, *new], earlier, seed=1)
    none = replace(earlier, settings=FromSection(run="x", replay=0.0))
    assert corrective([*rest, *new], none, seed=0) == new
    with pytest.raises(Stopped, match="nothing to learn: the change makes no pair"):
        corrective(rest, earlier, seed=0)


def test_a_gate_stands_on_each_unchanged_principle_that_can_be_measured():
    constitution = load_constitution("creative-embedded")
    prompts = []
    plan = Planned(metrics=("adherence", "earlier"), constitution=constitution, prompts=prompts, earlier=True)
    changed = (Change(principle=ADDED, how="reworded", fields={}),)
    assert (
        held(plan, Earlier(folder=None, changed=changed, settings=FromSection(run="x"))) == {}
    )  # applies to no prompt


def test_a_principle_whose_interval_reaches_the_margin_is_not_shown_to_be_no_worse(earlier):
    def row(low):
        figure = {"value": 0.9, "n": 9, "low": 0.8, "high": 1.0}
        return {"before": figure, "after": figure, "change": {"value": 0.0, "n": 9, "low": low, "high": 0.1}}

    metrics = {"adherence_over_earlier": {"principles": {"a": row(-0.04), "b": row(0.0), "c": row(-0.06)}}}
    found = since({"metrics": metrics}, earlier, Run())["principles"]
    assert {id_: each.get("not_worse") for id_, each in found.items()} == {"b": None, "a": True, "c": False}


def test_the_command_names_what_it_goes_on_from_and_exits_by_its_gates(old, new, tmp_path):
    arguments = ["run", str(new[0] / "recipe.yaml"), "--out", str(new[0])]
    done = CliRunner().invoke(app, [*arguments, "--only-changed"])
    assert done.exit_code == 2 and "--only-changed and --from RUN go together" in done.output.replace("\n", " ")
    done = CliRunner().invoke(app, [*arguments, "--only-changed", "--from", str(old / "old")], env={"COLUMNS": "200"})
    gates = json.loads((new[0] / "evaluation.json").read_text())["gates"]
    assert done.exit_code == (0 if all(gate["holds"] for gate in gates) else 1), done.output
    assert "adherence since" in done.output and "replies were taken over" in done.output
