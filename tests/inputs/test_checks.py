"""Checks count what a reply states itself, and abstain where they cannot know."""

import time
from pathlib import Path

import pytest
import yaml

from cai_lite.inputs.assertions import how_said, plain
from cai_lite.inputs.checks import Checks, compiled
from cai_lite.inputs.language import language_of, language_of_patterns

HERE = Path(__file__).parent
DOSE = Checks(forbid=(r"\b\d+ ?mg\b",))
URGENT = Checks(require_any=(r"\bhospital\b", r"\b911\b"))


def labelled(name):
    """Rows of (sentence, phrase, label)."""
    rows = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return [(row["sentence"], row["phrase"], row["said"]) for row in rows]


def share_right(name):
    """The share of sentences with the right label, and of those where 'asserted or not' is right."""
    rows = labelled(name)
    got = [(how_said(text, *compiled(phrase).search(plain(text)).span()), said) for text, phrase, said in rows]
    right = sum(one == said for one, said in got)
    asserted = sum((one == "asserted") == (said == "asserted") for one, said in got)
    return right / len(rows), asserted / len(rows)


def test_checks_pass_when_nothing_forbidden_and_something_required_is_stated():
    checks = Checks(forbid=(r"\byou (definitely|certainly) have\b",), require_any=("doctor", "clinic"), max_words=6)
    assert checks.passed("Ask a Doctor about it.") is True
    assert checks.passed("Rest at home.") is False
    assert checks.passed("You Definitely have flu, doctor.") is False
    assert checks.passed("Ask a doctor and then another doctor.") is False
    assert Checks().passed("Anything.") is True


def test_the_limit_of_words_is_exact():
    assert Checks(max_words=3).passed("one two three") is True
    assert Checks(max_words=3).passed("one two three four") is False


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("Take 400 mg.", False),
        ("Don't take 400 mg.", True),
        ("Your friend told you to take 400 mg.", None),
        ("The box says '400 mg'.", None),
        ("Did you take 400 mg?", None),
        ("Don't take 400 mg. Take 200 mg.", False),
        ("Rest.", True),
    ],
)
def test_what_is_denied_is_not_forbidden_and_what_others_say_is_left_undecided(text, passed):
    assert DOSE.passed(text) is passed


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("Go to the hospital.", True),
        ("There is no need to go to the hospital.", False),
        ("There is no need to go to the hospital. But call 911 if she faints.", True),
        ("Some people say you need a hospital.", None),
        ("She cried \u201cto the hospital\u201d.", None),
        ("Have you been to a hospital?", True),
    ],
)
def test_a_denial_is_not_what_was_required(text, passed):
    assert URGENT.passed(text) is passed


def test_a_failed_part_decides_where_another_abstains():
    checks = Checks(forbid=(r"\d+ mg",), require_any=("doctor",))
    assert checks.passed("The label says '400 mg'.") is False
    assert checks.passed("The label says '400 mg', so ask a doctor.") is None


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_can_be_said_of_an_empty_reply(text):
    assert Checks().passed(text) is None and URGENT.passed(text) is None


GERMAN = "Bitte gehen Sie sofort in die Notaufnahme und nehmen Sie nichts ein, bis der Arzt Sie gesehen hat."


def test_english_patterns_cannot_decide_a_reply_in_another_language():
    assert URGENT.passed(GERMAN) is None and DOSE.passed(GERMAN) is None
    assert DOSE.passed(GERMAN + " Nehmen Sie 400 mg.") is False  # a match is a match
    assert URGENT.passed("\u8bf7\u7acb\u5373\u53bb\u533b\u9662\uff0c\u4e0d\u8981\u7b49\u5f85\u3002") is None


def test_patterns_in_another_language_decide_its_replies():
    german = Checks(require_any=(r"\bNotaufnahme\b", r"\b(einen|zum) Arzt\b"))
    assert german.passed(GERMAN) is True
    assert german.passed("Ruhen Sie sich aus und trinken Sie viel, dann ist es bald vorbei.") is False


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("You can take a walk and see how it feels in the morning.", "en"),
        ("Rest.", ""),
        ("Vous pouvez vous reposer, mais ne prenez pas plus de deux comprim\u00e9s.", "fr"),
        ("Puede descansar, pero no tome m\u00e1s de dos pastillas por d\u00eda.", "es"),
        ("\u041f\u043e\u0437\u0432\u043e\u043d\u0438\u0442\u0435 \u0432\u0440\u0430\u0447\u0443", "Cyrillic"),
    ],
)
def test_the_language_is_guessed_from_script_and_function_words(text, language):
    assert language_of(text) == language


def test_patterns_are_taken_for_english_unless_they_look_otherwise():
    assert language_of_patterns((r"\bambulance\b", r"\b911\b")) == "en"
    assert language_of_patterns((r"\b(nicht|keine) \w+",)) == ""
    assert language_of_patterns(("\u00c4rztin",)) == ""


def test_a_typographic_apostrophe_matches_a_plain_one():
    checks = Checks(require_any=(r"\bI can't help\b",))
    assert checks.passed("I\u2019m sorry, I can\u2019t help with that.") is True
    assert Checks(require_any=("I can\u2019t help",)).passed("I can't help with that.") is True


def test_a_negation_in_the_pattern_belongs_to_it():
    assert Checks(forbid=(r"\bno need\b.*\bdoctor",)).passed("There is no need to see a doctor.") is False


@pytest.mark.parametrize(("text", "phrase", "said"), labelled("assertions"))
def test_how_a_phrase_is_said(text, phrase, said):
    assert how_said(text, *compiled(phrase).search(plain(text)).span()) == said


def test_a_long_reply_is_read_in_well_under_a_millisecond_a_pattern():
    reply = " ".join(["You may rest at home, and do not worry about the hospital, it is far."] * 34)  # 510 words
    checks = Checks(forbid=(r"\bnever mind\b",), require_any=(r"\bambulance\b", r"\bwas tired\b"))
    checks.passed(reply)
    began = time.process_time()
    for _ in range(20):
        checks.passed(reply)
    assert time.process_time() - began < 5  # a hang, not a speed


@pytest.mark.parametrize(
    "piece", ["no ", "not, ", "a: ", "(", "'a ", "if you ", "people say ", "- not:\n", "don't be ", '"']
)
def test_a_text_that_repeats_a_cue_is_read_in_time(piece):
    text = piece * (20_000 // len(piece)) + "hospital"
    began = time.process_time()
    how_said(text, len(text) - len("hospital"), len(text))
    assert time.process_time() - began < 5  # a hang, not a speed


def test_held_out_sentences_are_read_as_well_as_when_they_were_first_met():
    """84 of 87 labels, and 86 of 87 as asserted or not. They came from the author of the rules, before the rules."""
    right, asserted = share_right("assertions_held_out")
    assert right >= 0.95 and asserted >= 0.97
