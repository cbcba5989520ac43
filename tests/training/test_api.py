"""`cai.train` and `cai.evaluate`, as a user's own script calls them."""

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
    assert (tmp_path / "out" / "log.txt").read_text().splitlines() == said
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
        constitution=cai.load_constitution("medical"),
        judge=cai.open_model("embedded:teacher"),
        prompts=prompts,
        sampling=cai.Sampling(max_tokens=24),
    )
    assert found["judge"] == "embedded:teacher"
    assert found["metrics"]["adherence"]["overall"]["change"]["n"] > 0
    assert "preference_accuracy" not in found["metrics"]  # no held-out pairs were given, so nothing was measured


def test_train_asks_where_to(pairs):
    with pytest.raises(InputError, match="where to"):
        cai.train("embedded:student", pairs)


def test_evaluate_without_prompts_says_what_to_do(tmp_path):
    with pytest.raises(PromptError, match=r"prompts\.held_out"):
        cai.evaluate(
            tmp_path,
            against=cai.open_model("embedded:student"),
            constitution=cai.load_constitution("medical"),
            judge=cai.open_model("embedded:teacher"),
            prompts=[],
        )
