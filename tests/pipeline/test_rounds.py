"""Rounds: what each goes on from, when they end, which one is kept, and that a kill anywhere changes nothing.

The models and trainings are scripted; the last test walks two rounds on the embedded models.
"""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from cai_lite.errors import InputError, RecipeError
from cai_lite.evaluation.adherence import CELLS, KeptCell
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline import rounds as module
from cai_lite.pipeline.make_pairs import Work
from cai_lite.pipeline.phases import check_first
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.rounds import put_rounds_aside, walk_rounds, weigh
from cai_lite.pipeline.status import status
from cai_lite.pipeline.walk import prompts_of, run_recipe
from cai_lite.records import Candidate, Message, PreferencePair, Prompt, Score
from cai_lite.reporting.audit import verify
from cai_lite.reporting.page import report
from cai_lite.run.files import methods_of, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen


def cells(share: float, base: float = 0.2) -> list[KeptCell]:
    """Answers of 200 families, of which these shares keep the principle."""
    kept = [(float(i % 10 < 10 * base), float(i % 10 < 10 * share)) for i in range(200)]
    return [KeptCell(f"p{i}", f"f{i}", "kind", "t", 1.0, both) for i, both in enumerate(kept)]


def pair(number: int, name: int = 0) -> PreferencePair:
    return PreferencePair(
        prompt=(Message("user", f"Prompt {name}"),),
        chosen=(Message("assistant", f"good {number}"),),
        rejected=(Message("assistant", f"bad {number}"),),
        key=f"k{number}",
        rule="human",
    )


class Scripted:
    """Stands in for making pairs, training and measuring; `calls` says in which order they were asked for."""

    def __init__(self, monkeypatch, *, adherence=(0.5, 0.7, 0.9), kl=(0.01, 0.01, 0.01), pairs=(2, 2, 2)):
        self.adherence, self.kl, self.pairs, self.calls, self.dies = adherence, kl, pairs, [], None
        monkeypatch.setattr(module, "make", self.make)
        monkeypatch.setattr(module, "learn", self.learn)
        monkeypatch.setattr(module, "measure", self.measure)
        monkeypatch.setattr(module, "weigh", lambda work, pairs: (pairs, None))
        monkeypatch.setattr(module, "draft_held_out", lambda *_: None)
        monkeypatch.setattr(module, "held_out_pairs", lambda *_: [])

    def note(self, *call):
        self.calls.append(call)
        if len(self.calls) == self.dies:
            raise KeyboardInterrupt

    def make(self, work, prompts):
        drafter = work.roles.drafter
        self.note("make", work.round, drafter.adapter and drafter.adapter.parent.name)
        return [pair(10 * work.round + i) for i in range(self.pairs[work.round - 1])]

    def learn(self, work, pairs, folder, *, before=None, label="", prompts=()):
        self.note("learn", label, before and before.parent.name)
        adapter = folder / "adapter"
        adapter.mkdir(parents=True, exist_ok=True)
        (adapter / "adapter_config.json").write_text("{}")
        (adapter / "adapter_model.safetensors").write_text(folder.name)
        (folder / "training.json").write_text(json.dumps({"finished": True, "method": "dpo", "sha256": {}}))
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.6}\n')
        return adapter, ["training.json", "metrics.jsonl", "adapter/"]

    def measure(self, work, adapter, prompts, pairs, held_out, folder):
        number = int(folder.name)
        self.note("measure", number, len(pairs))
        figure = {"value": self.adherence[number - 1], "n": 40, "low": 0.0, "high": 1.0}
        base = figure | {"value": 0.2}
        change = {"before": base, "after": figure, "change": figure}
        work.run.remember(CELLS, cells(self.adherence[number - 1]))
        line = {"key": f"answer of round {number}", "prompt": [], "family": "", "tags": [], "side": "after"}
        (folder / "answers.jsonl").write_text(json.dumps({**line, "answer": "", "verdicts": {}}) + "\n")
        metrics = {"adherence": {"overall": change}, "kl": figure | {"value": self.kl[number - 1]}}
        return {"model": "m", "against": "b", "constitution": "c", "judge": "j", "seed": 0, "metrics": metrics}


