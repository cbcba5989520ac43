"""The training method "dpo", and a method of one's own through the same door."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

import cai_lite as cai
from cai_lite.errors import InputError, TrainingError
from cai_lite.logps.attention import attention_of
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.training import loop, reference
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.losses import LOSSES, Logps
from cai_lite.training.methods import METHODS, Method
from cai_lite.training.reference import scored
from cai_lite.training.student import lora_parameters, open_student
from cai_lite.training.tokens import Example, Row, tokenize_examples
from cai_lite.training.update import Objective

SMALL = {"learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2)}
RECIPE = """\
constitution: medical-embedded
prompts: {file: prompts.jsonl}
teacher: {model: "embedded:teacher"}
student: {model: "embedded:student"}
"""


def run(student, data, out, **settings):
    said = []
    config = TrainingConfig(**{**SMALL, **settings})
    result = loop.train(student, data, config=config, out=out, log=said.append)
    return result, said


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def recipe(tmp_path):
    """Load a recipe whose `train` section is given, with overrides."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')

    def load(train, *overrides):
        (tmp_path / "mine.yaml").write_text(f"{RECIPE}train: {train}\n")
        return load_recipe(tmp_path / "mine.yaml", overrides=overrides).train

    return load


class Likelihood(Method):
    """Supervised training on the chosen answers: one completion a row."""

    def rows(self, tokenizer, data, config, *, max_tokens):
        examples = [Example(pair.prompt, (pair.chosen,), weight=pair.p_chosen) for pair in data]
        return tokenize_examples(tokenizer, examples, max_tokens=max_tokens, overlong=config.overlong)

    def loss(self, policy, reference, rows, *, update, config):
        assert reference is None
        loss_B = -policy.sums_BK[:, 0] / sum(len(row.completions[0]) for row in update)
        return loss_B, {"nll": -policy.sums_BK[:, 0] / policy.lengths_BK[:, 0]}


def test_a_method_of_ones_own_is_trained_from_python_and_from_a_recipe(student, pairs, tmp_path, monkeypatch, recipe):
    monkeypatch.setitem(METHODS, "likelihood", Likelihood())
    settings = {"learning_rate": 0.005, "batch_size": 4, "epochs": 3.0, "lora": Lora(rank=2)}
    config = recipe("{method: likelihood, learning_rate: 0.005, batch_size: 4, lora: {rank: 2}}", "train.epochs=3")
    assert config == TrainingConfig(method="likelihood", **settings)
    result, said = run(student, pairs, tmp_path / "out", method="likelihood", epochs=3.0)
    assert said[0].startswith("12 examples: 12 kept")
    rows = lines(tmp_path / "out")
    assert set(rows[0]) == {"step", "epoch", "loss", "nll", "grad_norm", "learning_rate", "tokens_per_second"}
    assert rows[-1]["nll"] < rows[0]["nll"] - 0.5
    assert not (tmp_path / "out" / "reference").exists()
    adapter = cai.train(student, pairs, config=config, out=tmp_path / "python")
    assert (adapter / "adapter_model.safetensors").read_bytes() == (
        result.adapter / "adapter_model.safetensors"
    ).read_bytes()
    again, said = run(student, pairs, tmp_path / "out", method="likelihood", epochs=3.0)
    assert (again.resumed_from, said) == (9, ["trained already: 9 steps"])


def test_a_method_has_to_say_what_its_rows_and_its_loss_are():
    class Half(Method):
        def rows(self, tokenizer, data, config, *, max_tokens):
            raise AssertionError

    with pytest.raises(TypeError, match="abstract"):
        Half()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "sfd"}, "'method': there is no method 'sfd'"),
        ({"optimizer": "adam"}, "'optimizer': there is no optimizer 'adam'; did you mean 'adamw'?"),
        ({"scheduler": "cosin"}, "'scheduler': there is no scheduler 'cosin'; did you mean 'cosine'?"),
        ({"layout": "wide"}, "'layout' should be one of auto, shared, plain, got wide"),
        ({"reference": "old"}, "'reference' should be one of base, init, got old"),
    ],
)
def test_names_are_checked_before_anything_is_loaded(settings, says):
    with pytest.raises(InputError) as caught:
        TrainingConfig(**settings)
    assert says in str(caught.value)


def test_a_name_that_a_recipe_has_wrong_is_told_with_its_line(recipe, tmp_path):
    with pytest.raises(InputError) as caught:
        recipe("\n  epochs: 2\n  optimizer: adam")
    says = "in 'train': 'optimizer': there is no optimizer 'adam'; did you mean 'adamw'?"
    assert str(caught.value) == f"{tmp_path / 'mine.yaml'}:7: {says}"


