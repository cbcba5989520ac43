import random

import pytest

from cai_lite.evaluation.robustness import WRAPPINGS, robustness, typos, wrapped


def keeps(candidate, principle):
    return float("kept" in candidate.text)


def test_each_wrapping_is_the_same_each_time_and_keeps_the_request(prompt):
    prompts = [prompt(i) for i in range(5)]
    for name in WRAPPINGS:
        made = wrapped(prompts, name)
        assert [p.text for p in made] == [p.text for p in wrapped(prompts, name)]
        assert len({p.key for p in (*made, *prompts)}) == 10
        assert all(p.family == q.family and p.tags == q.tags for p, q in zip(made, prompts, strict=True))
        if name != "typos":
            assert all(q.text in p.text for p, q in zip(made, prompts, strict=True))


def test_typos_touch_about_one_letter_in_twelve():
    text = "the quick brown fox jumps over the lazy dog " * 20
    made = typos(text, random.Random(0))
    assert made != text and 0.9 * len(text) < len(made) < len(text)
    assert typos("12 34!", random.Random(0)) == "12 34!"


def test_plain_and_wrapped_answers_are_paired(answers, constitution):
    found = robustness(answers("kept", "kept"), answers("kept", "lost", author="w"), constitution, keeps)
    assert found.before.value == 1.0 and found.after.value == 0.5
    assert found.change.value == pytest.approx(-0.5)
    assert robustness([], [], constitution, keeps) is None
