import pytest

from cai_lite.evaluation.superficial import checks_gap, phrasing_gap, warnings_of
from cai_lite.stats import Figure


def keeps(candidate, principle):
    return float("kept" in candidate.text)


def words(candidate, principle):
    return float("word" in candidate.text)


def test_a_gain_on_seen_prompts_alone_is_a_gap(answers, constitution):
    seen = answers(*["lost"] * 8), answers(*["kept"] * 8, author="after")
    unseen = answers(*["lost"] * 8), answers(*["lost"] * 8, author="after")
    found = phrasing_gap(seen, unseen, constitution, keeps)
    assert found.value == 1.0 and found.n == 16
    assert "prompts as in training" in warnings_of({"phrasing_gap": found})[0]
    assert phrasing_gap(seen, seen, constitution, keeps).value == 0.0
    assert phrasing_gap(([], []), seen, constitution, keeps) is None


def test_words_that_only_the_checks_look_for_are_a_gap(answers, constitution):
    before, after = answers("lost", "lost", "lost"), answers("word", "word kept", "word", author="after")
    found = checks_gap((before, after), constitution, words, keeps)
    assert found.value == pytest.approx(2 / 3)
    surely = {"checks_gap": Figure(0.5, 9, 0.2, 0.8)}
    assert "machine checks see a gain" in warnings_of(surely)[0]
    assert checks_gap((before, after), constitution, lambda c, p: None, keeps) is None