@pytest.fixture
def opened(student, pairs):
    """A model with an adapter that changes something, and rows of three completions, one row of two."""
    model, tokenizer = open_student(student, load=None, lora=Lora(rank=2), init_adapter=None, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    examples = [
        Example(pair.prompt, (pair.chosen, pair.rejected, other.rejected)) for pair, other in pairwise(pairs[:7])
    ]
    examples.append(Example(pairs[7].prompt, (pairs[7].chosen, pairs[7].rejected)))
    rows, _ = tokenize_examples(tokenizer, examples, max_tokens=99, overlong="drop")
    assert [len(row.completions) for row in rows] == [3] * 6 + [2]
    return model, rows


def test_rows_of_three_completions_have_the_same_numbers_in_both_layouts(opened):
    model, rows = opened
    plain = scored(model, rows, Passes("plain", 200, 2))
    with attention_of(model, "shared"):
        shared = scored(model, rows, Passes("shared", 200, 2))
    torch.testing.assert_close(shared.sums_BK, plain.sums_BK, rtol=0, atol=1e-4)
    assert shared.sums_BK.shape == (7, 3)
    assert torch.equal(shared.lengths_BK, plain.lengths_BK)
    assert (plain.sums_BK[6, 2], plain.lengths_BK[6, 2]) == (0, 0)  # the row of two
    for i, row in enumerate(rows):
        for k, ids in enumerate(row.completions):
            alone = scored(model, [Row(row.prompt_ids, (ids,))], Passes("plain", 200, 2))
            assert plain.sums_BK[i, k].item() == pytest.approx(alone.sums_BK.item(), abs=1e-4)
            assert plain.lengths_BK[i, k] == len(ids)


class Spread(Likelihood):
    """Raise the first completion of a row above the others."""

    def loss(self, policy, reference, rows, *, update, config):
        there_BK = policy.lengths_BK > 0
        means_BK = (policy.sums_BK - reference.sums_BK) / policy.lengths_BK.clamp(min=1)
        return -(means_BK.masked_fill(~there_BK, -1e9).log_softmax(-1)[:, 0]) / len(update), {}


def test_rows_with_unequal_numbers_of_completions_are_trained_alike_in_any_passes(opened, monkeypatch):
    monkeypatch.setitem(METHODS, "spread", Spread())
    model, rows = opened
    with model.disable_adapter():
        before = scored(model, rows, Passes("plain", 200, 2))
    found = []
    for pieces in (1, 7):
        model.zero_grad()
        config = TrainingConfig(method="spread", gradient_accumulation=pieces)
        line = Objective(model, rows, before, config, Passes("plain", 8192, 2)).accumulate(range(7)).numbers
        found.append((line["loss"], {name: p.grad.clone() for name, p in lora_parameters(model).items()}))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-3, atol=1e-6)


def test_the_weight_of_a_row_is_a_factor_of_its_loss(opened):
    model, rows = opened
    config, passes = TrainingConfig(loss=Loss("simpo", 2.0)), Passes("plain", 8192, 2)
    pairs = [Row(row.prompt_ids, row.completions[:2]) for row in rows]

    def loss_and_gradients(weights):
        model.zero_grad()
        weighted = [Row(row.prompt_ids, row.completions, weight=w) for row, w in zip(pairs, weights, strict=True)]
        line = Objective(model, weighted, None, config, passes).accumulate(range(7)).numbers
        return line["loss"], torch.cat([p.grad.flatten() for p in lora_parameters(model).values()])

    whole, gradient = loss_and_gradients([1.0] * 7)
    first, first_gradient = loss_and_gradients([2.0] + [0.0] * 6)
    others, other_gradient = loss_and_gradients([0.0] + [0.5] * 6)
    assert first / 2 + others * 2 == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(first_gradient / 2 + other_gradient * 2, gradient, rtol=1e-4, atol=1e-6)


def test_simpo_computes_no_reference_and_has_its_own_rewards(student, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "reference_logps", None)
    result, _ = run(student, pairs, tmp_path, loss=Loss("simpo", 2.0), max_steps=2)
    assert not (tmp_path / "reference").exists()
    first = lines(tmp_path)[0]
    assert "kl" not in first
    assert first["rewards/margins"] == pytest.approx(first["rewards/chosen"] - first["rewards/rejected"])
    assert result.steps == 2


def test_rewards_without_a_reference_are_beta_times_the_mean_log_probability_of_a_token():
    policy = Logps(torch.tensor([[-6.0, -6.0], [-2.0, -8.0]]), torch.tensor([[3, 2], [2, 2]]))
    loss_B, numbers = METHODS["dpo"].loss(
        policy, None, [Row((1,), ((2,), (3,)))] * 2, update=[None] * 2, config=TrainingConfig(loss=Loss("simpo", 0.5))
    )
    assert loss_B.shape == (2,)
    assert numbers["rewards/chosen"].tolist() == [-1.0, -0.5]
    assert numbers["rewards/rejected"].tolist() == [-1.5, -2.0]
    assert numbers["rewards/accuracies"].tolist() == [1.0, 1.0]


