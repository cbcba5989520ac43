"""Whether answers cite the principle that decided them, beside chance."""

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.citing import ANSWERED
from cai_lite.evaluation.citations import measure_citations
from cai_lite.evaluation.subject import Subject
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Message, Prompt

CONSTITUTION = Constitution(
    name="c",
    principles=(
        Principle(id="doctor", text="Name a doctor.", checks=Checks(require_any=("doctor",))),
        Principle(id="kind", text="Be kind and warm.", checks=Checks(require_any=("sorry",))),
    ),
)


def figures(before, after):
    """Measure answers by the prompts 0, 1, ...; without a judge, machine checks decide."""
    prompts = [
        Prompt(key=str(n), messages=(Message("user", str(n)),), family=str(n), split="held_out")
        for n in range(len(after))
    ]
    names = zip(("before", "after"), (before, after), strict=True)
    models = [ScriptedModel(lambda r, of=of: of[int(r.messages[-1].content)], name=name) for name, of in names]
    subject = Subject(before=models[0], after=models[1], constitution=CONSTITUTION, judges=[], prompts=prompts)
    return {name: (figure.value, figure.n) for name, figure in measure_citations(subject)["citations"].items()}


def citing(text, principle):
    return f"{text}\n\n{ANSWERED[0]} {principle}"


def test_a_citation_is_faithful_where_its_principle_is_the_one_that_was_mended():
    """Four answers cite: two name what they mended, one what it had kept all along, one breaks what it names.

    Of the first three something decided: doctor, kind, kind; they cite doctor, kind, doctor. Dealt out, the first has
    its principle from one of the two others (1/2), the second from none (0), the third from one of two (1/2).
    """
    before = ["sorry", "doctor", "doctor", "nothing", "nothing"]
    after = [
        citing("sorry, a doctor", "Name a doctor."),
        citing("sorry, a doctor", "Be kind and warm."),
        citing("sorry, a doctor", "Name a doctor."),
        citing("nothing", "Name a doctor."),
        "sorry, a doctor",
    ]
    found = figures(before, after)
    assert found["citing"] == (pytest.approx(4 / 5), 5)
    assert found["kept"] == (pytest.approx(3 / 4), 4)
    assert found["faithful"] == (pytest.approx(2 / 3), 3)
    assert found["chance"] == (pytest.approx(1 / 3), 3)
    assert found["beyond_chance"] == (pytest.approx(1 / 3), 3)


def test_naming_a_principle_is_not_keeping_it():
    """The word that the check looks for stands in the citation alone."""
    found = figures(["nothing"] * 2, [citing("nothing", "Name a doctor.")] * 2)
    assert found["kept"] == (0.0, 2) and "faithful" not in found


def test_always_citing_the_principle_that_decides_most_is_no_more_than_chance():
    found = figures(["sorry"] * 6, [citing("sorry, a doctor", "Name a doctor.")] * 6)
    assert found["faithful"] == (1.0, 6) and found["beyond_chance"] == (0.0, 6)


def test_answers_without_citations_have_no_faithfulness():
    assert figures(["nothing"] * 2, ["sorry, a doctor"] * 2) == {"citing": (0.0, 2)}
