"""The warm-up in steps and shares, and which settings decide the identity of a training."""

from __future__ import annotations

import pytest

from cai_lite.errors import InputError
from cai_lite.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, 0), ({"warmup": 0.1}, 7), ({"warmup": 5}, 5), ({"warmup": 1}, 1), ({"warmup_steps": 4}, 4)],
)
def test_the_warm_up_is_a_share_of_the_steps_or_a_number_of_them(settings, steps):
    assert TrainingConfig(**settings).warmup_of(63) == steps


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"warmup": 0.1, "warmup_steps": 5}, r"'warmup' \(0.1\) and 'warmup_steps' \(5\) are both given; keep one"),
        ({"warmup": 1.5}, r"'warmup' should be a share of the steps below 1, or a whole number of steps, got 1.5"),
        ({"warmup": -1}, "'warmup' should be from 0 to 1,000,000,000, got -1"),
        ({"eval_every": -2}, "'eval_every' should be auto, or from 0 to 1,000,000,000, got -2"),
        ({"keep": "worst"}, "'keep' should be one of best, last, got worst"),
        ({"early_stop": -1}, "'early_stop' should be from 0 to 1,000,000,000"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        TrainingConfig(**settings)


def test_settings_that_were_added_later_join_the_identity_only_where_they_decide_the_result():
    plain = TrainingConfig().identity()
    assert not {"warmup", "eval_every", "keep", "early_stop"} & set(plain)
    assert plain == TrainingConfig(eval_every=5, keep="last", early_stop=2).identity()
    assert TrainingConfig(warmup=5).identity() == TrainingConfig(warmup_steps=5).identity() != plain
    assert TrainingConfig(warmup=0.1).identity() == {**plain, "warmup": 0.1}
