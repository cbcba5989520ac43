"""What the thesaurus makes of words."""

import pytest

from cai_lite.linting.concepts import base, meaning
from cai_lite.linting.thesaurus import IRREGULAR_FORMS


@pytest.mark.parametrize(
    ("word", "form"),
    [("paid", "pay"), ("policies", "policies"), ("tenants", "tenant"), ("stopped", "stop"), ("erasing", "erase")],
)
def test_forms_of_words_that_the_thesaurus_has_are_read_as_their_base(word, form):
    assert base(word) == form


def test_synonyms_are_one_concept_and_a_negating_prefix_turns_it_round():
    assert meaning("Erase the call log.").core == meaning("Delete the call log.").core
    graded, ungraded = meaning("Essays are graded."), meaning("Essays are ungraded.")
    assert graded.core == ungraded.core and ungraded.negated and not graded.negated


def test_a_verb_that_is_split_is_read_as_one():
    assert "transfer" in meaning("Put any angry caller through to a colleague.").core


def test_each_irregular_form_stands_there_with_its_base():
    assert all(len(pair.split()) == 2 for pair in " ".join(IRREGULAR_FORMS.split()).split(","))
