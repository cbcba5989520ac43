"""Drawing tokens: against the probabilities, and the search among the likeliest tokens against a whole sort."""

import random

import pytest
import torch

from cai_lite.chat import sampling
from cai_lite.chat.sampling import LIKELIEST, by_whole_sort, draw
from cai_lite.records import Request, Sampling


def whole(logits, asked, uniform):
    """The draw of earlier versions, which sorted the whole vocabulary at every token."""
    temperature = torch.tensor([request.sampling.temperature or 1.0 for request in asked])
    top_p = torch.tensor([request.sampling.top_p for request in asked])
    drawn = by_whole_sort((logits / temperature[:, None]).softmax(-1), top_p, torch.tensor(uniform))
    greedy = torch.tensor([request.sampling.temperature == 0 for request in asked])
    return torch.where(greedy, (logits / temperature[:, None]).softmax(-1).argmax(-1), drawn)


def test_sampling_follows_the_softmax():
    """10,000 uniform numbers on a grid must hit each token in proportion to its probability."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5])
    request = Request(messages=(), sampling=Sampling(temperature=0.7))
    grid = [(i + 0.5) / 10000 for i in range(10000)]
    drawn = draw(logits.repeat(10000, 1), [request] * 10000, grid)
    share = torch.bincount(drawn, minlength=4) / 10000
    assert torch.allclose(share, (logits / 0.7).softmax(-1), atol=2e-4)


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    request = Request(messages=(), sampling=Sampling(temperature=1.0, top_p=0.75))
    drawn = {int(draw(logits, [request], [u / 100])[0]) for u in range(100)}
    assert drawn == {0, 1}


@pytest.mark.parametrize("sharpness", [0.0, 0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # 16-bit logits have many ties
def test_searching_the_likeliest_tokens_draws_the_same_token_as_a_whole_sort(sharpness, dtype):
    generator, numbers = torch.Generator().manual_seed(0), random.Random(0)
    rows, vocabulary = 400, 5000
    logits = (sharpness * torch.randn(rows, vocabulary, generator=generator)).to(dtype).float()
    asked = [
        Request(
            messages=(),
            sampling=Sampling(
                temperature=numbers.choice([0, 0.3, 0.7, 1.0, 1.5]),
                top_p=numbers.choice([1e-9, 0.1, 0.5, 0.9, 0.99, 0.999999, 1.0]),
            ),
        )
        for _ in range(rows)
    ]
    uniform = [numbers.choice([numbers.random(), 0.0, 1e-7, 0.5, 1 - 2**-24]) for _ in range(rows)]
    assert torch.equal(draw(logits, asked, uniform), whole(logits, asked, uniform))


def test_the_whole_vocabulary_is_sorted_only_for_rows_that_need_it(monkeypatch):
    logits = 4 * torch.randn(64, 5000, generator=torch.Generator().manual_seed(0))
    sorted_rows = []

    def counted(probs, top_p, uniform):
        sorted_rows.append(len(probs))
        return by_whole_sort(probs, top_p, uniform)

    monkeypatch.setattr(sampling, "by_whole_sort", counted)
    request = Request(messages=(), sampling=Sampling(temperature=1.0))
    draw(logits, [request] * 64, [i / 80 for i in range(64)])  # 0 to 0.8
    few = sum(sorted_rows)  # numbers too close to the border of two tokens to be certain
    assert few <= 2
    sorted_rows.clear()
    draw(logits, [request] * 64, [i / 80 for i in range(63)] + [0.9999999])
    assert sum(sorted_rows) <= few + 1


def test_of_equally_likely_tokens_the_one_with_the_lowest_id_comes_first():
    logits = torch.zeros(1, 4 * LIKELIEST)
    request = Request(messages=(), sampling=Sampling(temperature=1.0))
    for token in (0, LIKELIEST - 1, LIKELIEST, 4 * LIKELIEST - 1):
        assert int(draw(logits, [request], [(token + 0.5) / (4 * LIKELIEST)])[0]) == token
