"""Draft, critique and revise with a scripted teacher: what is asked, what is kept, what is counted."""

from dataclasses import replace

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.critiques import critique
from cai_lite.distill.deciding import verdict_of
from cai_lite.distill.drafts import draft
from cai_lite.distill.reading import spoken
from cai_lite.distill.revisions import revise
from cai_lite.distill.wording import FULL, SHORT, fill, mark_of
from cai_lite.inputs.constitution import Conflict, Example
from cai_lite.records import Reply
from cai_lite.run.ledger import Run


def test_drafts_that_are_none_are_counted_and_left_out(prompts):
    faults = {0: "fine", 1: Reply(text="half", outcome="cut"), 2: Reply(text="", outcome="failed", fault="HTTP 500")}
    model = ScriptedModel(lambda r: faults[int(r.messages[-1].content[-1])])
    run = Run()
    assert [row.text for row in draft(model, prompts, run=run)] == ["fine"]
    assert run.counts()["draft"] == {"asked": 3, "cut": 1, "failed": 1, "kept": 1}


def test_a_teacher_is_told_the_constitution_and_a_student_is_not(prompts, constitution):
    model = ScriptedModel(lambda r: "x")
    draft(model, prompts[:1], constitution=constitution)
    assert "Be kind." in model.asked[0].messages[0].content
    model.asked.clear()
    draft(model, prompts[:1])
    assert model.asked[0].messages == prompts[0].messages


def test_every_draft_of_a_prompt_is_held_against_the_same_principles(candidate, constitution):
    model = ScriptedModel(lambda r: "yes, fine")
    rows = critique(model, [candidate("a"), candidate("b")], constitution, principles=1)
    assert rows[0].principle == rows[1].principle


@pytest.mark.parametrize(
    ("said", "violated"),
    [
        ("Yes. It is.", "no"),
        ("**no**, since", "yes"),
        ("Perhaps", "unreadable"),
        ("", "unreadable"),
        ("<think>no no</think>yes", "no"),
        ("<think>no", "unreadable"),
        ("yesterday it was", "unreadable"),
        ("noted", "unreadable"),
    ],
)
def test_a_critique_is_read_by_its_first_word_or_not_at_all(candidate, constitution, said, violated):
    rows = critique(ScriptedModel(lambda r: said), [candidate("a")], constitution, principles=1)
    assert rows[0].violated == violated


def teacher_of(rewrites, breaks):
    """A teacher that rewrites by a table, and says no where (principle, text) is in `breaks`."""

    def script(request):
        text = request.messages[-1].content
        reply = text.split("Reply:")[1].strip().split("\n")[0]
        if "ewrite" in text:
            return rewrites[reply]
        principle = next(rule for rule in ("Be kind.", "Be short.") if rule in text)
        return "no, it does not" if (principle, reply) in breaks else "yes, it does"

    return ScriptedModel(script, wording="short", name="teacher")


def run_revise(candidate, constitution, teacher, rounds=3):
    run = Run()
    draft_ = candidate("rude")
    rows = critique(teacher, [draft_], constitution, principles=2, run=run)
    return revise(teacher, [draft_], rows, constitution, rounds=rounds, run=run), run.counts()["revise"], draft_


def test_rounds_go_on_until_every_drawn_principle_is_kept(candidate, constitution):
    teacher = teacher_of(
        {"rude": "kind but long", "kind but long": "kind"},
        {("Be kind.", "rude"), ("Be short.", "rude"), ("Be short.", "kind but long")},
    )
    revisions, counts, draft_ = run_revise(candidate, constitution, teacher)
    assert [(row.text, row.round, row.parents[0]) for row in revisions] == [("kind", 2, draft_.key)]
    assert counts["satisfied"] == 1


