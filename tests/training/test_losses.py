"""The losses against numbers that other people's code made, in value and gradient, extremes included."""

import json
import math
from functools import partial

import pytest
import torch

from cai_lite.errors import InputError
from cai_lite.training.config import Loss
from cai_lite.training.losses import LOSSES, PairLogps, needs_reference, options_of, takes_labels

OURS = {
    ("trl", "sigmoid"): "dpo",
    ("trl", "ipo"): "ipo_mean",
    ("trl", "hinge"): "hinge",
    ("trl", "robust"): "robust",
    ("eric-mitchell", "sigmoid"): "dpo",
    ("eric-mitchell", "cdpo"): "dpo",
    ("eric-mitchell", "ipo_sum"): "ipo",
    ("llamafactory", "simpo"): "simpo",
    ("open-instruct", "simpo"): "simpo",
}


@pytest.fixture(scope="module")
def oracle(shared):
    return json.loads((shared / "oracles" / "dpo_losses.json").read_text(encoding="utf-8"))


def logps(examples, side=""):
    chosen, rejected = (torch.tensor([e[f"{side}{s}_logp"] for e in examples], dtype=torch.float64) for s in SIDES)
    return PairLogps(chosen, rejected, *(torch.tensor([e[f"{s}_len"] for e in examples]) for s in SIDES))


SIDES = ("chosen", "rejected")


def of(chosen, rejected, chosen_len=1, rejected_len=1):
    """One pair."""
    return PairLogps(
        *(torch.tensor([float(x)], dtype=torch.float64) for x in (chosen, rejected, chosen_len, rejected_len))
    )


def options(case):
    """A case's settings in our names. open-instruct gives gamma / beta, LLaMA-Factory gamma itself."""
    given = case["params"]
    found = {"beta": given["beta"]}
    if case["loss_type"] == "simpo":
        found["gamma"] = given["simpo_gamma"] if "simpo_gamma" in given else given["gamma_beta_ratio"] * given["beta"]
    elif case["loss_type"] == "robust":
        found["label_smoothing"] = given["ls"]
    elif case["loss_type"] == "cdpo":
        found["label_smoothing"] = given["label_smoothing"]
    return found  # TRL 1.16 ignores label smoothing for "sigmoid": its rows with 0.1 are those with 0


def gradients(loss, policy):
    """Value and gradients of each pair on its own; the losses are one per pair, so a sum keeps them apart."""
    for side in policy[:2]:
        side.requires_grad_(True)
    values = loss(policy)
    return values.detach(), *torch.autograd.grad(values.sum(), policy[:2], allow_unused=True)


def near(found, expected):
    """Within 1e-5 relative; numbers below 1e-12 count as nothing."""
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("source", "kind"), list(OURS))
def test_values_and_gradients_are_those_of_other_peoples_code(oracle, source, kind):
    cases = [c for c in oracle["cases"] if (c["source"], c["loss_type"]) == (source, kind)]
    assert cases
    for case in cases:
        policy, reference = logps(oracle["examples"]), logps(oracle["examples"], "ref_")
        loss = partial(LOSSES[OURS[source, kind]], reference=reference, **options(case))
        values, chosen, rejected = gradients(loss, policy)
        near(values, case["per_example_loss"])
        if kind == "simpo":  # theirs is taken with respect to the mean over the tokens, ours to the sum
            near(chosen * policy.chosen_len_B, case["grad_chosen_avg_logp"])
            near(rejected * policy.rejected_len_B, case["grad_rejected_avg_logp"])
        else:
            near(chosen, case["grad_chosen_logp"])
            near(rejected, case["grad_rejected_logp"])


@pytest.mark.parametrize("name", LOSSES)
def test_in_single_precision_the_extremes_stay_finite(oracle, name):
    policy, reference = (
        PairLogps(*(column.float() for column in logps(oracle["examples"], side))) for side in ("", "ref_")
    )
    more = {"label_smoothing": 0.1} if name == "robust" else {}
    found = gradients(lambda p: LOSSES[name](p, reference, beta=0.5, **more), policy)
    assert all(torch.isfinite(tensor).all() for tensor in found)


def test_dpop_by_hand():
    # margin = (-12 + 10) - (-9 + 8) = -1; chosen sank by 2, so the logit is 0.1 * (-1 - 5 * 2) = -1.1
    policy, reference = of(-12, -9), of(-10, -8)
    values, chosen, rejected = gradients(lambda p: LOSSES["dpop"](p, reference, beta=0.1, penalty=5.0), policy)
    wrong = 1 / (1 + math.exp(-1.1))  # sigmoid of minus the logit
    near(values, [math.log(1 + math.exp(1.1))])
    near(chosen, [-0.1 * (1 + 5) * wrong])
    near(rejected, [0.1 * wrong])


