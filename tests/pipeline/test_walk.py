"""The whole walk on the embedded models, small; then the same directory again."""

import json
import shutil
import subprocess
import sys

import pytest

from cai_lite.chat import weights
from cai_lite.chat.local import LocalModel
from cai_lite.errors import CaiError, InputError, RunBusyError, Stopped
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import check_recipe, prompts_of, resolved_text, run_recipe
from cai_lite.run.ledger import Run
from tests.conftest import completion

SMALL = [
    "prompts.limit=8",
    "prompts.eval_limit=8",
    "draft.n=2",
    "train.epochs=2",
    "train.batch_size=4",
    "pair.min_margin=0.02",
]


def recipe(*more):
    return load_recipe("creative", [*SMALL, *more], profile="embedded")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "first"
    return out, run_recipe(recipe(), out, quiet=True)


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """The same run in another directory, and the weights that it opened: each model, and whether with an adapter."""
    opened, open_weights = [], weights.open_weights

    def counted(model, **how):
        opened.append((model, how.get("adapter") is not None))
        return open_weights(model, **how)

    out = tmp_path_factory.mktemp("run") / "second"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cai_lite.chat.local.open_weights", counted)
        patch.setattr("cai_lite.training.student.open_weights", counted)
        run_recipe(recipe(), out, quiet=True)
    return out, opened


@pytest.fixture
def again(finished, tmp_path):
    """A copy of the finished run."""
    shutil.copytree(finished[0], tmp_path / "again")
    return tmp_path / "again"


def no_model(monkeypatch):
    def refuse(self):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(LocalModel, "opened", refuse)


def test_a_run_leaves_what_the_contract_names(finished):
    out, _ = finished
    for name in ("run.db", "recipe.yaml", "pairs.jsonl", "metrics.jsonl", "evaluation.json", "report.html", "log.txt"):
        assert (out / name).is_file(), name
    for name in (
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
    ):
        assert (out / "adapter" / name).is_file(), name


def test_the_resolved_recipe_reads_back_the_same(finished):
    again = load_recipe(finished[0] / "recipe.yaml")
    assert again.resolved() == recipe().resolved()


def test_every_pair_walks_back_to_its_prompt(finished):
    out, _ = finished
    pairs = load_pairs(out / "pairs.jsonl")
    assert pairs
    with Run(out) as run:
        for pair in pairs:
            todo, kinds = list(pair.parents), set()
            while todo:
                kind, parents, _ = run.row(todo.pop())
                kinds.add(kind)
                todo += parents
            assert {"prompt", "candidate", "verdict"} <= kinds


def test_the_evaluation_has_the_contract_shape(finished):
    held = json.loads((finished[0] / "evaluation.json").read_text())
    assert held["format"] == 1 and held["constitution"] == "creative"
    for comparison in [held["metrics"]["adherence"]["overall"], *held["metrics"]["adherence"]["principles"].values()]:
        for figure in comparison.values():
            assert set(figure) == {"value", "n", "low", "high"} and figure["low"] <= figure["value"] <= figure["high"]
    assert {"well_formed", "perplexity", "words"} <= set(held["metrics"])


def test_a_finished_run_asks_no_model_again(again, finished, monkeypatch):
    no_model(monkeypatch)
    before = (again / "adapter" / "adapter_model.safetensors").read_bytes()
    result = run_recipe(recipe(), again, quiet=True)
    assert result["evaluation"] == finished[1]["evaluation"]
    assert (again / "adapter" / "adapter_model.safetensors").read_bytes() == before


def test_the_same_seed_gives_the_same_bytes(finished, second):
    for name in ("pairs.jsonl", "evaluation.json", "adapter/adapter_model.safetensors"):
        assert (second[0] / name).read_bytes() == (finished[0] / name).read_bytes(), name


def test_a_run_cut_off_between_two_batches_ends_like_an_unbroken_one(finished, tmp_path, monkeypatch):
    """Cut off twice: among the first drafts, and later on. Nothing is asked twice."""
    keep, kept, asked = Run.keep_replies, [], []

    def noted(self, *args):
        if len(kept) in ends:
            ends.remove(len(kept))
            raise KeyboardInterrupt
        kept.append(args)
        asked.extend(args[2])
        keep(self, *args)

    ends = [1, 5]
    monkeypatch.setattr(Run, "keep_replies", noted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe(), tmp_path / "cut", quiet=True)
    run_recipe(recipe(), tmp_path / "cut", quiet=True)
    assert ends == [] and len(asked) == len(set(asked))
    for name in ("pairs.jsonl", "evaluation.json", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (finished[0] / name).read_bytes(), name


def test_what_is_measured_is_held_out_and_was_never_trained_on(again, monkeypatch):
    measured = {}

    def note(*_, **given):
        measured.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr("cai_lite.pipeline.steps.evaluate", note)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe(), again, quiet=True)
    prompts = prompts_of(recipe())
    assert list(measured["prompts"]) == list(prompts.held_out)
    assert {prompt.key for prompt in measured["seen"]} <= {prompt.key for prompt in prompts.train}
    held_out = {prompt.messages for prompt in prompts.held_out}
    assert held_out.isdisjoint(pair.prompt for pair in measured["pairs"])
    assert held_out.issuperset(pair.prompt for pair in measured["held_out_pairs"])
    families = {prompt.family for prompt in prompts.held_out}
    assert families.isdisjoint(pair.family for pair in measured["pairs"])


