"""What a run needs later is asked for before anything is paid."""

import json
import shutil
from types import SimpleNamespace

import pytest
from rich.console import Console

from cai_lite.chat.weights import resolve
from cai_lite.errors import InputError
from cai_lite.pipeline.ready import calls_needed, forecast_of, preflight_folder, show_plan
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.walk import check_recipe, prompts_of, run_recipe


def recipe(*settings, file="medical", profile="embedded"):
    return load_recipe(file, settings, profile=profile)


# 2 drafts, each with 2 critiques and 2 rounds of revision; for revisions 6 texts and for the best and worst 2 texts are
# scored under 6 principles.
PER_PROMPT = 2 * (1 + 2 + 2) + (6 + 2) * 6


def refused(found, out, message):
    """Both the dry run and the run itself refuse, and neither writes anything."""
    for check in (lambda: check_recipe(found, out), lambda: run_recipe(found, out, quiet=True)):
        with pytest.raises(InputError, match=message):
            check()
    assert not out.exists()


def test_prompts_of_which_none_is_held_out_are_refused_with_the_mend(tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{i} hurts"}) + "\n" for i in range(9)))
    found = recipe(f"prompts.file={prompts}", "prompts.held_out=0.0")
    refused(found, tmp_path / "run", r"no held-out prompts.*set prompts\.held_out: 0\.2 \(it is 0, of")


def test_a_copy_of_a_packaged_recipe_with_prompts_of_ones_own_holds_some_out(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://localhost:1/v1")
    for name in ("medical", "customer-service", "creative", "helpful-honest"):
        text = (repository / "recipes" / f"{name}.yaml").read_text()
        (tmp_path / "copy.yaml").write_text(text.replace(f"prompts/{name}.jsonl", "mine.jsonl"))
        words = ["fever", "cough", "rash", "burn", "sprain", "migraine", "nausea", "vertigo", "insomnia", "anaemia"]
        rows = [{"prompt": f"{word} since {day}"} for word in words for day in range(10)]
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = prompts_of(recipe(file=tmp_path / "copy.yaml", profile=None))
        assert found.held_out and found.train


@pytest.mark.parametrize("name", ["medical", "customer-service", "creative", "helpful-honest"])
def test_packaged_prompts_name_the_split_of_every_line(repository, name):
    for file in (repository / "recipes" / "prompts").glob(f"{name}*.jsonl"):
        assert all("split" in json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()), file


def test_a_student_without_a_chat_template_is_refused(tmp_path):
    folder = tmp_path / "plain"
    shutil.copytree(resolve("embedded:student"), folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    refused(recipe(f"student.model={folder}"), tmp_path / "run", "no chat template; give an instruct model")


def test_a_student_whose_tokenizer_is_missing_is_refused(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(f"{resolve('embedded:student')}/config.json", folder)
    refused(
        recipe(f"student.model={folder}"),
        tmp_path / "run",
        r"bare: (cannot be opened|its tokenizer has no chat template)",  # by the version of transformers
    )


def test_a_reason_that_the_judge_cannot_give_is_refused(tmp_path):
    settings = ["judge.mode=pairwise", "judge.reason=after"]
    refused(recipe(*settings), tmp_path / "run", "which has no reasons; set it to 'none'")


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cai_lite.pipeline.ready.shutil.disk_usage", lambda _: SimpleNamespace(free=2e8))
    refused(recipe(), tmp_path / "run", r"only 0\.20 GB are free")


def test_the_plan_ends_with_what_to_do_next(tmp_path):
    plan = check_recipe(recipe("prompts.limit=20", "prompts.eval_limit=10"), tmp_path / "run")
    console = Console(record=True, width=100)
    show_plan(plan, ["cai-lite preflight x", "cai-lite run x"], console)
    shown = console.export_text().rstrip().splitlines()
    assert shown[-3].startswith("ready: 30 prompts (20 for training, 10 held out), about 1,780 calls")
    assert [line.split()[-1] for line in shown[-2:]] == ["x", "x"] and shown[-2].startswith("next: cai-lite preflight")


def test_the_calls_follow_from_the_recipe():
    found = recipe("prompts.limit=20", "prompts.eval_limit=10")
    # The oracle, not a judge, scores the answers.
    expected = {"training pairs": 20 * PER_PROMPT, "held-out pairs": 10 * PER_PROMPT, "answers": (2 + 2) * 10}
    assert calls_needed(found, prompts_of(found)) == expected  # two sides, and two baselines
    judged = recipe("prompts.limit=20", "prompts.eval_limit=10", "evaluate.oracle=null", "evaluate.metrics=[adherence]")
    assert calls_needed(judged, prompts_of(judged))["judging the answers"] == (2 + 2) * 10 * 6


def test_a_forecast_counts_only_for_the_same_models(tmp_path):
    roles = open_roles(recipe())
    folder = preflight_folder(tmp_path / "run", "medical")
    folder.mkdir()
    forecast = {"tokens": 5, "cost": 1.5, "hours": 2.0}
    (folder / "preflight.json").write_text(json.dumps({"digests": roles.digests(), "forecast": forecast}))
    assert forecast_of(roles, tmp_path / "run", "medical") == forecast
    plan = check_recipe(recipe(), tmp_path / "run")
    assert plan.headline.endswith("making the pairs takes about 5 tokens, cost 1.50, 2.0 h")
    other = open_roles(recipe("judge.by={model: 'embedded:student'}"))
    assert forecast_of(other, tmp_path / "run", "medical") is None


def test_the_calls_of_all_rounds_are_counted():
    found = recipe("prompts.limit=20", "prompts.eval_limit=10", "rounds=3")
    expected = {"training pairs": 3 * 20 * PER_PROMPT, "held-out pairs": 10 * PER_PROMPT, "answers": (4 + 2) * 10}
    assert calls_needed(found, prompts_of(found)) == {**expected, "judging what still fails": 2 * 20 * 6}


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("train.principle_weights={kind-tome: 2.0}", "train.principle_weights"),
        ("steer.groups={a: [kind-tome]}", "steer.groups.a"),
    ],
)
def test_principles_that_the_constitution_lacks_are_named_before_anything_is_asked(setting, place, tmp_path):
    recipe = load_recipe("medical", [setting], profile="embedded")
    with pytest.raises(
        InputError, match=rf"{place}: the constitution 'medical' has no principle 'kind-tome'; did you mean 'kind-tone'"
    ):
        check_recipe(recipe, tmp_path / "run")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A preference model, as MODEL#ADAPTER_FOLDER."""
    from cai_lite.records import Message, Rating
    from cai_lite.training.config import Lora, TrainingConfig
    from cai_lite.training.loop import train

    answers = tuple((Message("assistant", text),) for text in ("Yes.", "No."))
    rating = Rating(prompt=(Message("user", "Hi"),), completions=answers, p=1.0, key="k")
    config = TrainingConfig(method="preference_model", max_steps=1, lora=Lora(rank=2), eval_every=0)
    out = tmp_path_factory.mktemp("scorer")
    return f"embedded:student#{train('embedded:student', [rating], config=config, out=out).adapter}"


def test_a_preference_model_judges_and_chooses_but_neither_teaches_nor_writes(scorer, tmp_path):
    found = recipe(f"judge={{mode: pairwise, by: {{model: '{scorer}'}}}}", f"draft={{best_of: 4, by: '{scorer}'}}")
    plan = check_recipe(found, tmp_path / "run")
    assert "adapter" in plan.models["judge"] and not plan.paid
    refused(recipe(f"teacher.model={scorer}"), tmp_path / "run", "scores answers and writes none; name a chat model as")
    refused(recipe("draft={best_of: 4, by: 'embedded:teacher'}"), tmp_path / "run", "is no preference model")
    judged = recipe(f"judge={{mode: pointwise, by: {{model: '{scorer}'}}}}", "evaluate.refusals=judge")
    refused(judged, tmp_path / "run", "only scores answers; set 'rules'")
