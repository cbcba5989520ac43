"""Evaluation during a training: what is held out, which weights are kept, and exact resume with both."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from cai_lite.inputs.prompts import as_prompts
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.held_out import interval, split
from cai_lite.training.loop import train
from cai_lite.training.methods import METHODS
from cai_lite.training.reference import scored
from cai_lite.training.student import open_student
from cai_lite.training.tokens import tokenize
from cai_lite.training.update import Objective

BASE = {
    "learning_rate": 5e-3,
    "batch_size": 4,
    "lora": Lora(rank=2, dropout=0.1),
    "loss": Loss("dpo", 0.5),
    "epochs": 4,
}


def run(student, pairs, out, said=None, progress=None, held_out=None, **settings):
    log = (lambda _: None) if said is None else said.append
    config = TrainingConfig(**{**BASE, "checkpoint_every": 2, **settings})
    return train(student, pairs, config=config, out=out, held_out=held_out, log=log, progress=progress)


def lines(out):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def weights(out):
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def swapped(pairs):
    """Held-out pairs that want the opposite of the training pairs: their loss rises with every step."""
    return [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs[:4]]


@pytest.fixture(scope="module")
def best(student, pairs, swapped, tmp_path_factory):
    """An unbroken training that is measured every third step: its directory, and its result."""
    out = tmp_path_factory.mktemp("measured") / "whole"
    return out, run(student, pairs, out, held_out=swapped, eval_every=3)


def test_a_small_training_is_not_evaluated_and_a_long_one_ten_times():
    config = TrainingConfig(batch_size=4)
    assert interval(config, 396, given=False) == 0
    assert interval(config, 400, given=False) == 10
    assert interval(config, 40, given=True) == 1
    assert interval(replace(config, eval_every=7), 8, given=False) == 7
    assert interval(replace(config, eval_every=0), 4000, given=True) == 0


def test_a_tenth_of_the_families_is_held_out_and_no_prompt_is_on_both_sides(make_pair):
    pairs = [make_pair(f"q{i // 3}", f"yes{i}", "no") for i in range(120)]
    said = []
    kept, held = split(pairs, METHODS["dpo"], said.append)
    assert len(kept) + len(held) == 120
    assert len(held) == 12
    assert not {pair.prompt for pair in kept} & {pair.prompt for pair in held}
    assert "12 of 120 examples, those of 4 of 40 prompt families, are held out and not trained on" in said[0]
    again, _ = split(pairs[::-1], METHODS["dpo"], said.append)
    assert sorted(again, key=pairs.index) == kept  # whatever their order
    named = [replace(pair, family="one") for pair in pairs]
    assert split(named, METHODS["dpo"], said.append) == (named, [])
    assert "120 examples come from 1 prompt families, and at least 10 are needed" in said[-1]


def test_a_method_that_needs_more_families_gets_them_up_to_a_third():
    prompts = as_prompts([{"prompt": f"q{i}", "family": f"f{i // 2}"} for i in range(240)], "train")
    kept, held = split(prompts, METHODS["rl"], print)
    assert len({prompt.family for prompt in held}) == METHODS["rl"].held_out_families == 40
    assert not {prompt.family for prompt in kept} & {prompt.family for prompt in held}
    _, few = split(prompts[:60], METHODS["rl"], print)
    assert len({prompt.family for prompt in few}) == 10


def test_what_is_measured_is_what_an_update_of_these_rows_reports(student, pairs):
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2, dropout=0.5), init_adapter=None, seed=0)
    rows, _ = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    reference = scored(model, rows, Passes("plain", 999, 2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    config = TrainingConfig(loss=Loss("dpo", 0.5), sft_weight=0.3)
    model.train()
    found = Objective(model, rows, reference, config, Passes("plain", 99, 2)).measure()
    assert model.training
    expected = (
        Objective(model.eval(), rows, reference, config, Passes("plain", 9999, 2)).accumulate(range(len(rows))).numbers
    )
    assert found == pytest.approx(expected, rel=1e-4)
    assert found["rewards/margins"] != 0


def test_lines_hold_the_held_out_numbers_every_so_many_steps_and_at_the_end(student, pairs, make_pair, tmp_path):
    held_out = [make_pair("new", "yes", "no")]
    said = []
    result = run(student, pairs, tmp_path, said, held_out=held_out, eval_every=5)
    rows = lines(tmp_path)
    assert [row["step"] for row in rows if "eval/loss" in row] == [5, 10, 12]
    assert {"eval/loss", "eval/rewards/accuracies", "eval/rewards/margins"} <= set(rows[-1])
    assert rows[-1]["eval/loss"] < rows[4]["eval/loss"] < 0.6931
    assert result.best == 12
    assert result.last == pytest.approx({**rows[-1], "tokens_per_second": result.last["tokens_per_second"]})
    assert any(line.startswith("kept: the weights of step 12") for line in said)


def test_without_evaluation_the_result_is_that_of_a_training_that_knows_of_none(student, pairs, tmp_path, swapped):
    run(student, pairs, tmp_path / "none")
    run(student, pairs, tmp_path / "last", held_out=swapped, eval_every=2, keep="last")
    assert weights(tmp_path / "none") == weights(tmp_path / "last")


def test_the_best_weights_are_kept_and_not_the_last_ones(student, pairs, swapped, best, tmp_path):
    out, result = best
    losses = {row["step"]: row["eval/loss"] for row in lines(out) if "eval/loss" in row}
    assert result.best == min(losses, key=losses.get) == 3
    run(student, pairs, tmp_path / "last", held_out=swapped, eval_every=3, keep="last")
    assert weights(out) != weights(tmp_path / "last")
    # The learning rate is constant, so that the first steps of a longer training are those of a shorter one.
    for name, more in (("long", {"held_out": swapped, "eval_every": 3}), ("short", {"max_steps": 3})):
        run(student, pairs, tmp_path / name, scheduler="constant", **more)
    assert weights(tmp_path / "long") == weights(tmp_path / "short")
    assert not (out / "checkpoints").exists()


def test_early_stop_ends_a_training_that_no_longer_improves(student, pairs, swapped, tmp_path):
    said = []
    result = run(student, pairs, tmp_path, said, held_out=swapped, eval_every=1, early_stop=3)
    assert (result.best, result.steps) == (1, 4)
    assert len(lines(tmp_path)) == 4
    assert "stopped early at step 4 of 12: 3 evaluations without a lower loss" in said
    again = run(student, pairs, tmp_path, held_out=swapped, eval_every=1, early_stop=3)
    assert (again.best, again.steps, again.resumed_from) == (1, 4, 4)


class Killed(Exception):
    """Stands for a kill."""


def killed(student, pairs, out, step, **settings):
    def progress(done, total):
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        run(student, pairs, out, progress=progress, **settings)


@pytest.mark.parametrize("every", [1, 3])
def test_killed_and_resumed_it_keeps_the_same_best_weights(student, pairs, swapped, tmp_path, every):
    settings = {"held_out": swapped, "eval_every": every}
    whole = run(student, pairs, tmp_path / "whole", **settings)
    for step in (1, 5, 9):
        killed(student, pairs, tmp_path / "broken", step, **settings)
    result = run(student, pairs, tmp_path / "broken", **settings)
    assert (result.resumed_from, result.best) == (8, whole.best)
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_damaged_best_weights_belong_to_a_damaged_checkpoint(student, pairs, swapped, best, tmp_path, harm):
    settings = {"held_out": swapped, "eval_every": 3}
    killed(student, pairs, tmp_path / "out", 9, **settings)
    (file,) = (tmp_path / "out" / "checkpoints").glob("best-*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 0xFF
    file.unlink() if harm == "remove" else file.write_bytes(bytes(data))
    said = []
    result = run(student, pairs, tmp_path / "out", said, **settings)
    assert (result.resumed_from, result.best) == (0, 3)  # both checkpoints need the weights of step 3
    assert sum(f"warning: {file} is" in text for text in said) == 2
    assert weights(tmp_path / "out") == weights(best[0])


def test_each_checkpoint_keeps_the_best_weights_that_it_names(student, pairs, swapped, tmp_path):
    settings = {"held_out": pairs, "eval_every": 1}  # the loss falls with each step, so that each is the best
    run(student, pairs, tmp_path / "whole", **settings)
    killed(student, pairs, tmp_path / "out", 9, **settings)
    checkpoints = tmp_path / "out" / "checkpoints"
    assert sorted(path.name for path in checkpoints.glob("best-*"))[:2] == ["best-6.safetensors", "best-8.safetensors"]
    (checkpoints / "best-8.safetensors").write_bytes(b"")
    assert run(student, pairs, tmp_path / "out", **settings).resumed_from == 6
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_other_settings_of_the_evaluation_train_anew(student, pairs, swapped, tmp_path):
    run(student, pairs, tmp_path, held_out=swapped, eval_every=3)
    said = []
    assert run(student, pairs, tmp_path, said, held_out=swapped, eval_every=4).resumed_from == 0
    assert any("evaluation changed: training anew" in line for line in said)
    said.clear()
    assert run(student, pairs, tmp_path, said).resumed_from == 0
    assert any("evaluation changed: training anew" in line for line in said)


def test_pairs_are_split_off_where_none_are_given(student, make_pair, tmp_path):
    pairs = [make_pair(f"q{i}", "yes" * (1 + i % 3), "no") for i in range(20)]
    said = []
    result = run(student, pairs, tmp_path, said, eval_every=2, epochs=1)
    assert result.report.pairs == 18
    assert result.steps == 5
    assert any("2 of 20 examples" in line for line in said)
    assert "eval/loss" in lines(tmp_path)[-1]


def test_a_training_that_learnt_nothing_says_so_and_what_to_change(student, pairs, tmp_path):
    said = []
    run(student, pairs, tmp_path / "a", said, learning_rate=1e-7)
    (warning,) = [line for line in said if "learnt next to nothing" in line]
    assert "ln 2 = 0.693; raise train.learning_rate (now 1e-07) or train.epochs (now 4)" in warning
    said.clear()
    run(student, pairs, tmp_path / "b", said, learning_rate=2e-2)
    assert not any("learnt next to nothing" in line for line in said)


def test_the_random_state_of_the_caller_is_left_alone(student, pairs, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(student, pairs, tmp_path, max_steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_best_weights_on_disk_are_those_of_the_adapter(student, pairs, swapped, tmp_path):
    killed(student, pairs, tmp_path, 9, held_out=swapped, eval_every=3)
    (file,) = (tmp_path / "checkpoints").glob("best-3.safetensors")
    best = load_file(file)
    run(student, pairs, tmp_path, held_out=swapped, eval_every=3)
    written = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    for name, weight in best.items():
        assert torch.equal(written[name.replace(".default", "")], weight)
