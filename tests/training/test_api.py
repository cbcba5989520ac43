"""`cai.train` and `cai.evaluate`, as a user's own script calls them."""

import json

import pytest

import cai_lite as cai
from cai_lite.errors import InputError, PromptError
from cai_lite.records import Message

CONFIG = cai.TrainingConfig(max_steps=2, batch_size=2, learning_rate=1e-3)


@pytest.fixture
def pairs():
    def side(text):
        return (Message("assistant", text),)

    return [
        cai.PreferencePair(
            prompt=(Message("user", f"I have a headache {i}."),), chosen=side("See a doctor."), rejected=side("No.")
        )
        for i in range(2)
    ]


def test_train_takes_a_handle_and_a_run_and_resumes(pairs, tmp_path):
    student = cai.open_model("embedded:student")
    with cai.Run(tmp_path / "run") as run:
        adapter = cai.train(student, pairs, config=CONFIG, lora=cai.Lora(rank=2), run=run)
        first = (adapter / "adapter_model.safetensors").read_bytes()
        assert cai.train(student, pairs, config=CONFIG, lora=cai.Lora(rank=2), run=run) == adapter
    assert (adapter / "adapter_model.safetensors").read_bytes() == first


def test_train_prints_nothing_and_says_all_in_the_log_and_to_the_callback(pairs, tmp_path, capsys):
    said = []
    cai.train("embedded:student", pairs, config=CONFIG, lora=cai.Lora(rank=2), out=tmp_path / "out", log=said.append)
    assert capsys.readouterr() == ("", "")
    logged = (tmp_path / "out" / "log.txt").read_text().splitlines()
    assert [line[20:] for line in logged] == [line for text in said for line in text.splitlines()]  # without times
    assert any("2 pairs: 2 kept" in line for line in said)


def test_train_evaluates_on_pairs_that_are_given(pairs, tmp_path):
    adapter = cai.train(
        "embedded:student", pairs, config=CONFIG, lora=cai.Lora(rank=2), out=tmp_path / "out", held_out=pairs
    )
    lines = (adapter.parent / "metrics.jsonl").read_text().splitlines()
    assert all("eval/loss" in line for line in lines)


def test_evaluate_measures_an_adapter_without_any_recipe(pairs, tmp_path):
    adapter = cai.train("embedded:student", pairs, config=CONFIG, lora=cai.Lora(rank=2), out=tmp_path / "out")
    prompts = [
        cai.Prompt(key=f"p{i}", messages=(Message("user", f"I have a headache {i}."),), family=f"f{i}")
        for i in range(3)
    ]
    found = cai.evaluate(
        adapter,
        against=cai.open_model("embedded:student"),
        constitution=cai.load_constitution("medical-embedded"),
        judge=cai.open_model("embedded:teacher"),
        prompts=prompts,
        sampling=cai.Sampling(max_tokens=24),
    )
    assert found["judge"] == "embedded:teacher"
    assert found["metrics"]["adherence"]["overall"]["change"]["n"] > 0
    assert "preference_accuracy" not in found["metrics"]  # no held-out pairs were given, so nothing was measured


def test_train_asks_where_to(pairs, tmp_path):
    with pytest.raises(InputError, match="where to"):
        cai.train("embedded:student", pairs)
    with pytest.raises(InputError, match="where to"):
        cai.train("embedded:student", pairs, run=tmp_path, out=tmp_path)


def test_every_form_of_pairs_loss_and_run_gives_the_same_adapter(pairs, tmp_path, capsys):
    datasets = pytest.importorskip("datasets")
    cai.save_pairs(tmp_path / "pairs.jsonl", pairs)
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    forms = [
        (pairs, {"loss": cai.Loss("dpo"), "lora": cai.Lora(rank=2), "out": tmp_path / "0"}),
        (rows, {"loss": "dpo", "lora": 2, "run": str(tmp_path / "1")}),
        (tmp_path / "pairs.jsonl", {"lora": 2, "run": tmp_path / "2"}),
        (cai.to_dataset(pairs), {"lora": 2, "out": str(tmp_path / "3")}),
        (datasets.DatasetDict(train=cai.to_dataset(pairs)), {"lora": 2, "out": tmp_path / "4"}),
    ]
    seen = []
    for given, more in forms:
        adapter = cai.train("embedded:student", given, config=CONFIG, **more)
        seen.append((adapter / "adapter_model.safetensors").read_bytes())
    assert len(set(seen)) == 1
    assert capsys.readouterr().out == ""  # what is said goes to log.txt
    assert "2 pairs" in (tmp_path / "1" / "log.txt").read_text()
    assert "adapter/adapter_config.json" in json.loads((tmp_path / "1" / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("student", "given", "more", "says"),
    [
        (7, None, {}, "a model should be a model folder, .*, got 7"),
        ("http://localhost:1/v1#big", None, {}, "big is a model on a server; the student is trained here"),
        ("embedded:student", 3, {}, "pairs should be PreferencePairs or rows .*; got 3"),
        ("embedded:student", {"chosen": "a"}, {}, "a single row; give a list of rows"),
        ("embedded:student", ["x" * 12000], {}, "should be an object with 'chosen' and 'rejected', got str"),
        ("embedded:student", None, {"loss": 0.1}, "'loss' should be a Loss or the name of one, such as 'dpo', got 0.1"),
        ("embedded:student", None, {"loss": "dpoo"}, "did you mean 'dpo'"),
        ("embedded:student", None, {"lora": "16"}, "'lora' should be a Lora or a rank, such as 16, got '16'"),
        ("embedded:student", None, {"config": {"epochs": 2}}, "'config' should be a TrainingConfig, got {'epochs': 2}"),
        ("embedded:student", None, {"tokenizer": "gpt2"}, "'tokenizer' belongs to a loaded transformers model"),
    ],
)
def test_anything_else_is_refused_in_words(pairs, tmp_path, student, given, more, says):
    with pytest.raises(InputError, match=says) as caught:
        cai.train(student, pairs if given is None else given, out=tmp_path / "out", **more)
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "out").exists()


def test_a_run_of_a_wrong_kind_is_refused(pairs):
    with pytest.raises(InputError, match="'run' should be a Run or a directory, got 3"):
        cai.train("embedded:student", pairs, run=3)


def test_a_student_with_an_adapter_is_refused_with_the_way_to_go_on(pairs, tmp_path):
    adapter = cai.train("embedded:student", pairs, config=CONFIG, lora=2, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"has an adapter already.*init_adapter=FOLDER"):
        cai.train(f"embedded:student#{adapter}", pairs, out=tmp_path / "again")


def test_evaluate_without_prompts_says_what_to_do(tmp_path):
    with pytest.raises(PromptError, match=r"prompts\.held_out"):
        cai.evaluate(
            tmp_path,
            against=cai.open_model("embedded:student"),
            constitution=cai.load_constitution("medical-embedded"),
            judge=cai.open_model("embedded:teacher"),
            prompts=[],
        )
