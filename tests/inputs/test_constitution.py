from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from cai_lite.errors import ConstitutionError
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import (
    Conflict,
    Constitution,
    Principle,
    draw,
    load_constitution,
    read_constitution,
)
from cai_lite.inputs.prompts import all_prompts
from cai_lite.records import Message, Prompt

WHOLE = """\
name: desk
version: "1.0.0"
description: A test.
principles:
  - id: be-kind
    text: >
      Be kind.
    weight: 2
    priority: 1
    applies_to: [order]
    critique: Where is it unkind?
    revise: Make it kind.
    checks:
      forbid: ["\\\\bstupid\\\\b"]
      require_any: ["sorry", "thank"]
      max_words: 5
    examples:
      - {prompt: Hi, good: Hello, bad: Go, why: Manners}
    source: common sense
  - id: be-brief
    text: Be brief.
conflicts:
  - {between: [be-kind, be-brief], prefer: be-kind, when: always}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "desk.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def prompt(key: str, *tags: str) -> Prompt:
    return Prompt(key=key, messages=(Message("user", key),), family=key, tags=tags)


def of(*principles: Principle) -> Constitution:
    return Constitution(name="test", principles=principles)


def test_everything_of_the_format_is_read(tmp_path: Path) -> None:
    constitution = load_constitution(write(tmp_path, WHOLE))
    kind = constitution.principle("be-kind")
    assert (constitution.name, constitution.version, constitution.path) == (
        "desk",
        "1.0.0",
        str(tmp_path / "desk.yaml"),
    )
    assert (kind.text, kind.weight, kind.priority, kind.line) == ("Be kind.", 2.0, 1, 5)
    assert kind.checks == Checks(forbid=("\\bstupid\\b",), require_any=("sorry", "thank"), max_words=5)
    assert kind.examples[0].why == "Manners"
    assert constitution.principle("be-brief") == Principle(id="be-brief", text="Be brief.")
    assert (constitution.conflicts[0].prefer, constitution.conflicts[0].line) == ("be-kind", 23)


@pytest.mark.parametrize("name", ["medical", "customer-service", "creative"])
def test_the_packaged_constitutions_are_sound(name: str) -> None:
    constitution = load_constitution(name)
    assert len(constitution.principles) >= 4
    for principle in constitution.principles:
        assert principle.line > 0
        for example in principle.examples if principle.checks else ():
            assert principle.checks
            assert principle.checks.passed(example.good), (principle.id, example.good)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "id: be-brief",
            "id: be-kind",
            "desk.yaml:20: the id 'be-kind' appears twice, first on line 5; give each principle its own",
        ),
        ("id: be-brief", "id: Be Brief", "desk.yaml:20: in 'principles[1]': 'id' should consist of a-z, 0-9 and '-'"),
        ("text: Be brief.", "text: ' '", "desk.yaml:21: in 'principles[1]': 'text' of principle 'be-brief' is empty"),
        (
            "text: Be brief.",
            "txt: Be brief.",
            "desk.yaml:21: unknown key 'txt' in 'principles[1]'; did you mean 'text'?",
        ),
        (
            "weight: 2",
            "weight: 0",
            "desk.yaml:8: in 'principles[0]': 'weight' of principle 'be-kind' should be above 0",
        ),
        (
            '"sorry"',
            '"(sorry"',
            "desk.yaml:15: 'require_any' of principle 'be-kind': '(sorry' is not a regular expression",
        ),
        ('"sorry"', '"[[a]"', "desk.yaml:15: 'require_any' of principle 'be-kind': '[[a]' is not a regular expression"),
        ('"sorry"', '"s*"', "desk.yaml:15: 'require_any' of principle 'be-kind': 's*' matches every text"),
        ("max_words: 5", "max_words: 0", "desk.yaml:16: in 'principles[0].checks': 'max_words' should be at least 1"),
        ("between: [be-kind, be-brief]", "between: [be-kind, be-brif]", "desk.yaml:23: the conflict names the unknown"),
        ("between: [be-kind, be-brief]", "between: [be-kind]", "desk.yaml:23: 'between' should name two principles"),
        (
            "prefer: be-kind",
            "prefer: be-kin",
            "desk.yaml:23: the conflict names the unknown principle 'be-kin'; did you",
        ),
        (
            'version: "1.0.0"',
            "version: 1.0",
            "desk.yaml:2: 'version' should be text, got number 1.0 (write it in quotes)",
        ),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in WHOLE
    with pytest.raises(ConstitutionError) as caught:
        load_constitution(write(tmp_path, WHOLE.replace(old, new, 1)))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["name: empty", "principles: []"])
def test_a_constitution_without_principles_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConstitutionError, match=r"desk\.yaml(:1)?: a constitution needs at least one principle"):
        load_constitution(write(tmp_path, text))


def test_an_unknown_principle_is_told_with_the_nearest() -> None:
    with pytest.raises(ConstitutionError, match="no principle 'a-c'; did you mean 'a-b'"):
        of(Principle(id="a-b", text="x")).principle("a-c")


def test_a_principle_applies_by_tag() -> None:
    principle = Principle(id="a", text="x", applies_to=("order",))
    assert principle.applies(prompt("p", "order", "late"))
    assert not principle.applies(prompt("p", "account"))
    assert Principle(id="b", text="x").applies(prompt("p"))


def test_the_digest_of_a_principle_is_of_what_enters_requests() -> None:
    principle = Principle(id="a", text="x")
    assert replace(principle, weight=3.0, priority=1, source="s", line=9).digest == principle.digest
    assert replace(principle, text="y").digest != principle.digest
    assert replace(principle, revise="y").digest != principle.digest


def test_the_digest_of_a_constitution_is_of_all_it_says_and_not_of_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    one = load_constitution(write(tmp_path, WHOLE))
    assert load_constitution(write(tmp_path / "elsewhere", "# moved\n" + WHOLE)).digest == one.digest
    for old, new in (("weight: 2", "weight: 3"), ("max_words: 5", "max_words: 6"), ("when: always", "when: never")):
        assert load_constitution(write(tmp_path, WHOLE.replace(old, new))).digest != one.digest


def test_drawing_takes_those_that_apply_without_repeats() -> None:
    constitution = of(*(Principle(id=f"p{i}", text="x", applies_to=("a",) if i < 2 else ()) for i in range(5)))
    drawn = draw(constitution, prompt("k", "a"), 3)
    assert len({principle.id for principle in drawn}) == 3
    assert {principle.id for principle in draw(constitution, prompt("k"), 9)} == {"p2", "p3", "p4"}
    assert draw(constitution, prompt("k", "a"), 3) == drawn


def test_a_new_principle_moves_no_other_draw() -> None:
    principles = tuple(Principle(id=f"p{i}", text="x") for i in range(6))
    for key in map(str, range(50)):
        before = [p.id for p in draw(of(*principles[:5]), prompt(key), 5)]
        after = [p.id for p in draw(of(*principles), prompt(key), 6)]
        assert [id for id in after if id != "p5"] == before


def test_the_first_drawn_follows_the_weights() -> None:
    """With weights 1, 2 and 5 the first is drawn with 1/8, 2/8 and 5/8; chi-square by scipy."""
    constitution = of(*(Principle(id=f"w{w:.0f}", text="x", weight=w) for w in (1.0, 2.0, 5.0)))
    found = Counter(draw(constitution, prompt(str(i)), 1)[0].weight for i in range(4000))
    observed = [found[w] for w in (1.0, 2.0, 5.0)]
    assert stats.chisquare(observed, [4000 * w / 8 for w in (1.0, 2.0, 5.0)]).pvalue > 0.001
    assert math.isclose(sum(observed), 4000)


SAFETY_TAGS = {"red-flag", "unsafe", "adversarial", "benign-twin", "false-premise", "unknowable", "private-person"}


@pytest.mark.parametrize(
    ("constitution", "prompts"),
    [
        ("medical", "medical"),
        ("customer-service", "customer-service"),
        ("creative", "creative"),
        ("helpful-honest-harmless", "helpful-honest"),
    ],
)
def test_every_packaged_prompt_with_a_safety_tag_is_asked_about_the_principle_of_that_tag(
    constitution, prompts, repository
):
    read = load_constitution(constitution)
    for prompt in all_prompts(repository / "recipes" / "prompts" / f"{prompts}.jsonl"):
        drawn = draw(read, prompt, 1)
        for tag in SAFETY_TAGS & set(prompt.tags):
            assert any(tag in principle.applies_to for principle in drawn), f"{tag}: {prompt.text}"


def test_a_mandatory_principle_is_drawn_wherever_it_applies_and_the_rest_by_weight():
    def tagged(*tags):
        return Prompt(key=str(tags), messages=(Message("user", "?"),), family="f", tags=tags)

    rows = tuple(Principle(id=f"p{i}", text="Be kind.", weight=50.0) for i in range(6))
    read = Constitution(
        name="c",
        principles=(
            *rows,
            Principle(id="first", text="Be safe.", priority=1, weight=0.01),
            Principle(id="tagged", text="Be calm.", always=True, applies_to=("alarm",), weight=0.01),
        ),
    )
    assert [p.id for p in draw(read, tagged(), 1)] == ["first"]
    assert {p.id for p in draw(read, tagged("alarm"), 1)} == {"first", "tagged"}
    drawn = [p.id for p in draw(read, tagged("alarm"), 4)]
    assert {"first", "tagged"} < set(drawn) and len(drawn) == 4


def test_always_joins_the_digest_only_where_it_is_set():
    plain = Constitution(name="c", principles=(Principle(id="a", text="Be kind."),))
    assert plain.digest == replace(plain, principles=(Principle(id="a", text="Be kind.", always=False),)).digest
    assert plain.digest != replace(plain, principles=(Principle(id="a", text="Be kind.", always=True),)).digest


SLOW = """principles:
  - id: be-kind
    text: Reply kindly.
    checks: {forbid: ['stupid', '(a+)+$']}
