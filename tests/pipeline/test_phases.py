"""Several trainings in a row: what they leave, how they resume, and what is told of them."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError, Stopped
from cai_lite.inputs.pairs import save_pairs
from cai_lite.pipeline import phases as module
from cai_lite.pipeline.phases import check_first, is_trained, material, student_before, train_phases
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.status import status
from cai_lite.pipeline.walk import prompts_of, run_recipe
from cai_lite.records import Message, PreferencePair, dicts_of
from cai_lite.reporting.audit import verify
from cai_lite.reporting.card import card
from cai_lite.reporting.page import report
from cai_lite.run.files import methods_of, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.training import checkpoint

QUICK = "batch_size: 2, learning_rate: 1.0e-2, eval_every: 0, checkpoint_every: 1"
SFT = f"{{method: sft, on: chosen, max_steps: 3, lora: {{rank: 2}}, {QUICK}}}"
DPO = f"{{method: dpo, max_steps: 3, {QUICK}}}"
PAIRS = [
    PreferencePair(
        prompt=(Message("user", f"I have had pain number {i}."),),
        chosen=(Message("assistant", f"See a doctor soon, number {i}."),),
        rejected=(Message("assistant", "It is nothing."),),
    )
    for i in range(6)
]
FILES = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "adapter/tokenizer.json")


@pytest.fixture
def make(tmp_path):
    """A recipe with these phases, or with one alone."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')

    def made(*phases, settings=()):
        train = phases[0] if len(phases) == 1 else f"[{', '.join(phases)}]"
        (tmp_path / "mine.yaml").write_text(
            "constitution: medical-embedded\nprompts: {file: prompts.jsonl}\nteacher: {model: 'embedded:teacher'}\n"
            f"student: {{model: 'embedded:student'}}\ntrain: {train}\n"
        )
        return load_recipe(tmp_path / "mine.yaml", settings)

    return made


