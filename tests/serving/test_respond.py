"""Draft, critique and revise while somebody waits: what is taken, and what leaves the draft as it stands."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import cai_lite as cai
from cai_lite.chat.preference import PreferenceModel
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Message, Prompt, Reply, Sampling
from cai_lite.serving.respond import Critiqued, Drafted, Piece, Response, Revised

POLICY = Constitution(
    name="manners",
    principles=(
        Principle(id="kind-tone", text="Be kind."),
        Principle(id="short", text="Be short.", priority=2),
        Principle(id="urgent", text="Send them to a doctor.", applies_to=("red-flag",)),
    ),
)


def model(verdict, rewrites=("kind",), draft="rude"):
    """A model whose draft is "rude", whose rewrites are these in turn, and whose critique is `verdict(text, rule)`."""
    left = list(rewrites)

    def script(request):
        text = request.messages[-1].content
        if "Rewrite the reply" in text:
            return left.pop(0)
        if "Does the reply keep" in text:
            answer = text.split("reply>>\n")[1].split("\n<<")[0]
            return verdict(answer, text.rpartition("Principle: ")[2].strip())
        return draft

    return ScriptedModel(script)


def judged(**breaks):
    """Verdicts: the words of a text that break a rule; "?" makes its critique unreadable."""

    def verdict(text, rule):
        if f"?{rule}" in text:
            return "hm"
        return "no, it says so" if breaks.get(rule.split()[-1].strip(".")) in text.split() else "yes"

    return verdict


RUDE = judged(kind="rude", short="long")


def test_a_broken_draft_is_revised_until_nothing_is_broken_and_each_step_is_shown():
    steps = []
    found = cai.respond(model(RUDE, ["rude", "kind"], draft="rude long"), "Hi", POLICY, rounds=3, stream=steps.append)
    assert found.text == "kind" and found.draft == "rude long" and not found.broken and not found.faults
    assert [(step.principle, step.outcome) for step in found.revisions] == [("short", "taken"), ("kind-tone", "taken")]
    kinds = [type(step) for step in steps]
    assert kinds == [Drafted, Critiqued, Revised, Critiqued, Revised, Critiqued, Response]
    assert found.principles == ("kind-tone", "short") and len(found.critiques) == 2


def test_a_good_draft_is_left_as_it_is():
    found = cai.respond(model(RUDE, [], draft="kind"), "Hi", POLICY)
    assert found.text == found.draft == "kind" and found.revisions == ()


@pytest.mark.parametrize(
    ("rewrite", "outcome"),
    [
        ("kind long", "not better"),  # breaks what held
        ("still rude", "not better"),
        ("kind ?Be kind.", "not checked"),
        ("kind ?Be short.", "not checked"),
        ("rude", "unchanged"),
        ("", "empty"),
    ],
)
def test_a_revision_that_is_not_known_to_be_better_leaves_the_draft(rewrite, outcome):
    found = cai.respond(model(RUDE, [rewrite]), "Hi", POLICY, rounds=2)
    assert found.text == "rude" and found.broken == ("kind-tone",)
    assert [step.outcome for step in found.revisions] == [outcome]
    assert found.faults == (f"the revision for 'kind-tone' is {outcome}: the text before it stands",)


def test_an_unreadable_critique_leaves_the_draft_and_is_said():
    found = cai.respond(model(lambda text, rule: "hm"), "Hi", POLICY)
    assert found.text == "rude" and found.revisions == ()
    assert found.faults == ("not checked, since the critique could not be read: kind-tone, short",)


@pytest.mark.parametrize(
    ("reply", "text", "fault"),
    [
        (
            Reply(text="half an", outcome="cut"),
            "half an",
            "the draft is cut, so nothing was critiqued; raise max_tokens",
        ),
        (Reply(text="", outcome="failed", fault="HTTP 500"), "", "the draft is failed, so nothing was critiqued"),
    ],
)
def test_a_draft_that_cannot_be_used_is_a_fault_with_a_name(reply, text, fault):
    found = cai.respond(model(RUDE, draft=reply), "Hi", POLICY)
    assert (found.text, found.faults, found.critiques) == (text, (fault,), ())


def test_critic_and_reviser_may_be_others():
    speaker, critic, reviser = (model(RUDE) for _ in range(3))
    assert cai.respond(speaker, "Hi", POLICY, critic=critic, reviser=reviser).text == "kind"
    assert [len(one.asked) for one in (speaker, critic, reviser)] == [1, 4, 1]


@pytest.mark.parametrize(
    "prompt",
    [
        {"prompt": "Hi", "tags": ["red-flag"]},
        Prompt(key="k", messages=(Message("user", "Hi"),), family="", tags=("red-flag",)),
    ],
)
def test_the_tags_of_a_prompt_say_which_principles_apply(prompt):
    assert "urgent" in cai.respond(model(RUDE, draft="kind"), prompt, POLICY).principles
    turns = [{"role": "user", "content": "Hi"}]
    assert "urgent" in cai.respond(model(RUDE, draft="kind"), turns, POLICY, tags=["red-flag"]).principles


def test_a_preference_model_cannot_critique():
    scorer = object.__new__(PreferenceModel)
    scorer.name, scorer.digest = "scores", "d"
    with pytest.raises(InputError, match="the critic scores is a preference model"):
        cai.respond(model(RUDE), "Hi", POLICY, critic=scorer)


def test_embedded_models_draft_piece_by_piece_and_mend_what_the_critic_finds():
    steps = []
    found = cai.respond(
        "embedded:student",
        "Is it normal to have cough for a week?",
        "medical-embedded",
        critic="embedded:teacher",
        reviser="embedded:teacher",
        sampling=Sampling(temperature=0.0, max_tokens=96),
        stream=steps.append,
    )
    pieces = [step.text for step in steps if isinstance(step, Piece)]
    assert "".join(pieces).strip() == found.draft != found.text and not found.broken
    assert [step.outcome for step in found.revisions] == ["taken"]


def test_the_command_shows_draft_critique_and_revision():
    asked = ["chat", "embedded:student", "--say", "Is it normal to have cough for a week?", "--max-tokens", "96"]
    under = [*asked, "--constitution", "medical-embedded", "--critic", "embedded:teacher"]
    told = CliRunner().invoke(app, under, env={"COLUMNS": "300"})
    assert told.exit_code == 0, told.output
    for part in (
        "draft: ",
        "critique: breaks no-diagnosis-as-fact",
        "revision for no-diagnosis-as-fact, taken",
        "reply: ",
    ):
        assert part in told.output
    for wrong, says in (
        (["--critic", "embedded:teacher"], "name it by --constitution"),
        (["--constitution", "medical-embedded", "--best-of", "2", "--by", "x#y"], "go apart"),
        (["--constitution", "nowhere.yaml"], "nowhere.yaml"),
    ):
        refused = CliRunner().invoke(app, [*asked, *wrong])
        assert refused.exit_code == 2 and says in refused.output.replace("\n", " "), refused.output