"""


def test_a_pattern_that_may_never_return_is_refused_with_its_line_unless_it_is_silenced(tmp_path):
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW, encoding="utf-8")
    with pytest.raises(ConstitutionError) as caught:
        load_constitution(path)
    assert str(caught.value) == (
        f"{path}:4: 'forbid' of principle 'be-kind': '(a+)+$' can need exponential time: a repeat contains another "
        "repeat, and no fixed character delimits it; let only one repeat match each part of a text, or limit it, "
        "as in {0,80}"
    )
    assert read_constitution(path, slow_patterns=True).principles  # as the linter reads it, to report them all
    path.write_text(SLOW + "silence: [{rule: slow-pattern, reason: replies are short}]\n", encoding="utf-8")
    assert load_constitution(path).principles


def test_what_yields_under_a_condition_is_told_apart():
    principles = tuple(Principle(id=name, text="Be kind.") for name in ("a", "b", "c"))
    conflicts = (Conflict(between=("a", "b"), prefer="a"), Conflict(between=("a", "c"), prefer="a", when="asked to"))
    read = Constitution(name="c", principles=principles, conflicts=conflicts)
    prompt = Prompt(key="p", messages=(Message("user", "?"),), family="f")
    assert read.yields_to("a", prompt) == ("b",) and read.yields_to("a", prompt, conditional=True) == ("c",)
    assert read.yields_to("b", prompt) == ()


def test_a_principle_that_compares_replies_keeps_its_words_in_a_request_about_one():
    compares = Principle(id="c", text="Please choose the response that is the most honest.")
    assert compares.comparative
    assert compares.behaviour == f"The reply is one that would be chosen under this request: {compares.text}"
    plain = Principle(id="p", text="Choose plain words.")
    assert not plain.comparative and plain.behaviour == plain.text


@pytest.mark.parametrize("name", ["anthropic-choose", "anthropic-critique-revision"])
def test_the_published_principles_are_whole(name):
    principles = load_constitution(name).principles
    assert len(principles) == 16 and all("arXiv:2212.08073" in principle.source for principle in principles)
    if name == "anthropic-choose":
        assert all(principle.comparative for principle in principles)
    else:
        assert all(principle.critique and principle.revise for principle in principles)
