"""`train` as a whole on a tiny model: the same result by other ways, and what is said when it goes wrong."""

from __future__ import annotations

import json
import math

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_scheduler

from cai_lite.chat.weights import quiet_peft
from cai_lite.errors import InputError, ModelError, TrainingError
from cai_lite.training import folder, loop
from cai_lite.training.alarms import Alarms
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.optim import learning_rates
from cai_lite.training.reference import scored
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import tokenize
from cai_lite.training.update import Objective

BASE = {"learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2), "loss": Loss("dpo", 0.5)}


def config(**more):
    return TrainingConfig(**{**BASE, **more})


def run(student, pairs, out, log=lambda _: None, progress=None, load=None, **settings):
    return train(student, pairs, config=config(**settings), out=out, log=log, progress=progress, load=load)


def lines(out):
    """metrics.jsonl without what the clock decides."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def adapter(out):
    return load_file(out / "adapter" / "adapter_model.safetensors")


def assert_same(one, other, atol=0.0):
    assert set(one) == set(other)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


@pytest.mark.parametrize("limit", [0.01, 0.0])
def test_a_step_is_as_long_as_the_clipped_gradient(student, pairs, tmp_path, limit):
    """Plain gradient descent moves the weights by learning rate times gradient, whose norm is at most the limit."""
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "scheduler": "constant", "max_steps": 1}
    model, _ = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    before = {name: parameter.detach().clone() for name, parameter in lora_parameters(model).items()}
    run(student, pairs, tmp_path, max_grad_norm=limit, **settings)
    (line,) = lines(tmp_path)
    after = adapter(tmp_path)
    moved = sum(float(((after[n.replace(".default", "")] - old) ** 2).sum()) for n, old in before.items()) ** 0.5
    assert line["grad_norm"] > 0.1  # before clipping
    assert moved == pytest.approx(limit or line["grad_norm"], rel=1e-3)


def test_a_line_a_step_with_the_numbers_that_others_log(student, pairs, tmp_path):
    result = run(student, pairs, tmp_path, epochs=2)
    rows = lines(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    wanted = {"loss", "grad_norm", "learning_rate", "logps/chosen", "logps/rejected"}
    wanted |= {f"rewards/{what}" for what in ("chosen", "rejected", "accuracies", "margins")}
    assert wanted <= set(rows[0])
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert rows[-1]["rewards/margins"] > rows[0]["rewards/margins"]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-4)
    for row in rows:  # the mean log-ratio of both sides, without beta
        told = -(row["rewards/chosen"] + row["rewards/rejected"]) / (2 * config().loss.beta)
        assert row["kl"] == pytest.approx(told, abs=1e-4)
    assert (result.steps, result.resumed_from, result.report.kept) == (6, 0, 12)
    assert not (tmp_path / "checkpoints").exists()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_adapter(student, pairs, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(student, pairs, tmp_path / name, seed=seed, lora=Lora(rank=2, dropout=0.2))
    files = [(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]
    assert lines(tmp_path / "a") == lines(tmp_path / "b")


@pytest.mark.parametrize("settings", [{}, {"sft_weight": 0.7}, {"loss": Loss("simpo", 2.0)}])
def test_how_an_update_is_cut_into_passes_does_not_change_it(student, pairs, tmp_path, settings):
    for name, more in (
        ("whole", {}),
        ("ones", {"gradient_accumulation": 8}),
        ("budget", {"tokens_per_batch": 90}),
        ("checkpointed", {"activation_checkpointing": True}),
    ):
        run(student, pairs, tmp_path / name, batch_size=8, optimizer="sgd", learning_rate=0.5, **settings, **more)
        for found, expected in zip(lines(tmp_path / name), lines(tmp_path / "whole"), strict=True):
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert_same(adapter(tmp_path / name), adapter(tmp_path / "whole"), atol=1e-5)


def test_the_gradient_is_that_of_the_loss_and_the_sft_term_written_out(student, pairs):
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    rows, _ = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    with model.disable_adapter():
        reference = scored(model, rows, Passes("plain", 999, 2))
    settings, batch = config(sft_weight=0.7), [5, 0, 3]
    line = Objective(model, rows, reference, settings, Passes("plain", 8192, 2)).accumulate(batch).numbers
    found = {name: p.grad.clone() for name, p in lora_parameters(model).items()}

    def total(row, completion):
        ids = torch.tensor([row.prompt_ids + completion])
        log_probs = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        return log_probs[len(row.prompt_ids) - 1 :].sum()

    model.zero_grad()
    chosen = torch.stack([total(rows[i], rows[i].completions[0]) for i in batch])
    rejected = torch.stack([total(rows[i], rows[i].completions[1]) for i in batch])
    margin = (chosen - reference.sums_BK[batch, 0]) - (rejected - reference.sums_BK[batch, 1])
    nll = -chosen.sum() / sum(len(rows[i].completions[0]) for i in batch)
    loss = -torch.nn.functional.logsigmoid(0.5 * margin).mean() + 0.7 * nll
    loss.backward()
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert line["rewards/margins"] == pytest.approx(0.5 * margin.mean().item(), rel=1e-4)
    assert line["rewards/accuracies"] == pytest.approx((margin > 0).float().mean().item())
    for name, parameter in lora_parameters(model).items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_the_reference_pass_and_the_steps_report_their_progress(student, pairs, tmp_path):
    settings, seen, steps = config(tokens_per_batch=60), [], []
    for _ in range(2):  # the second time, the reference is read from its file
        train(
            student,
            pairs,
            config=settings,
            out=tmp_path,
            progress=lambda *at: steps.append(at),
            reference_progress=lambda *at: seen.append(at),
        )
        (tmp_path / "training.json").unlink()
    assert len(seen) > 2
    assert seen[-2:] == [(12, 12), (12, 12)]
    assert steps == [(1, 3), (2, 3), (3, 3)] * 2


def test_soft_labels_are_weighed(student, make_pair, tmp_path):
    even = [make_pair(f"q{i}", "yes", "no", p_chosen=0.5) for i in range(4)]
    run(student, even, tmp_path, max_steps=5)
    assert abs(lines(tmp_path)[-1]["rewards/margins"]) < 0.02


def test_a_loss_that_knows_no_soft_labels_says_so(student, make_pair, tmp_path):
    said = []
    run(student, [make_pair("q", "yes", "no", p_chosen=0.8)], tmp_path, log=said.append, loss=Loss("ipo", 0.5))
    assert any("p_chosen is not used" in text for text in said)


@pytest.mark.parametrize("scheduler", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_learning_rates_are_those_of_transformers(scheduler, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    name = "constant_with_warmup" if scheduler == "constant" else scheduler
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=10)
    ours = learning_rates(0.1, scheduler, warmup=warmup, total=10)
    for step in range(1, 11):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_the_adapter_on_disk_is_the_trained_model(student, pairs, tmp_path, monkeypatch):
    kept = {}
    save = folder.save_adapter
    monkeypatch.setattr(
        folder, "save_adapter", lambda model, *rest, **how: kept.update(model=model) or save(model, *rest, **how)
    )
    run(student, pairs, tmp_path)
    with quiet_peft():
        read = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(student), tmp_path / "adapter").eval()
    _, tokenizer = open_student(student, load=None, lora=Lora(), init_adapter=None, seed=0)
    rows, _ = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    found, expected = (scored(model, rows, Passes("plain", 999, 2)) for model in (read, kept["model"]))
    assert torch.equal(found.sums_BK, expected.sums_BK)
    with read.disable_adapter():
        assert not torch.allclose(scored(read, rows, Passes("plain", 999, 2)).sums_BK, found.sums_BK)


def test_a_training_begins_from_an_adapter_that_is_there(student, pairs, tmp_path):
    run(student, pairs, tmp_path / "first", max_steps=4)
    first = str(tmp_path / "first" / "adapter")
    run(student, pairs, tmp_path / "then", max_steps=1, init_adapter=first, reference="base")
    assert lines(tmp_path / "then")[0]["rewards/margins"] > 0.001  # the reference is the model without it
    assert_same(adapter(tmp_path / "then"), adapter(tmp_path / "first"), atol=0.02)


def test_no_gradient_is_left_over_for_the_next_step(student, pairs, tmp_path):
    """Two steps of plain gradient descent on the same rows are one step, and one more from where it led."""
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "scheduler": "constant", "max_grad_norm": 0.0}
    settings |= {"shuffle": False, "batch_size": len(pairs), "reference": "base"}
    run(student, pairs, tmp_path / "both", max_steps=2, **settings)
    run(student, pairs, tmp_path / "first", max_steps=1, **settings)
    first = str(tmp_path / "first" / "adapter")
    run(student, pairs, tmp_path / "second", max_steps=1, init_adapter=first, **settings)
    assert_same(adapter(tmp_path / "second"), adapter(tmp_path / "both"), atol=1e-6)


def test_a_quantised_student_is_trained_and_its_adapter_read_again(make_student, pairs, tmp_path):
    wide = make_student(tmp_path / "wide", hidden_size=64, intermediate_size=64)
    run(wide, pairs, tmp_path / "out", load="nf4", max_steps=3, activation_checkpointing=True)
    rows = lines(tmp_path / "out")
    assert rows[0]["rewards/margins"] == pytest.approx(0, abs=0.02)
    assert rows[-1]["loss"] < rows[0]["loss"]
    with quiet_peft():
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(wide), tmp_path / "out" / "adapter")


def test_quantised_gradients_are_those_of_the_same_weights_written_out(make_student, pairs, tmp_path):
    """Also after a pass in evaluation mode, where bitsandbytes may repack the weights."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    wide = make_student(tmp_path / "wide", hidden_size=64, intermediate_size=64)
    settings = {"lora": Lora(rank=2), "init_adapter": None, "seed": 0}
    (four, tokenizer), (whole, _) = (open_student(wide, load=load, **settings) for load in ("nf4", "float32"))
    layers = dict(whole.named_modules())
    with torch.no_grad():
        for name, layer in four.named_modules():
            if isinstance(layer, Linear4bit):
                layers[name].weight.copy_(dequantize_4bit(layer.weight.data, layer.weight.quant_state))
        for model in (four, whole):
            torch.manual_seed(1)
            for name, parameter in lora_parameters(model).items():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
    rows, _ = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    gradients = []
    for model in (four, whole):
        reference = scored(model, rows, Passes("plain", 999, 2))
        Objective(model.train(), rows, reference, config(), Passes("plain", 8192, 2)).accumulate([0, 1, 2])
        gradients.append({name: p.grad for name, p in lora_parameters(model).items()})
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw_8bit"])
def test_other_optimizers_learn(student, pairs, tmp_path, optimizer):
    rate = {"sgd": 1.0, "adamw_8bit": 5e-3}[optimizer]
    run(student, pairs, tmp_path, optimizer=optimizer, learning_rate=rate, epochs=3)
    assert lines(tmp_path)[-1]["loss"] < lines(tmp_path)[0]["loss"] - 0.01


def test_a_students_own_dropout_does_not_part_it_from_its_reference(make_student, pairs, tmp_path):
    noisy = make_student(tmp_path / "noisy", attention_dropout=0.5)
    run(noisy, pairs, tmp_path / "out", max_steps=1)
    assert lines(tmp_path / "out")[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)


def test_pairs_longer_than_the_model_reads_are_not_given_to_it(make_student, make_pair, tmp_path):
    short = make_student(tmp_path / "short", max_position_embeddings=40)
    said = []
    pairs = [make_pair("q", "yes", "no"), make_pair("q" * 60, "yes", "no")]
    result = run(short, pairs, tmp_path / "out", log=said.append)
    assert result.report.dropped == {"longer than max_tokens": 1}
    assert "max_tokens lowered from 2048 to 40, the context length of this model" in said


def test_a_policy_that_is_not_its_reference_is_found_before_the_first_step(student, pairs, tmp_path, monkeypatch):
    honest = loop.reference_logps
    monkeypatch.setattr(
        loop,
        "reference_logps",
        lambda *a, **k: (r := honest(*a, **k))._replace(sums_BK=r.sums_BK + torch.tensor([9, 0])),
    )
    with pytest.raises(TrainingError, match=r"but the mean reward of the chosen side is -4\.5"):
        run(student, pairs, tmp_path)


def test_a_matrix_that_no_gradient_reaches_is_found_before_the_first_step(student, pairs, tmp_path, monkeypatch):
    honest = loop.lora_parameters
    stray = {"stray": torch.nn.Parameter(torch.zeros(1))}
    monkeypatch.setattr(loop, "lora_parameters", lambda model: {**honest(model), **stray})
    with pytest.raises(TrainingError, match="no gradient reaches 1 of 29 adapter matrices, such as stray"):
        run(student, pairs, tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"init_adapter": "nowhere"}, InputError, "nowhere is not a peft adapter"),
        ({"lora": Lora(targets=("nope",))}, ModelError, r"lora.targets \['nope'\]"),
        ({"lora": Lora(targets=("q_proj", "lm_head"))}, ModelError, "leave it out of lora.targets"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_clear_errors(student, pairs, tmp_path, settings, error, says):
    with pytest.raises(error, match=says):
        run(student, pairs, tmp_path, **settings)


def test_an_adapter_of_another_shape_is_a_clear_error(student, make_student, pairs, tmp_path):
    run(student, pairs, tmp_path / "first", max_steps=1)
    other = make_student(tmp_path / "other", hidden_size=16, intermediate_size=16)
    with pytest.raises(ModelError, match="init_adapter"):
        run(other, pairs, tmp_path / "out", init_adapter=str(tmp_path / "first" / "adapter"))


def test_alarms_are_said_once():
    said = []
    alarms = Alarms(0.5, said.append)
    calm = {"step": 1, "rewards/chosen": -2.0, "logps/chosen": -14.0, "rewards/margins": 3.0}  # from -10: 40 % lower
    alarms.look(calm)
    assert not said
    alarms.look({**calm, "step": 7, "rewards/chosen": -3.0, "logps/chosen": -16.0})
    alarms.look({**calm, "step": 8, "rewards/chosen": -3.0, "logps/chosen": -16.0})
    assert len(said) == 1 and said[0].startswith("step 7: warning") and "fell from -10.0 to -16.0" in said[0]
    alarms.look({**calm, "step": 9, "rewards/margins": 31.0})
    assert len(said) == 2 and "reward margin is 31.0" in said[1]


def test_an_adapter_knows_its_base_and_one_that_does_not_fit_is_not_trained_on(student, make_student, pairs, tmp_path):
    run(student, pairs, tmp_path / "first", max_steps=1)
    first = tmp_path / "first" / "adapter"
    run(student, pairs, tmp_path / "next", max_steps=1, init_adapter=str(first))
    other = make_student(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match=r"train\.init_adapter: .*with the same sizes and other weights"):
        run(other, pairs, tmp_path / "out", init_adapter=str(first))
    stored = adapter(tmp_path / "first")
    next(iter(stored.values()))[0, 0] = math.nan
    save_file(stored, first / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"train\.init_adapter: .*1 of 28 weights hold NaN or infinity, such as"):
        run(student, pairs, tmp_path / "out", init_adapter=str(first))
    assert not (tmp_path / "out").exists()