def test_dpop_is_dpo_while_chosen_does_not_sink():
    policy, reference = of(-9, -12), of(-10, -8)
    assert LOSSES["dpop"](policy, reference, beta=0.3) == LOSSES["dpo"](policy, reference, beta=0.3)


def test_p_chosen_by_hand():
    # margin = 2, beta 0.5: the logit is 1. p = 0.8, smoothed by 0.1: 0.9 * 0.8 + 0.1 * 0.2 = 0.74
    policy, reference = of(-8, -10), of(-10, -10)
    p = torch.tensor([0.8], dtype=torch.float64)
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    near(LOSSES["dpo"](policy, reference, beta=0.5, p_chosen=p), [0.8 * right + 0.2 * wrong])
    smooth = LOSSES["dpo"](policy, reference, beta=0.5, p_chosen=p, label_smoothing=0.1)
    near(smooth, [0.74 * right + 0.26 * wrong])


def test_an_even_label_pulls_the_margin_to_nothing():
    even = torch.tensor([0.5], dtype=torch.float64)
    _, chosen, _ = gradients(lambda p: LOSSES["dpo"](p, of(-10, -10), beta=0.5, p_chosen=even), of(-10, -10))
    assert chosen.item() == 0


def test_every_loss_takes_the_options_that_are_made_for_it():
    for name in LOSSES:
        loss = Loss(name, 0.1, **({"label_smoothing": 0.1} if name == "robust" else {}))
        assert torch.isfinite(LOSSES[name](of(-9, -9), of(-10, -10), **loss.options())).all()


def test_options_labels_and_reference_are_read_from_the_signature():
    assert list(options_of("dpo")) == ["beta", "label_smoothing"]
    assert list(options_of("dpop")) == ["beta", "penalty"]
    assert [name for name in LOSSES if takes_labels(name)] == ["dpo"]
    assert [name for name in LOSSES if not needs_reference(name)] == ["simpo"]
    assert torch.equal(
        LOSSES["simpo"](of(-9, -12, 3, 2), beta=2.0), LOSSES["simpo"](of(-9, -12, 3, 2), of(-1, -2), beta=2.0)
    )


def test_a_loss_of_ones_own_is_checked_by_its_signature(monkeypatch):
    def mine(policy, reference, *, beta: float, steps: int = 2, mode: str = "mean", size: float):
        return policy.chosen_B

    monkeypatch.setitem(LOSSES, "mine", mine)
    assert Loss("mine", size=1).options() == {"beta": 0.1, "size": 1}
    assert repr(Loss("mine", 0.2, size=3.0)) == "Loss('mine', beta=0.2, size=3.0)"
    for settings, says in (
        ({}, "loss 'mine' needs 'size'"),
        ({"size": 1.0, "steps": 1.5}, "'loss.steps' should be a whole number, got 1.5"),
        ({"size": math.nan}, "'loss.size' should be a finite number, got nan"),
        ({"size": "big"}, "'loss.size' should be a finite number, got 'big'"),
        ({"size": 1.0, "mod": "sum"}, "it has no 'mod'; did you mean 'mode'"),
    ):
        with pytest.raises(InputError, match=says):
            Loss("mine", **settings)


def test_a_loss_without_beta_has_rewards_in_nats(monkeypatch):
    monkeypatch.setitem(LOSSES, "plain", lambda policy, reference: reference.chosen_B - policy.chosen_B)
    assert Loss("plain").beta == 1.0
    assert Loss("plain").options() == {}
    with pytest.raises(InputError, match="loss 'plain' takes no options; it has no 'beta'"):
        Loss("plain", beta=0.1)


def test_equal_losses_are_equal_and_null_leaves_an_option_out():
    assert Loss() == Loss("dpo", 0.1) == Loss("dpo", gamma=None) != Loss("dpo", 0.2)
    assert hash(Loss("simpo", gamma=0.5)) == hash(Loss("simpo", 0.1, gamma=0.5))
    with pytest.raises(InputError, match="it has no 'gama'"):
        Loss("simpo", gama=None)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "dpoo"}, "did you mean 'dpo'"),
        ({"name": "ipo", "label_smoothing": 0.1}, "'ipo' takes beta; it has no 'label_smoothing'"),
        ({"name": "dpo", "gamma": 0.1}, "'dpo' takes beta and label_smoothing; it has no 'gamma'"),
        ({"name": "robust"}, "'robust' needs 'label_smoothing'"),
        ({"name": "robust", "label_smoothing": 0.5}, "below 0.5"),
        ({"beta": 0}, "'loss.beta' should be above 0"),
        ({"name": "dpop", "penalty": -1.0}, "'loss.penalty' should be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_clear_errors(settings, says):
    with pytest.raises(InputError) as caught:
        Loss(**settings)
    assert says in str(caught.value)
