"""Training examples for a critic, made from a scripted teacher's critiques."""

from dataclasses import replace

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.critics import PLANTED, critic_examples
from cai_lite.distill.critiques import critique
from cai_lite.distill.drafts import keep_candidates
from cai_lite.distill.revisions import revise
from cai_lite.run.ledger import Run


@pytest.fixture
def run(candidate, constitution):
    """A run with critiques of three drafts, of a revision and of a planted reply; one critique is unreadable."""
    run = Run()

    def script(request):
        text = request.messages[-1].content
        if "Rewrite the reply" in text:
            return "gentle"
        return (
            "Hard to say." if "question 2" in text and "Be short." in text else "no, rude" if "rude" in text else "yes"
        )

    teacher = ScriptedModel(script, name="teacher")
    drafts = [candidate("rude"), candidate("fine", 1), candidate("odd", 2)]
    keep_candidates(run, [*drafts, candidate("planted", author=PLANTED)])
    rows = critique(teacher, drafts, constitution, run=run)
    revise(teacher, drafts, rows, constitution, run=run)
    critique(ScriptedModel(lambda r: "yes", name="other"), drafts, constitution, run=run)
    critique(teacher, [candidate("planted", author=PLANTED)], constitution, run=run)
    return run


def test_an_example_is_the_request_for_a_critique_and_what_the_teacher_wrote(run, constitution):
    found = critic_examples(run, constitution, authors={"teacher"})
    assert len(found) == 3 * 2 - 1 + 2  # one of three drafts' six is unreadable; two of the revision
    assert all("Hard to say" not in e.completion[0].content for e in found)
    first = found[0]
    assert first.prompt[-1].content.endswith("Be kind.") and "rude" in first.prompt[-1].content
    assert (first.completion[0].content, first.violated, first.principle, first.family) == (
        "no, rude",
        "yes",
        "kind",
        "f0",
    )


def test_an_example_asks_as_the_critic_will_be_asked(run, constitution, candidate):
    critic = ScriptedModel(lambda r: "yes", name="critic")
    critique(critic, [candidate("rude")], constitution, run=run)
    assert critic_examples(run, constitution, authors={"teacher"})[0].prompt == critic.asked[0].messages
    short = critic_examples(run, constitution, authors={"teacher"}, wording="short")[0].prompt
    assert len(short) == 1 and short[0].content.startswith("User: question 0\nReply: rude")


def test_families_are_held_out_whole(run, constitution):
    found = critic_examples(run, constitution, held_out=0.0, held_out_families={"f1"})
    assert {(e.family, e.split) for e in found} == {("f0", "train"), ("f1", "held_out"), ("f2", "train")}
    assert {e.split for e in critic_examples(run, constitution, held_out=1.0)} == {"held_out"}


def test_a_principle_that_was_reworded_since_teaches_nothing(run, constitution):
    run.keep_rows("principle", ((p.digest, (), {"id": p.id, "text": p.text}) for p in constitution.principles))
    kind, short = constitution.principles
    now = replace(constitution, principles=(replace(kind, text="Be very kind."), short))
    assert {e.principle for e in critic_examples(run, now)} == {"short"}