def walked(recipe, out, *, pairs=PAIRS, first=0):
    """Train all phases; return the adapter, and what was said."""
    out.mkdir(exist_ok=True)
    save_pairs(out / "pairs.jsonl", pairs)
    with Screen(quiet=True, log=out / "log.txt") as screen:
        adapter, written = train_phases(recipe, pairs, out, screen, first=first)
    write_manifest(out, *written)
    return adapter, [line[len("2026-11-21 12:00:00 ") :] for line in (out / "log.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of two phases."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    (folder / "mine.yaml").write_text(
        "constitution: medical-embedded\nprompts: {file: prompts.jsonl}\nteacher: {model: 'embedded:teacher'}\n"
        f"student: {{model: 'embedded:student'}}\ntrain: [{SFT}, {DPO}]\n"
    )
    out = folder / "out"
    walked(load_recipe(folder / "mine.yaml"), out)
    return out


@pytest.fixture
def again(whole, tmp_path):
    """A copy of it in another place."""
    shutil.copytree(whole, tmp_path / "again")
    return tmp_path / "again"


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def same(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_each_phase_leaves_its_training_and_the_last_ones_adapter_is_the_runs(whole):
    phases = [whole / "phases" / name for name in ("0-sft", "1-dpo")]
    assert all(map(is_trained, phases))
    assert same(whole, phases[1]) and (whole / FILES[0]).read_bytes() != (phases[0] / FILES[0]).read_bytes()
    assert not (whole / "training.json").exists() and not (whole / "metrics.jsonl").exists()
    assert not list(whole.rglob("checkpoints"))
    assert [set(lines(phase)[0]) & {"logps/completion", "rewards/margins"} for phase in phases] == [
        {"logps/completion"},
        {"rewards/margins"},
    ]
    # DPO is held to the adapter of SFT, so it begins at the loss of a coin toss.
    assert lines(phases[1])[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    from peft import PeftModel

    from cai_lite.chat.weights import open_weights, quiet_peft

    model, _ = open_weights("embedded:student", load=None)
    with quiet_peft():
        assert PeftModel.from_pretrained(model, whole / "adapter").peft_config["default"].r == 2


def test_the_second_phase_is_held_to_the_base_where_that_is_asked_for(make, again):
    recipe = make(SFT, DPO, settings=["train.1.reference=base"])
    _, said = walked(recipe, again)
    assert lines(again / "phases" / "1-dpo")[0]["loss"] != pytest.approx(0.6931, abs=1e-4)
    assert "phase 0-sft: trained already: 3 steps" in said


def test_the_same_call_trains_nothing_again_wherever_the_run_was_copied(make, again, whole, monkeypatch):
    monkeypatch.setattr("cai_lite.training.loop.open_student", None)
    _, said = walked(make(SFT, DPO), again)
    assert said[-2:] != [] and "phase 1-dpo: trained already: 3 steps" in said
    assert same(again, whole)


@pytest.mark.parametrize("kill", [("save", 1), ("save", 3), ("finish", 1), ("finish", 2), ("copy", 1)])
def test_a_run_that_is_killed_anywhere_ends_in_the_same_bytes(make, whole, tmp_path, monkeypatch, kill):
    """Killed behind the n-th checkpoint, before the n-th training is recorded, or before the adapter is copied."""
    what, count = kill
    places = {
        "save": (checkpoint, "save"),
        "finish": (__import__("cai_lite.training.folder", fromlist=["finish"]), "finish"),
        "copy": (module, "publish"),
    }
    owner, name = places[what]
    real, calls = getattr(owner, name), []

    def cut_off(*args, **kwargs):
        calls.append(args)
        if what == "save":
            real(*args, **kwargs)
        if len(calls) == count:
            raise KeyboardInterrupt
        return None if what == "save" else real(*args, **kwargs)

    monkeypatch.setattr(owner, name, cut_off)
    with pytest.raises(KeyboardInterrupt):
        walked(make(SFT, DPO), tmp_path / "cut")
    monkeypatch.setattr(owner, name, real)
    walked(make(SFT, DPO), tmp_path / "cut")
    assert same(tmp_path / "cut", whole)
    for phase in ("0-sft", "1-dpo"):
        assert same(tmp_path / "cut" / "phases" / phase, whole / "phases" / phase)
        assert [line["loss"] for line in lines(tmp_path / "cut" / "phases" / phase)] == [
            line["loss"] for line in lines(whole / "phases" / phase)
        ]


def test_another_first_phase_walks_the_second_anew_and_phase_1_takes_it_as_it_stands(make, again, whole):
    changed = make(SFT, DPO, settings=["train.0.learning_rate=0.001"])
    _, said = walked(changed, again, first=1)
    assert "phase 0-sft: taken as it stands" in said and "phase 1-dpo: trained already: 3 steps" in said
    assert same(again, whole)
    _, said = walked(changed, again)
    assert not same(again, whole)
    assert (again / "phases" / "0-sft" / "training.1").is_dir() and (again / "phases" / "1-dpo" / "training.1").is_dir()
    assert any("adapter is not the adapter of the last phase: replaced by it" in line for line in said)


def test_phases_before_the_one_named_have_to_be_finished_and_whole(make, again, tmp_path):
    recipe = make(SFT, DPO)
    with pytest.raises(InputError, match=r"--phase 1: .*0-sft holds no finished training; begin with --phase 0"):
        check_first(recipe, tmp_path / "new", 1)
    with pytest.raises(InputError, match=r"--phase 2: the recipe has the phases 0 \(sft\), 1 \(dpo\)"):
        check_first(recipe, again, 2)
    (again / "phases" / "0-sft" / "adapter" / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="is not as the training wrote it"):
        check_first(recipe, again, 1)


def test_other_phases_put_the_old_ones_aside(make, again):
    _, said = walked(make(SFT), again)
    assert (again / "phases.1" / "0-sft").is_dir() and (again / "phases.1" / "1-dpo").is_dir()
    assert not (again / "phases").exists() and (again / "training.json").is_file()
    assert any("the phases changed: 0-sft, 1-dpo moved to" in line for line in said)
    assert methods_of(again) == ["sft"]
    walked(make(SFT, DPO), again)
    assert methods_of(again) == ["sft", "dpo"]
    assert not (again / "training.json").exists() and (again / "training.2" / "training.json").is_file()


def test_a_preference_model_begins_from_the_student_and_is_not_handed_on(make, whole, tmp_path):
    """It begins from the adapter of SFT; DPO goes on with that adapter as if there had been no phase between."""
    model = f"{{method: preference_model, max_steps: 3, {QUICK}}}"
    adapter, said = walked(make(SFT, model, DPO), tmp_path / "run")
    phases = tmp_path / "run" / "phases"
    assert same(phases / "0-sft", whole / "phases" / "0-sft") and same(phases / "2-dpo", whole / "phases" / "1-dpo")
    assert same(adapter.parent, whole)
    assert (phases / "1-preference_model" / "adapter" / "temperature.json").is_file()
    assert methods_of(tmp_path / "run") == ["sft", "dpo"]
    _, said = walked(make(SFT, model, DPO), tmp_path / "run")
    assert (
        "phase 1-preference_model: trained already: 3 steps" in said and "phase 2-dpo: trained already: 3 steps" in said
    )
    assert student_before(make(SFT, model, DPO), tmp_path, 2) == tmp_path / "phases/0-sft/adapter"
    assert student_before(make(model, DPO), tmp_path, 1) is None
    last, _ = walked(make(SFT, DPO, model), tmp_path / "last")
    assert same(last.parent, whole), "a preference model at the end is not the run's adapter"


@pytest.mark.parametrize(
    ("phases", "problem"),
    [
        (["{method: preference_model}"], "trains a preference model and no student; add a phase"),
        (["{method: preference_model, on: revisions}", DPO], "takes 'on: verdicts', or nothing for the run's pairs"),
        (["{method: sft, on: verdicts}"], "'sft' takes another 'on' than 'verdicts'"),
        (["{method: preference_model, input: principle}", DPO], "'input: principle' takes 'on: verdicts'"),
    ],
)
def test_preference_models_and_sources_that_do_not_go_together_are_refused(make, phases, problem):
    with pytest.raises(InputError, match=problem):
        make(*phases)


def test_rounds_exclude_the_verdicts_of_all_rounds(make):
    with pytest.raises(InputError, match="excludes a training 'on: verdicts'"):
        make("{method: preference_model, on: verdicts}", DPO, settings=["rounds=2"])


def test_a_phase_without_anything_to_learn_stops_the_run(make, tmp_path):
    recipe = make(SFT, "{method: sft, on: revisions}")
    with pytest.raises(InputError, match=r"has no revisions\.jsonl"):
        material(recipe.phases[1], PAIRS, tmp_path, print, student="embedded:student")
    (tmp_path / "revisions.jsonl").write_text("")
    with pytest.raises((Stopped, InputError)):
        material(recipe.phases[1], PAIRS, tmp_path, print, student="embedded:student")


def test_an_adapter_that_the_run_would_replace_is_no_beginning(make, again):
    begun = f"{{method: sft, on: chosen, init_adapter: '{again / 'adapter'}'}}"
    with pytest.raises(InputError, match=r"train\.0\.init_adapter: .* is in the run directory"):
        walked(make(begun, DPO), again)


def test_status_audit_report_and_card_tell_of_every_phase(again, make):
    with Run(again) as run:
        run.count("pair", {"pairs": 6})
    write_manifest(again, "pairs.jsonl")
    found = status(again)
    assert found["phases"] == [
        {"phase": "0-sft", "done": True, "steps": 3},
        {"phase": "1-dpo", "done": True, "steps": 3},
    ]
    assert found["done"] == ["pair", "train"] and found["steps"] == 6
    shown = CliRunner().invoke(app, ["status", str(again)])
    assert "phase 1-dpo: done, 3 steps" in shown.output
    assert verify(again) == []
    with (again / "log.txt").open("a") as log:
        log.write("phase 1-dpo: step 2: warning: the margin is odd\n")
    page = report(again).read_text()
    assert page.count('id="training"') == 1 and 'href="#training"' in page
    sft, dpo = page.index("Training, phase 0-sft"), page.index("Training, phase 1-dpo")
    assert sft < dpo < page.index("step 2: the margin is odd")
    assert "log-probability of an answer" in page[sft:dpo] and "reward margin" in page[dpo:]
    model = again / "phases" / "0-sft" / "adapter" / "adapter_model.safetensors"
    model.write_bytes(b"other")
    assert any("phases/0-sft/adapter/adapter_model.safetensors" in line for line in verify(again))
    evaluation = {"against": "a", "constitution": "c", "judge": "j", "metrics": {}}
    assert "trained by supervised learning on demonstrations (SFT) made under the constitution, then by DPO on" in card(
        evaluation, methods_of(again)
    )
    assert "tags: [cai_lite, sft, dpo, constitutional-ai]" in card(evaluation, methods_of(again))
    assert "trained by DPO on preference pairs made under the constitution." in card(evaluation)


def test_a_phase_that_has_not_begun_is_seen(again):
    shutil.rmtree(again / "phases" / "1-dpo")
    (again / "phases" / "1-dpo").mkdir()
    Run(again).close()
    found = status(again)
    assert found["phases"][1] == {"phase": "1-dpo", "done": False, "steps": 0} and "train" in found["left"]


@pytest.mark.slow
def test_a_recipe_learns_its_revisions_and_then_its_pairs(tmp_path):
    """The whole walk; the rule of the pairs compares no revision, so these are made for the first phase alone."""
    sft = "{method: sft, on: revisions, include_critique: true, epochs: 2, batch_size: 4, lora: {rank: 2}}"
    small = ["prompts.limit=8", "prompts.eval_limit=8", "draft.n=2", "pair.min_margin=0.02"]
    settings = [*small, "evaluate.metrics=[adherence]", f"train=[{sft}, {{method: dpo, batch_size: 4}}]"]
    recipe = load_recipe("creative", settings, profile="embedded")
    out = tmp_path / "out"
    result = run_recipe(recipe, out, quiet=True)
    assert result["adapter"] == str(out / "adapter")
    assert load_recipe(out / "recipe.yaml").resolved() == recipe.resolved()
    with Run(out) as run:
        counts = run.counts()
    rows = [json.loads(line) for line in (out / "revisions.jsonl").read_text().splitlines()]
    assert len(rows) == counts["revisions to learn"]["kept"] > 0
    prompts = {json.dumps(row["prompt"]) for row in rows}
    assert prompts <= {json.dumps(dicts_of(prompt.messages)) for prompt in prompts_of(recipe).train}
    report = json.loads((out / "phases" / "0-sft" / "training.json").read_text())["report"]
    learnt = sum(1 + sum(turn["role"] == "assistant" for turn in row["steps"][1:]) for row in rows)
    assert report["kept"] + sum(report["dropped"].values()) == learnt
    assert verify(out) == []
    assert "supervised learning" in (out / "adapter" / "README.md").read_text()
    single = load_recipe("creative", [*small, "evaluate.metrics=[adherence]"], profile="embedded")
    run_recipe(single, tmp_path / "single", until="pair", quiet=True)
    assert (tmp_path / "single" / "pairs.jsonl").read_bytes() == (out / "pairs.jsonl").read_bytes()
    assert not (tmp_path / "single" / "revisions.jsonl").exists()