@pytest.fixture
def walked(tmp_path):
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"Prompt {i}", "family": str(i)}) + "\n" for i in range(9))
    )
    (tmp_path / "mine.yaml").write_text(
        "constitution: medical-embedded\nprompts: {file: prompts.jsonl}\nteacher: {model: 'embedded:teacher'}\n"
        "student: {model: 'embedded:student'}\nrounds: 3\n"
    )

    def walk(out, *settings):
        recipe = load_recipe(tmp_path / "mine.yaml", settings)
        with Run(out) as run, Screen(quiet=True, log=out / "log.txt") as screen:
            work = Work(recipe=recipe, roles=open_roles(recipe), run=run, screen=screen)
            adapter, evaluation, written = walk_rounds(work, prompts_of(recipe))
            write_manifest(out, *written)
        return adapter, evaluation, json.loads((out / "rounds.json").read_text())

    return walk


def files(out):
    return {
        path.relative_to(out): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.name.startswith(("run.db", "log", ".lock", "dataset_card"))
    }


def test_each_round_drafts_trains_and_measures_from_the_adapter_of_the_one_before(walked, tmp_path, monkeypatch):
    scripted = Scripted(monkeypatch)
    adapter, evaluation, found = walked(tmp_path / "out")
    assert scripted.calls == [
        *[("make", 1, None), ("learn", "round 1", None), ("measure", 1, 2)],
        *[("make", 2, "1"), ("learn", "round 2", "1"), ("measure", 2, 4)],
        *[("make", 3, "2"), ("learn", "round 3", "2"), ("measure", 3, 6)],
    ]
    out = tmp_path / "out"
    assert adapter == out / "adapter" and (adapter / "adapter_model.safetensors").read_text() == "3"
    assert found["kept"] == 3 and found["ended"] == "the limit of 3 rounds was reached"
    assert [one["pairs"] for one in found["rounds"]] == [2, 2, 2]
    assert evaluation["metrics"]["adherence"]["overall"]["after"]["value"] == 0.9
    for name in ("evaluation.json", "answers.jsonl"):
        assert (out / name).read_bytes() == (out / "rounds" / "3" / name).read_bytes()
    assert len(load_pairs(out / "pairs.jsonl")) == 6 and len(load_pairs(out / "rounds" / "2" / "pairs.jsonl")) == 2
    with Run(out) as run:
        assert len(run.recall(CELLS)) == 200
    assert verify(out) == [] and methods_of(out) == ["dpo"]


def test_the_round_after_which_adherence_no_longer_rises_is_the_last(walked, tmp_path, monkeypatch):
    scripted = Scripted(monkeypatch, adherence=(0.5, 0.4, 0.9))
    _, _, found = walked(tmp_path / "out")
    assert [call[1] for call in scripted.calls if call[0] == "make"] == [1, 2]
    assert found["kept"] == 1 and found["ended"].startswith("adherence no longer rose in round 2: 0.")
    assert len(load_pairs(tmp_path / "out" / "pairs.jsonl")) == 2
    Scripted(monkeypatch, adherence=(0.5, 0.4, 0.9))
    _, _, found = walked(tmp_path / "all", "rounds={n: 3, until: rounds}")
    assert len(found["rounds"]) == 3 and found["kept"] == 3


def test_a_round_past_a_bound_of_drift_ends_the_rounds_and_is_not_kept(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch, kl=(0.01, 0.3, 0.01))
    _, _, found = walked(tmp_path / "out")
    assert found["kept"] == 1 and len(found["rounds"]) == 2
    assert found["ended"] == "round 2 passed a bound of rounds.drift: kl is 0.3, not <= 0.2"
    assert found["rounds"][1]["outside"][0]["name"] == "kl"
    Scripted(monkeypatch, kl=(0.01, 0.3, 0.01))
    _, _, found = walked(tmp_path / "wide", "rounds={n: 3, drift: {kl: '<= 1'}}")
    assert found["kept"] == 3
    Scripted(monkeypatch, kl=(0.4, 0.3, 0.01))
    walked(tmp_path / "first")
    assert "! every round passed a bound of rounds.drift; kept is round 1" in (tmp_path / "first/log.txt").read_text()


