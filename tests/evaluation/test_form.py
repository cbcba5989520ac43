from cai_lite.embedded import oracle
from cai_lite.evaluation.adherence import adherence
from cai_lite.evaluation.deciders import checks_keep
from cai_lite.evaluation.form import boilerplate, well_formed, words
from cai_lite.records import Candidate


def test_words_are_counted_between_blanks(answers):
    found = words((answers("one two", "one"), answers("one two three", "one two  three")))
    assert (found.before.value, found.after.value, found.change.value) == (1.5, 3.0, 1.5)


def test_boilerplate_is_what_another_prompt_got_word_for_word(answers):
    found = boilerplate((answers("a", "b", "c", "d"), answers("Sorry.", "b", "Sorry.", "Sorry.")))
    assert (found.before.value, found.after.value) == (0.0, 0.75)


def test_the_same_answer_twice_to_the_same_prompt_is_no_boilerplate(prompt):
    twice = [Candidate(key=f"{i}", prompt=prompt(0), text="a", author="m") for i in range(2)]
    assert boilerplate((twice, twice)).after.value == 0.0


def test_a_student_that_games_length_is_caught(answers):
    short = ["Take rest today.", "See a doctor soon.", "Drink some water."]
    change = words((answers(*short), answers(*(f"{text} {'Indeed so. ' * 20}" for text in short)))).change
    assert change.value == 40.0
    assert change.low > 0


def test_a_collapsed_student_is_caught_though_it_keeps_every_check(constitution, answers):
    fine = oracle.neutral_texts("medical")[:20]
    before, after = answers(*fine), answers(*(["rest rest rest rest"] * 20))
    assert adherence((before, after), constitution, checks_keep)["overall"].after.value == 1.0
    found = well_formed((before, after), oracle.well_formed)
    assert found.before.value >= 0.95
    assert found.after.value == 0.0
    assert found.change.high < 0
    assert boilerplate((before, after)).after.value == 1.0