def test_another_loss_asks_the_teacher_for_no_pair_again(again, monkeypatch):
    with Run(again) as run:
        before = {call["stage"]: call["calls"] for call in run.calls()}
    run_recipe(recipe("train.loss.beta=0.5"), again, quiet=True)
    with Run(again) as run:
        after = {call["stage"]: call["calls"] for call in run.calls()}
    changed = {stage for stage in after if after[stage] != before.get(stage)}
    assert not {stage for stage in changed if "draft" in stage or stage.endswith("judge")}
    assert changed
    assert (again / "recipe.1.yaml").exists() and (again / "evaluation.1.json").exists()


def test_pairs_stops_at_the_pairs(tmp_path):
    result = run_recipe(recipe(), tmp_path / "p", until="pair", quiet=True)
    assert result["pairs"] == len(load_pairs(tmp_path / "p" / "pairs.jsonl"))
    assert not (tmp_path / "p" / "adapter").exists()


def test_a_second_process_in_the_same_directory_is_told_so(again):
    code = f"from cai_lite.run.ledger import Run; r = Run({str(again)!r}); print('open', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(RunBusyError, match="wait until it ends"):
            run_recipe(recipe(), again, quiet=True)
    finally:
        other.communicate("\n")


def test_a_dry_run_reads_everything_and_writes_nothing(tmp_path, monkeypatch):
    no_model(monkeypatch)
    monkeypatch.chdir(tmp_path)
    plan = check_recipe(recipe(), tmp_path / "out")
    assert plan.models["teacher"] == "embedded:teacher" and plan.headline.startswith("ready: 16 prompts")
    assert "# constitution creative" in resolved_text(recipe())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("adherence.no-clihce", "did you mean 'no-cliche'"),
        ("unsafe_compliance", "no prompt has the tag 'unsafe'"),
        ("adherence.splits.nowhere", "has no figure"),
    ],
)
def test_a_gate_that_cannot_be_measured_is_refused_before_anything_is_asked(tmp_path, monkeypatch, gate, message):
    no_model(monkeypatch)
    wrong = recipe(f'evaluate.must={{{gate}: ">= 0.5"}}')
    with pytest.raises(InputError, match=message):
        check_recipe(wrong, tmp_path / "out")
    with pytest.raises(InputError, match=message):
        run_recipe(wrong, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_foreign_principle_under_the_embedded_teacher_gets_a_plain_warning(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nprinciples:\n  - {id: new-one, text: Speak of cats only.}\n")
    assert "was not trained for new-one" in str(check_recipe(recipe(f"constitution={path}"), tmp_path / "out").warnings)


def test_the_student_is_opened_once_for_all_drafts_once_to_train_and_once_to_evaluate(second):
    assert [adapted for model, adapted in second[1] if model == "embedded:student"] == [False, False, True]


def test_a_server_of_the_students_weights_drafts_and_answers(tmp_path, server):
    """Whoever is trained, the drafts and both sides' answers come from the server, the adapter's under its own name."""
    server.reply = lambda body: (200, {}, completion(f"{body['model']} {body.get('seed')} see a doctor"))
    settings = [f"student.url={server.url}", "student.served=base", "student.adapter_name=mine"]
    run_recipe(recipe(*settings, "pair.min_margin=0.0", "evaluate.metrics=[adherence]"), tmp_path / "out", quiet=True)
    assert {body["model"] for body in server.bodies} == {"base", "mine"}
    with Run(tmp_path / "out") as run:
        by_stage = {call["stage"]: call["model"] for call in run.calls()}
    assert by_stage["draft"] == by_stage["answers before"] == "base" and by_stage["answers after"] == "mine"
    assert "serve" in (tmp_path / "out" / "log.txt").read_text()


def test_a_run_that_costs_says_that_no_preflight_was_run(tmp_path, server):
    server.reply = lambda body: (401, {}, {"error": {"message": "no key"}})
    paid = recipe(f"teacher={{url: '{server.url}', model: big}}", "draft.from=student")
    with pytest.raises(CaiError):
        run_recipe(paid, tmp_path / "out", until="pair", quiet=True)
    assert "no preflight was run with these models" in (tmp_path / "out" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (402, {}, {"message": "your credit is used up"}),
        (429, {"retry-after": "3600"}, {"message": "too many requests"}),
        (429, {}, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    ],
)
def test_a_teacher_that_runs_out_stops_the_run_before_training_and_the_same_command_goes_on(
    tmp_path, server, status, headers, error
):
    asked, credit = [], [15]

    def reply(body):
        if len(asked) >= credit[0]:
            return status, headers, {"error": error}
        text = body["messages"][-1]["content"]
        asked.append(json.dumps(body["messages"]))
        return 200, {}, completion("A" if "Reply A" in text else "yes, it does")

    server.reply = reply
    settings = [f"teacher={{url: '{server.url}', model: big, concurrency: 1}}", "judge.log_probs=never"]
    with pytest.raises(Stopped, match=r"15 of .* calls are answered and kept"):
        run_recipe(recipe(*settings), tmp_path / "out", until="pair", quiet=True)
    assert not (tmp_path / "out" / "pairs.jsonl").exists() and not (tmp_path / "out" / "adapter").exists()
    credit[0] = 10_000
    run_recipe(recipe(*settings), tmp_path / "out", until="pair", quiet=True)
    assert (tmp_path / "out" / "pairs.jsonl").is_file()
    assert len(asked) == len(set(asked))  # nothing is paid for twice
