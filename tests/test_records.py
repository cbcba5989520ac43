from dataclasses import replace

import pytest

from cai_lite.records import Message, Request, Sampling

REQUEST = Request(
    messages=(Message("user", "Hello"),),
    sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=64, seed=1),
    options=("yes", "no"),
)


def sampled(**settings):
    return replace(REQUEST, sampling=replace(REQUEST.sampling, **settings))


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=(Message("user", "Hallo"),)),
        replace(REQUEST, messages=(Message("system", "Hello"),)),
        replace(REQUEST, options=("no", "yes")),
        replace(REQUEST, options=()),
        replace(REQUEST, index=1),
        sampled(temperature=0.8),
        sampled(temperature=0.0),
        sampled(top_p=1.0),
        sampled(max_tokens=65),
        sampled(seed=2),
    ],
)
def test_whatever_decides_an_answer_is_in_the_key_of_its_call(other):
    assert other.key("model") != REQUEST.key("model")


def test_the_model_is_in_the_key_of_a_call():
    assert REQUEST.key("model") != REQUEST.key("another")
    assert REQUEST.key("model") == replace(REQUEST).key("model")


def test_the_seed_of_a_greedy_call_decides_nothing():
    assert sampled(temperature=0.0, seed=1).key("model") == sampled(temperature=0.0, seed=2).key("model")
