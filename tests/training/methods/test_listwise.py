"""The loss over rankings, and the training method "listwise"."""

from __future__ import annotations

import json
import math

import pytest
import torch

import cai_lite as cai
from cai_lite.errors import InputError
from cai_lite.training import loop
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.losses import Logps, PairLogps, dpo, listwise
from cai_lite.training.methods import METHODS
from cai_lite.training.tokens import Row


def logps(sums, lengths=None):
    sums_BK = torch.tensor(sums, dtype=torch.float64)
    return Logps(sums_BK, torch.ones_like(sums_BK).long() if lengths is None else torch.tensor(lengths))


def test_three_completions_by_hand():
    """Rewards are beta (policy - reference) with beta = 0.5: policy (-1, -2, -4), reference (-2, -2, -3).

    r = (0.5, 0, -0.5). Plackett-Luce (Rafailov et al. 2023, eq. 20): P = e^.5 / (e^.5 + e^0 + e^-.5) times
    e^0 / (e^0 + e^-.5) = 0.506480 * 0.622459 = 0.315263, so the loss is -ln 0.315263 = 1.154347.
    Its gradient by r: softmax over all minus (1, 0, 0), plus softmax over the last two minus (0, 1, 0):
    (0.506480 - 1, 0.307196 + 0.622459 - 1, 0.186324 + 0.377541) = (-0.493520, -0.070345, 0.563865), and beta of it by
    the policy's log-probabilities.
    """
    policy = logps([[-1.0, -2.0, -4.0]])
    policy.sums_BK.requires_grad_(True)
    loss_B = listwise(policy, logps([[-2.0, -2.0, -3.0]]), beta=0.5)
    assert loss_B.item() == pytest.approx(1.154347, abs=1e-6)
    loss_B.sum().backward()
    by_hand = torch.tensor([[-0.493520, -0.070345, 0.563865]], dtype=torch.float64) * 0.5
    torch.testing.assert_close(policy.sums_BK.grad, by_hand, atol=1e-6, rtol=0)


def soft(*pairs, size):
    p_BKK = torch.zeros(1, size, size, dtype=torch.float64)
    for j, k, p in pairs:
        p_BKK[0, j, k] = p
    return p_BKK


@pytest.mark.parametrize("p", [None, 1.0, 0.7])
def test_two_completions_are_dpo_with_hard_and_soft_labels(p):
    policy, reference = logps([[-3.0, -5.0], [-9.0, -2.0]]), logps([[-4.0, -4.5], [-8.0, -3.0]])
    labels = {} if p is None else {"preferences_BKK": soft((0, 1, p), size=2).expand(2, 2, 2)}
    found = listwise(policy, reference, beta=0.3, **labels)
    pairs = [PairLogps(*both.sums_BK.unbind(1), *both.lengths_BK.unbind(1)) for both in (policy, reference)]
    p_chosen = None if p is None else torch.full((2,), p, dtype=torch.float64)
    torch.testing.assert_close(found, dpo(*pairs, beta=0.3, p_chosen=p_chosen))


def test_missing_completions_take_no_part():
    whole = listwise(logps([[-1.0, -2.0, -4.0]]), logps([[-2.0, -2.0, -3.0]]), beta=0.5)
    padded = logps([[-1.0, -2.0, -4.0, 0.0]], [[3, 3, 3, 0]])
    padded.sums_BK.requires_grad_(True)
    found = listwise(padded, logps([[-2.0, -2.0, -3.0, 0.0]], [[3, 3, 3, 0]]), beta=0.5)
    torch.testing.assert_close(found, whole)
    found.sum().backward()
    assert padded.sums_BK.grad[0, 3] == 0
    assert padded.sums_BK.grad.isfinite().all()


def test_what_is_not_ordered_adds_nothing():
    """With the first preferred to both others, which are tied, the loss is one choice: -log softmax(r)[0]."""
    policy, reference = logps([[-1.0, -2.0, -4.0]]), logps([[-2.0, -2.0, -3.0]])
    found = listwise(policy, reference, beta=0.5, preferences_BKK=soft((0, 1, 1), (0, 2, 1), size=3))
    assert found.item() == pytest.approx(-math.log(0.506480), abs=1e-5)
    nothing = listwise(policy, reference, beta=0.5, preferences_BKK=soft(size=3))
    assert nothing.item() == 0


