import math

import pytest

from cai_lite.errors import InputError, ModelError
from cai_lite.evaluation.perplexity import TextLoss, perplexity, text_losses

torch = pytest.importorskip("torch")


class Chain(torch.nn.Module):
    """A bigram model: the next token's probabilities depend on the last one alone, and are known."""

    def __init__(self, probabilities):
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(torch.tensor(probabilities).log())
        self.dropout = torch.nn.Dropout(0.5)  # spoils every number if it is on

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask, use_cache):
        return type("Out", (), {"logits": self.dropout(self.table(input_ids))})


class Letters:
    """0 begins; a is 1, b is 2."""

    def __init__(self, bos_token_id=0):
        self.bos_token_id = bos_token_id

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [" ab".index(letter) for letter in text]}


ROWS = [[0.2, 0.4, 0.4], [0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]


def test_a_texts_loss_is_the_sum_over_its_tokens_whatever_stands_beside_it():
    model = Chain(ROWS).train()
    found = text_losses(model, Letters(), ["ab", "a", "bba"], batch=2)
    # start -> a .4, a -> b .5; start -> a .4; start -> b .4, b -> b .25, b -> a .25
    expected = [0.4 * 0.5, 0.4, 0.4 * 0.25 * 0.25]
    assert [loss.tokens for loss in found] == [2, 1, 3]
    assert [loss.nats for loss in found] == pytest.approx([-math.log(p) for p in expected], rel=1e-5)
    assert model.training


def test_a_text_of_which_nothing_is_predicted_is_left_out():
    found = text_losses(Chain(ROWS), Letters(bos_token_id=None), ["a", "ab", ""])
    assert [loss.tokens for loss in found] == [1]
    assert found[0].nats == pytest.approx(math.log(2), rel=1e-5)


def test_perplexity_is_over_tokens_and_not_a_mean_over_texts():
    before = [TextLoss(math.log(2) * 2, 2), TextLoss(math.log(8), 1)]
    after = [TextLoss(math.log(4) * 2, 2), TextLoss(math.log(4), 1)]
    found = perplexity(before, after)
    assert found.before.value == pytest.approx((2 * 2 * 8) ** (1 / 3))
    assert found.after.value == pytest.approx(4.0)
    assert found.change.value == pytest.approx(4 - 32 ** (1 / 3))
    # Resamples of two texts: first twice (2), both (32^(1/3)), second twice (8).
    assert (found.before.low, found.before.high) == pytest.approx((2, 8))
    assert (found.after.low, found.after.high) == pytest.approx((4, 4))
    assert found.before.n == 2


def test_a_diverged_student_is_an_error_and_no_nan():
    fine = [TextLoss(1.0, 1)]
    for nats in (math.nan, math.inf, 1000.0):
        with pytest.raises(ModelError, match=r"after training.*diverged"):
            perplexity(fine, [TextLoss(nats, 1)])
    with pytest.raises(InputError, match="no neutral texts"):
        perplexity([], [])
