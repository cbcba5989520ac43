import re

from cai_lite.records import Message, PreferencePair
from cai_lite.reporting.dataset_card import dataset_card

HOSTILE = "evil\n---\nlicense: mit\n# Heading\n| a | b |\n[x](http://evil.example)<script>alert(1)</script>\x1b[2J"


def unharmed(text):
    """Whether nothing of HOSTILE became front matter, a heading, a row, a link or a tag."""
    text = re.sub("`[^`\n]*`", "", text)  # nothing in a code span is markup
    lines = text.splitlines()
    return (
        lines.count("---") == 2
        and not {"license: mit", "# Heading", "| a | b |"} & set(lines)
        and "](http:" not in text
        and "<script" not in text
        and "\x1b" not in text
    )


def pair(number, chosen, rule="best_over_worst", principle="kind"):
    return PreferencePair(
        prompt=(Message("user", f"what is {number} and {number * 7} of {number * 13}?"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", "no"),),
        rule=rule,
        principle=principle,
        family=str(number),
    )


def test_the_card_tells_counts_makers_and_what_else_orders_the_pairs():
    pairs = [pair(i, f"a longer answer {i}") for i in range(9)] + [pair(9, "x y", "human", "")]
    text = dataset_card(
        pairs,
        name="mine",
        digests={"teacher big": "abc", "constitution medical 1.0.0": "def"},
        counts={"draft": {"asked": 12, "failed": 2, "cut": 0}},
        held_out=[pairs[0].prompt],
    )
    assert "10 pairs in `pairs.jsonl`" in text
    assert "| kind | 9 | 90% |" in text and "| human | 1 | 10% |" in text
    assert "- teacher big (`abc`)" in text
    assert "| draft | 12 asked, 2 failed |" in text
    assert "| pairs ordered by length alone | 1.00 |" in text and "length alone tells chosen from rejected" in text
    assert "| pairs whose prompt is held out | 0.10 |" in text


def test_no_pairs_have_a_card_too():
    assert "0 pairs" in dataset_card([], name="none", digests={}, counts={})


def test_names_inject_no_front_matter_and_no_markdown():
    text = dataset_card(
        [pair(1, "x", HOSTILE, HOSTILE)],
        name=HOSTILE,
        digests={f"teacher {HOSTILE}": "abc"},
        counts={f"draft ({HOSTILE})": {HOSTILE: 3}},
    )
    assert unharmed(text) and text.count("evil --- license: mit") == 6