def test_soft_labels_are_met_by_the_strengths_that_they_come_from():
    """By Luce's axiom: where each label is the odds of fixed strengths, the loss is least at these strengths."""
    strengths = torch.tensor([[1.1, 0.4, -0.3]], dtype=torch.float64)
    labels = soft(
        *((j, k, torch.sigmoid(strengths[0, j] - strengths[0, k]).item()) for j, k in ((0, 1), (0, 2), (1, 2))), size=3
    )
    policy = Logps(strengths.clone().requires_grad_(True), torch.ones(1, 3).long())
    listwise(policy, logps([[0.0, 0.0, 0.0]]), beta=1.0, preferences_BKK=labels).sum().backward()
    assert policy.sums_BK.grad.abs().max() < 1e-12


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    labels = torch.rand(2, 4, 4, dtype=torch.float64).mul(0.5).add(0.5).triu(1) * (torch.rand(2, 4, 4) > 0.3)
    reference, lengths = logps(torch.randn(2, 4).tolist()), torch.tensor([[2, 2, 2, 2], [2, 2, 2, 0]])

    def loss(sums_BK):
        return listwise(Logps(sums_BK, lengths), reference, beta=0.7, preferences_BKK=labels)

    assert torch.autograd.gradcheck(loss, torch.randn(2, 4, dtype=torch.float64, requires_grad=True))


def test_with_two_completions_the_method_has_every_number_of_dpo():
    policy, reference = logps([[-3.0, -5.0], [-9.0, -2.0]], [[2, 3], [4, 5]]), logps([[-4.0, -4.5], [-8.0, -3.0]])
    rows = [Row((1,), ((2, 2), (3, 3, 3)), preferences=((0.0, 1.0), (0.0, 0.0)))] * 2
    config = TrainingConfig(loss=Loss(beta=0.3), sft_weight=0.5)
    ours, our_numbers = METHODS["listwise"].loss(policy, reference, rows, update=rows, config=config)
    theirs, their_numbers = METHODS["dpo"].loss(policy, reference, rows, update=rows, config=config)
    torch.testing.assert_close(ours, theirs)
    assert our_numbers.keys() == their_numbers.keys()
    for name, values_B in their_numbers.items():
        torch.testing.assert_close(our_numbers[name], values_B, msg=name)


@pytest.fixture
def ranked(make_pair):
    """Six prompts with three answers each: yes before maybe before no."""
    return [
        make_pair(f"q{i}", better * (i % 3 + 1), worse * (i % 3 + 1))
        for i in range(6)
        for better, worse in (("yes", "maybe"), ("maybe", "no"))
    ]


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_rankings_are_learnt_and_resumed(student, ranked, tmp_path, layout):
    config = TrainingConfig(
        method="listwise",
        loss=Loss(beta=0.3),
        learning_rate=5e-3,
        batch_size=3,
        epochs=6,
        lora=Lora(rank=2),
        layout=layout,
    )
    said = []
    cai.train(student, ranked, config=config, out=tmp_path, log=said.append)
    assert said[0] == "6 rankings from pairs: 18 ordered"
    assert (
        "rankings of 3 to 3 candidates; 18 of their 18 pairs are ordered, and the others add nothing to the loss"
        in said
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] == pytest.approx(math.log(6), abs=1e-3)  # 3! orders are equally likely
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.3
    assert lines[-1]["rewards/margins"] > lines[0]["rewards/margins"] + 0.1
    said.clear()
    cai.train(student, ranked, config=config, out=tmp_path, log=said.append)
    assert said[-1] == "trained already: 12 steps"


def test_a_ranking_of_two_is_trained_to_the_bytes_of_dpo(student, pairs, tmp_path):
    found = {}
    for method in ("dpo", "listwise"):
        config = TrainingConfig(method=method, learning_rate=5e-3, batch_size=4, max_steps=3, lora=Lora(rank=2))
        result = loop.train(student, METHODS[method].given(pairs, config, print), config=config, out=tmp_path / method)
        found[method] = [json.loads(line) for line in (tmp_path / method / "metrics.jsonl").read_text().splitlines()]
        assert result.steps == 3
    for one, other in zip(found["dpo"], found["listwise"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["rewards/margins"] == pytest.approx(other["rewards/margins"], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": Loss("ipo", 0.1)}, "'loss' of the method 'listwise' takes beta alone"),
        ({"loss": Loss("dpo", 0.1, label_smoothing=0.1)}, "'loss' of the method 'listwise' takes beta alone"),
        ({"on": "chosen"}, "'on' means nothing to the method 'listwise'; leave it out"),
    ],
)
def test_settings_that_are_not_read_are_refused(settings, says):
    with pytest.raises(InputError) as caught:
        TrainingConfig(method="listwise", **settings)
    assert says in str(caught.value)