def test_drafts_that_give_nothing_to_learn_end_the_rounds(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch, pairs=(2, 0, 2))
    _, _, found = walked(tmp_path / "out")
    assert found["kept"] == 1 and found["ended"] == "the drafts of round 2 gave nothing to learn"
    assert not (tmp_path / "out" / "rounds" / "2").exists()


@pytest.mark.parametrize("dies", [2, 5, 6, 9])
def test_rounds_that_are_killed_anywhere_end_in_the_same_bytes(walked, tmp_path, monkeypatch, dies):
    Scripted(monkeypatch)
    walked(tmp_path / "whole")
    scripted = Scripted(monkeypatch)
    scripted.dies = dies
    with pytest.raises(KeyboardInterrupt):
        walked(tmp_path / "cut")
    measured = [call for call in scripted.calls[:-1] if call[0] == "measure"]
    again = Scripted(monkeypatch)
    walked(tmp_path / "cut")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert not set(measured) & set(again.calls)  # what was measured is not measured again


def test_other_settings_measure_anew_and_fewer_rounds_put_the_others_aside(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch)
    walked(tmp_path / "out")
    scripted = Scripted(monkeypatch)
    _, _, found = walked(tmp_path / "out", "rounds=2", "evaluate.samples=2")
    assert [call for call in scripted.calls if call[0] == "measure"] == [("measure", 1, 2), ("measure", 2, 4)]
    assert found["kept"] == 2 and (tmp_path / "out" / "rounds.1" / "3").is_dir()
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").read_text() == "2"
    put_rounds_aside(tmp_path / "out", print)
    assert (tmp_path / "out" / "rounds.2" / "rounds" / "2").is_dir() and not (tmp_path / "out" / "rounds.json").exists()


def test_one_training_makes_room_for_rounds(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "training.json").write_text("{}")
    walked(tmp_path / "out")
    assert (tmp_path / "out" / "training.1" / "training.json").is_file()
    assert not (tmp_path / "out" / "training.json").exists()


def test_an_adapter_that_the_rounds_would_replace_is_no_beginning(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch)
    with pytest.raises(InputError, match=r"train\.init_adapter: .* is in the run directory"):
        walked(tmp_path / "out", f"train.init_adapter={tmp_path / 'out' / 'adapter'}")


def test_status_and_report_tell_of_every_round(walked, tmp_path, monkeypatch):
    Scripted(monkeypatch, adherence=(0.5, 0.4, 0.9))
    walked(tmp_path / "out")
    found = status(tmp_path / "out")
    assert [(one["round"], one["done"], one["steps"], one["kept"]) for one in found["rounds"]] == [
        (1, True, 1, True),
        (2, True, 1, False),
    ]
    assert found["rounds"][1]["adherence"]["value"] == 0.4 and "train" in found["done"]
    with (tmp_path / "out" / "log.txt").open("a") as log:
        log.write("round 2: step 1: warning: the margin is odd\n")
    page = report(tmp_path / "out").read_text()
    assert 'href="#rounds"' in page and "round 1 (kept)" in page and "Kept is round 1: adherence no longer rose" in page
    assert page.index("Training, round 1") < page.index("Training, round 2") < page.index("the margin is odd")
    shutil.rmtree(tmp_path / "out" / "rounds" / "2" / "adapter")
    (tmp_path / "out" / "rounds.json").unlink()
    found = status(tmp_path / "out")
    assert not found["rounds"][1]["done"] and "train" in found["left"]