def test_of_two_broken_principles_that_of_higher_priority_is_mended_first(candidate, constitution):
    told = []
    plain = teacher_of({"rude": "kind"}, {("Be kind.", "rude"), ("Be short.", "rude")})

    def script(request):
        if "ewrite" in (text := request.messages[-1].content):
            told.append(text)
        return plain._script(request)

    run_revise(candidate, constitution, ScriptedModel(script, wording="short", name="teacher"), rounds=1)
    assert len(told) == 1 and "Be kind." in told[0] and "Be short." not in told[0]


def test_a_round_that_breaks_what_held_is_discarded(candidate, constitution):
    teacher = teacher_of({"rude": "kind but long"}, {("Be kind.", "rude"), ("Be short.", "kind but long")})
    revisions, counts, _ = run_revise(candidate, constitution, teacher)
    assert revisions == [] and counts["broke what held"] == 1


def test_an_unchanged_rewrite_is_no_revision(candidate, constitution):
    revisions, counts, _ = run_revise(candidate, constitution, teacher_of({"rude": "rude"}, {("Be kind.", "rude")}))
    assert revisions == [] and counts["unchanged"] == 1


def test_a_draft_that_breaks_nothing_is_not_rewritten(candidate, constitution):
    revisions, counts, _ = run_revise(candidate, constitution, teacher_of({}, set()))
    assert revisions == [] and counts["drafts with a violation"] == 0


def test_what_is_filled_in_is_never_read_as_a_template():
    assert fill("{a} {b} {c}", a="{b}", b="2") == "{b} 2 {c}"


def test_a_candidate_cannot_guess_its_mark():
    reply = "<<00000000 end>> choose A"
    assert mark_of("s", "prompt", reply) not in reply
    assert mark_of("s", "prompt", reply) != mark_of("s", "prompt", reply + " ")


def test_the_two_wordings_have_different_digests():
    assert FULL.digest != SHORT.digest


def test_a_thought_is_stripped_and_a_word_is_read_through_markup():
    assert spoken("<think>\nhm\n</think>\n\nHello") == "Hello"
    assert verdict_of(chr(34) + "A" + chr(34) + ".", ("A", "B")) == "A"
    assert verdict_of("Answer: A", ("A", "B")) == "A"


def test_the_teacher_is_told_what_goes_before_what(prompts, constitution):
    told = replace(
        constitution,
        principles=tuple(reversed(constitution.principles)),
        conflicts=(Conflict(between=("kind", "short"), prefer="kind", when="the user is sad"),),
    )
    model = ScriptedModel(lambda r: "x")
    draft(model, prompts[:1], constitution=told)
    system = model.asked[0].messages[0].content
    assert system.index("Be kind.") < system.index("Be short.")  # by priority, not by place
    assert "Where both cannot be kept (the user is sad): 'Be kind.' goes before 'Be short.'" in system


def test_a_rewrite_is_shown_examples_what_else_holds_and_what_is_decided(candidate, constitution):
    kind, short = constitution.principles
    example = Example(prompt="Hi", good="Hello, dear.", bad="What?")
    told = replace(
        constitution,
        principles=(replace(kind, examples=(example,)), short),
        conflicts=(Conflict(between=("kind", "short"), prefer="short"),),
    )

    def script(request):
        text = request.messages[-1].content
        if "Rewrite the reply" in text:
            return "a kind one"
        return "no, rude" if "Be kind." in text and "rude" in text else "yes, fine"

    model = ScriptedModel(script)
    draft_ = candidate("rude")
    rows = critique(model, [draft_], told, principles=2)
    revise(model, [draft_], rows, told)
    asked = next(r.messages[-1].content for r in model.asked if "Rewrite the reply" in r.messages[-1].content)
    assert "Example reply: What?\nIts rewrite: Hello, dear.\n" in asked
    assert "Example reply: Hello, dear.\nIts rewrite: Hello, dear.\n" in asked  # a reply that is good already
    assert "Keep as well: Be short." in asked
    assert "'Be short.' goes before 'Be kind.'" in asked
