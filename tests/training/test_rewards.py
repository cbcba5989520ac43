"""Rewards joined by weights, penalties for form, and values that cannot be used."""

from __future__ import annotations

import math

import pytest

from cai_lite.errors import TrainingError
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.prompts import as_prompts
from cai_lite.training.rewards import broken_checks, digest_of, malformed, mixed, over_messages, rewarded

PROMPTS = as_prompts(["one", "two"], "train")


def test_a_mix_adds_the_parts_by_their_weights_and_is_none_where_one_is():
    reward = mixed([(2.0, lambda prompts, replies: [1.0, None]), (-0.5, lambda prompts, replies: [4.0, 1.0])])
    assert reward(PROMPTS, ["a", "b"]) == [0.0, None]


def test_a_function_over_messages_is_a_reward():
    reward = over_messages(lambda prompts, replies: [float(len(each[-1].content)) for each in prompts])
    assert reward(PROMPTS, ["a", "b"]) == [3.0, 3.0]


def test_failed_checks_count_and_those_that_abstain_do_not():
    constitution = Constitution(
        name="c",
        principles=(
            Principle(id="short", text="Be short.", checks=Checks(max_words=2)),
            Principle(id="polite", text="Say please.", checks=Checks(require_any=("please",))),
            Principle(id="unchecked", text="Be good."),
        ),
    )
    assert broken_checks(constitution)(PROMPTS, ["now and here", "please"]) == [-2.0, 0.0]
    assert broken_checks(constitution)(PROMPTS[:1], [""]) == [0.0]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("", True),
        ("  ", True),
        ("Rest, drink water, and see a doctor if it does not get better by tomorrow.", False),
        ("yes yes yes yes yes yes yes yes", True),
        ("I am here to help. I am here to help. I am here to help.", True),
        ("No.", False),
    ],
)
def test_empty_replies_and_loops_are_malformed(reply, found):
    assert malformed(reply) is found


def test_missing_rewards_are_nan_and_most_of_them_stop_the_training():
    found = rewarded(lambda prompts, replies: [None, 1], PROMPTS, ["a", "b"])
    assert math.isnan(found[0])
    assert found[1] == 1.0
    with pytest.raises(TrainingError, match="2 of 2 replies have no reward"):
        rewarded(lambda prompts, replies: [None, math.nan], PROMPTS, ["a", "b"])
    with pytest.raises(TrainingError, match="the reward of a reply is infinite"):
        rewarded(lambda prompts, replies: [1.0, math.inf], PROMPTS, ["a", "b"])
    with pytest.raises(TrainingError, match="3 values for 2 replies"):
        rewarded(lambda prompts, replies: [1.0] * 3, PROMPTS, ["a", "b"])


def test_a_reward_is_known_by_its_digest_or_else_its_name():
    class Own:
        digest = "mine"

    assert digest_of(Own()) == "mine"
    assert digest_of(malformed) == digest_of(malformed) != digest_of(mixed)
