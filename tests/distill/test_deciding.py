"""The verdict parser on strings that somebody else labelled, without having seen its rules.

`verdicts.yaml` was looked at while the rules were written; `verdicts_held_out.yaml` never was: its figures say how the
rules do on judges nobody here has met. A wrong reading is far worse than an unreadable one.
"""

import time
from pathlib import Path

import pytest
import yaml

from cai_lite.chat.thoughts import split_thought
from cai_lite.distill.deciding import last_verdict, verdict_of

SETS = {
    name: yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    for name in ("verdicts", "verdicts_held_out")
}
ASKED = {"pairwise": (("A", "B"), "tie"), "pointwise": (("yes", "no"), "")}


def shares(rows, options, tie):
    """(read rightly among the readable, read wrongly among all)."""
    read = [(verdict_of(split_thought(row["text"]).answer, options, tie) or "unreadable", row["label"]) for row in rows]
    wrong = sum(said not in (label, "unreadable") for said, label in read)
    readable = [(said, label) for said, label in read if label != "unreadable"]
    return sum(said == label for said, label in readable) / len(readable), wrong / len(read)


@pytest.mark.parametrize("kind", ASKED)
def test_verdicts_that_were_looked_at_are_read_and_none_wrongly(kind):
    right, wrong = shares(SETS["verdicts"][kind], *ASKED[kind])
    assert right >= 0.92 and wrong == 0


@pytest.mark.parametrize("kind", ASKED)
def test_verdicts_that_were_never_looked_at_are_hardly_ever_read_wrongly(kind):
    right, wrong = shares(SETS["verdicts_held_out"][kind], *ASKED[kind])
    assert right >= 0.55 and wrong <= 0.02


@pytest.mark.parametrize("name", SETS)
def test_thoughts_of_many_models_are_separated_from_their_answers(name):
    rows = SETS[name]["spoken"]
    assert sum(split_thought(row["text"]).answer == row["answer"].strip() for row in rows) >= len(rows) - 2


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A tie.", "tie"),
        ("A and B are equal.", "tie"),
        ("A better reply would say why, and B does", None),
        ("A is worse; B.", None),
        ("A or B", None),
        ("A: breaks it.\nB: keeps it.", None),
        ("A. Reply B breaks the principle.", "A"),
        ("(B) because it asks first", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ('```json\n{"reason": "B is vague", "verdict": "A"}\n```', "A"),
        ('{"verdict": "A", "winner": "B"}', None),
        ("A. Wait, that one breaks it. Final answer: B", "B"),
        ("Neither is perfect, but B is slightly better.", None),
        ("", None),
    ],
)
def test_a_letter_is_read_only_where_it_is_a_verdict(text, verdict):
    assert verdict_of(text, ("A", "B"), "tie") == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("No doubt it keeps the principle", None),
        ("No issues: all is said", "yes"),
        ("Yes and no.", None),
        ("Yes, it violates the principle.", None),
        ("No, it keeps the principle.", None),
        ("✅ Yes", "yes"),
        ("**No.** It breaks the principle", "no"),
        ("yesterday it was", None),
        ("noted", None),
        ('{"violates": true}', "no"),
    ],
)
def test_a_word_is_read_only_where_it_is_a_verdict(text, verdict):
    assert verdict_of(text, ("yes", "no")) == verdict


def test_the_last_verdict_of_a_chain_of_thought_counts():
    said = "Verdict: A seems likely at first.\nBut it scolds.\n**Verdict:** B"
    assert last_verdict(said, ("A", "B"), "tie") == "B"
    assert last_verdict("I think that A is better", ("A", "B")) is None
    assert last_verdict("Verdict: A or B", ("A", "B")) is None


@pytest.mark.parametrize(
    "piece", ["A", "A ", "Answer: ", "no ", "is ", "but A is better ", "[[", "{", "\n", '"', "wait "]
)
def test_reading_takes_time_in_proportion_to_the_text(piece):
    began = time.process_time()
    verdict_of(piece * 50_000, ("A", "B"), "tie")
    verdict_of("yes " + piece * 50_000, ("yes", "no"))
    assert time.process_time() - began < 5.0