def test_a_loss_of_ones_own_is_trained_from_python_and_from_a_recipe(student, pairs, tmp_path, monkeypatch, recipe):
    def mine(policy, reference, *, beta: float, tau: float = 2.0, p_chosen=None):
        return LOSSES["dpo"](policy, reference, beta=beta / tau, p_chosen=p_chosen)

    monkeypatch.setitem(LOSSES, "mine", mine)
    config = recipe("{loss: {name: mine, beta: 2.0}, learning_rate: 0.005, batch_size: 4, lora: {rank: 2}}")
    assert config.loss == Loss("mine", 2.0)
    tuned = recipe("{loss: {name: dpo, beta: 2.0}}", "train.loss.name=mine", "train.loss.tau=4")
    assert tuned.loss == Loss("mine", beta=2.0, tau=4.0)
    ours = cai.train(student, pairs, config=config, out=tmp_path / "mine")
    dpo, _ = run(student, pairs, tmp_path / "dpo", loss=Loss("dpo", 1.0))
    found, expected = (load_file(path / "adapter_model.safetensors") for path in (ours, dpo.adapter))
    for name in expected:
        assert torch.equal(found[name], expected[name])
    with pytest.raises(
        InputError, match=r"mine\.yaml:5: in 'train\.loss': loss 'mine' takes beta and tau; it has no 'gam"
    ):
        recipe("{loss: {name: mine, gamma: 0.5}}")
    with pytest.raises(InputError, match=r"'train\.loss\.tau' should be a number, got text 'warm'"):
        recipe("{loss: {name: mine, tau: warm}}")


def test_the_reference_is_the_initial_adapter_unless_base_is_asked_for(student, pairs, tmp_path):
    first, _ = run(student, pairs, tmp_path / "first", epochs=3)
    found = {}
    for kind in (None, "init", "base"):
        settings = {"init_adapter": str(first.adapter), "reference": kind, "max_steps": 2}
        run(student, pairs, tmp_path / f"then {kind}", **settings)
        found[kind] = lines(tmp_path / f"then {kind}")
    assert found["init"][0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert found["init"][0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert found["base"][0]["rewards/margins"] > 0.01
    for one, other in zip(found[None], found["init"], strict=True):
        assert one["loss"] == other["loss"]
    files = {name: next((tmp_path / f"then {name}" / "reference").iterdir()).name for name in found}
    assert files[None] == files["init"] != files["base"]
    assert files["base"] == next((tmp_path / "first" / "reference").iterdir()).name


def test_a_policy_apart_from_its_initial_adapter_is_found_before_the_first_step(student, pairs, tmp_path, monkeypatch):
    first, _ = run(student, pairs, tmp_path / "first", max_steps=2)
    honest = reference.scored
    monkeypatch.setattr(reference, "scored", lambda *a, **k: (r := honest(*a, **k))._replace(sums_BK=r.sums_BK + 9))
    with pytest.raises(TrainingError, match="the policy should equal the reference"):
        run(student, pairs, tmp_path / "then", init_adapter=str(first.adapter))
    # With the bare model as reference they differ, and nothing is checked.
    run(student, pairs, tmp_path / "base", init_adapter=str(first.adapter), reference="base", max_steps=1)


def test_weights_of_principles_multiply_those_of_pairs_and_zero_drops_them(tokenizer, pairs):
    named = [replace(pair, principle=("a", "b", "c")[i % 3], weight=2.0) for i, pair in enumerate(pairs)]
    config = TrainingConfig(principle_weights={"a": 0.0, "b": 1.5})
    rows, report = METHODS["dpo"].rows(tokenizer, named, config, max_tokens=512)
    kept = [pair for pair in named if pair.principle != "a"]
    assert [row.key for row in rows] == [pair.key for pair in kept]
    assert [row.weight for row in rows] == [3.0 if pair.principle == "b" else 2.0 for pair in kept]
    assert report.pairs == len(named) and report.dropped == {"of principles with weight 0": len(named) - len(kept)}


def test_weights_of_principles_that_no_pair_names_are_told(pairs):
    named, said = [replace(pair, principle="kind-tone") for pair in pairs], []
    method = METHODS["dpo"]
    with pytest.raises(
        InputError, match=r"train\.principle_weights: no pair names kind-tome; did you mean 'kind-tone'"
    ):
        method.given(named, TrainingConfig(principle_weights={"kind-tome": 2.0}), said.append)
    method.given(named, TrainingConfig(principle_weights={"kind-tone": 2.0, "other": 0.5}), said.append)
    assert said == ["principle_weights: no pair names other"]


def test_equal_settings_have_the_identity_that_they_had_before_there_were_weights_of_principles():
    assert "principle_weights" not in TrainingConfig().identity()
    assert TrainingConfig(principle_weights={"a": 2.0}).identity()["principle_weights"] == {"a": 2.0}


@pytest.mark.parametrize("method", ["sft", "listwise"])
def test_methods_that_read_no_weights_refuse_them(method):
    on = {"on": "chosen"} if method == "sft" else {}
    with pytest.raises(InputError, match="'principle_weights' means nothing to the method"):
        TrainingConfig(method=method, principle_weights={"a": 2.0}, **on)