def test_prompts_whose_first_draft_fails_weigh_more_and_the_mean_weight_is_1(walked, tmp_path, monkeypatch):
    constitution = load_constitution("medical-embedded")
    prompts = [Prompt(key=str(i), messages=(Message("user", f"Prompt {i}"),), family=str(i)) for i in range(3)]
    drafts = [Candidate(key=f"{p.key}{n}", prompt=p, text=f"draft {n}", author="s") for p in prompts for n in range(2)]
    recipe = load_recipe(tmp_path / "mine.yaml")
    roles = SimpleNamespace(constitution=constitution, judge=None)
    work = SimpleNamespace(recipe=recipe, roles=roles, drafts=drafts, stage=lambda *_: nullcontext())
    log_odds = {"0": 3.0, "1": -3.0, "2": None}  # kept, broken, not judged

    def score(judge, cells, judging, stage):
        assert judging.mode == "pointwise" and {draft.text for draft, _ in cells} == {"draft 0"}
        return [
            Score(key="", candidate=draft, principle=p.id, log_odds=log_odds[draft.prompt.key]) for draft, p in cells
        ]

    monkeypatch.setattr(module, "score", score)
    pairs, held_in = weigh(work, [pair(i, i) for i in range(3)])
    assert [one.weight for one in pairs] == [0.6667, 1.3333, 1.0]
    assert held_in.value == pytest.approx(0.5)
    log_odds |= {"0": None, "1": None}
    pairs, held_in = weigh(work, [pair(i, i) for i in range(3)])
    assert [one.weight for one in pairs] == [1.0, 1.0, 1.0] and held_in is None


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rounds=0", "'rounds' should be from 1 to 100"),
        ("rounds={n: 2, failing: 0.5}", "'failing' should be from 1 to 100"),
        ("rounds={n: 2, drift: {klx: '<= 1'}}", "unknown figure 'klx'"),
        ("draft.from=teacher", "'rounds': 3 takes draft.from: student"),
        ("evaluate.metrics=[drift]", "'rounds': 3 takes 'adherence' among evaluate.metrics"),
        ("pair={rules: [], human: prompts.jsonl}", "'rounds': 3 takes a pairing rule"),
        ("train=[{method: sft, on: prompted}, {method: dpo}]", "'rounds': 3 excludes a training 'on: prompted'"),
        ("student={model: s, url: 'http://x', adapter_name: a}", "'rounds': 3 excludes student.adapter_name"),
    ],
)
def test_what_rounds_ask_of_a_recipe_is_checked_with_it(walked, tmp_path, setting, says, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=says):
        load_recipe(tmp_path / "mine.yaml", [setting])


def test_a_phase_to_begin_with_is_for_a_single_round(walked, tmp_path):
    with pytest.raises(InputError, match="--phase 1 is for a single round, and the recipe has 3"):
        check_first(load_recipe(tmp_path / "mine.yaml"), tmp_path, 1)


@pytest.mark.slow
def test_two_rounds_on_the_embedded_models_end_alike_though_one_is_cut_off(tmp_path, monkeypatch):
    small = ["prompts.limit=6", "prompts.eval_limit=6", "draft.n=2", "train.max_steps=2", "train.batch_size=4"]
    settings = [*small, "pair.min_margin=0.02", "rounds={n: 2, until: rounds}"]
    settings += ["evaluate.metrics=[adherence]", "evaluate.baselines=[]"]
    recipe = load_recipe("creative", settings, profile="embedded")
    single = load_recipe("creative", [*settings, "rounds=1"], profile="embedded")
    run_recipe(recipe, tmp_path / "whole", quiet=True)
    keep, kept = Run.keep_replies, []

    def cut_off(self, stage, *args):
        kept.append(stage)
        if stage.startswith("round 2") and kept.count(stage) == 1:
            raise KeyboardInterrupt
        keep(self, stage, *args)

    monkeypatch.setattr(Run, "keep_replies", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path / "cut", quiet=True)
    monkeypatch.setattr(Run, "keep_replies", keep)
    run_recipe(recipe, tmp_path / "cut", quiet=True)
    run_recipe(single, tmp_path / "single", quiet=True)
    for name in ("pairs.jsonl", "evaluation.json", "answers.jsonl", "rounds.json", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    for name in ("pairs.jsonl", "evaluation.json", "answers.jsonl", "adapter/adapter_model.safetensors"):
        first = tmp_path / "whole" / "rounds" / "1" / name
        assert (tmp_path / "single" / name).read_bytes() == first.read_bytes(), name
    pairs = load_pairs(tmp_path / "whole" / "rounds" / "2" / "pairs.jsonl")
    assert sum(one.weight for one in pairs) / len(pairs) == pytest.approx(1.0, abs=1e-3)
    assert not (tmp_path / "single" / "rounds").exists() and verify(tmp_path / "whole") == []
