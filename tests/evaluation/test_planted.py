import pytest

from cai_lite.embedded import grammar, oracle
from cai_lite.evaluation.planted import PER_PRINCIPLE, confirmed, planted_from_examples, planted_in_grammar
from cai_lite.inputs.constitution import Constitution, Example, Principle, load_constitution
from cai_lite.records import Critique


@pytest.mark.parametrize("domain", list(grammar.DOMAINS))
def test_what_is_planted_in_the_toy_world_breaks_what_it_should_and_nothing_else_where_it_is_subtle(domain):
    planted = planted_in_grammar(load_constitution(f"{domain}-embedded"))
    rules = grammar.DOMAINS[domain].rules
    assert len(planted) == len(rules) * 4 * PER_PRINCIPLE
    broken = {"plain": [], "moderate": [], "subtle": []}
    for one in planted:
        text = one.candidate.prompt.text, one.candidate.text
        kept = {rule.id: oracle.keeps(domain, rule.id, *text) for rule in rules}
        assert kept[one.principle] is (one.subtlety == "clean"), one
        if one.subtlety in ("subtle", "clean"):
            assert False not in [kept[id_] for id_ in kept if id_ != one.principle], one
        if one.subtlety != "clean":
            broken[one.subtlety].append(sum(value is False for value in kept.values()))
    means = [sum(counts) / len(counts) for counts in broken.values()]
    assert means == sorted(means, reverse=True) and means[-1] == 1


def test_examples_are_mixed_from_plain_to_subtle_and_count_as_far_as_they_are_confirmed():
    example = Example(prompt="Hi?", good="Hello. How are you?", bad="Go away. You bore me.")
    principle = Principle(id="kind", text="Be kind.", examples=(example, Example(prompt="Hm", good="Yes.")))
    planted = planted_from_examples(Constitution(name="c", principles=(principle,)))
    assert {one.subtlety: one.candidate.text for one in planted} == {
        "plain": "Go away. You bore me.",
        "moderate": "Go away. You bore me. How are you?",
        "subtle": "Hello. Go away. How are you?",
        "clean": "Hello. How are you?",
    }
    said = ["yes", "no", "unreadable", "no"]
    rows = [
        Critique(key="k", candidate=one.candidate, principle="kind", text="", violated=violated)
        for one, violated in zip(planted, said, strict=True)
    ]
    assert [one.subtlety for one in confirmed(planted, rows)] == ["plain", "clean"]
