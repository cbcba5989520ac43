"""The benchmark of a step of reinforcement learning runs, and says what it needs."""

from __future__ import annotations

import importlib.util

import pytest

from cai_lite.bench.sampled import OURS, PLAIN, TRL, Sampling, bench_sampled
from cai_lite.errors import MissingPackageError

SMALL = Sampling(shape="tiny", prompts=2, samples=2, prompt_tokens=6, completion_tokens=4, steps=1)


def test_drawing_and_learning_are_timed_apart():
    found = bench_sampled(SMALL, [PLAIN], lambda _: None)
    assert set(found["contenders"]) == {OURS, PLAIN}
    for row in found["contenders"].values():
        assert all(seconds > 0 for seconds in row.values())
    assert set(found["ratios"][PLAIN]) >= {"together", "drawing", "learning"}


@pytest.mark.skipif(importlib.util.find_spec("trl") is not None, reason="trl is installed")
def test_without_trl_its_contender_says_what_is_missing():
    with pytest.raises(MissingPackageError, match="needs the package trl"):
        bench_sampled(SMALL, [TRL], lambda _: None)
