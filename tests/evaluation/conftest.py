import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.judging import Judging
from cai_lite.evaluation.subject import Subject
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Message, Prompt


@pytest.fixture
def constitution():
    return Constitution(
        name="test",
        principles=(
            Principle(id="kind", text="Be kind.", weight=3.0, checks=Checks(forbid=("fool",))),
            Principle(id="ask", text="Ask when it hurts.", applies_to=("pain",)),
        ),
    )


@pytest.fixture
def prompt():
    def make(number, *tags, family=None):
        return Prompt(
            key=f"p{number}",
            messages=(Message("user", f"question {number}"),),
            family=family or f"f{number}",
            tags=tags,
            split="held_out",
        )

    return make


@pytest.fixture
def answers(prompt):
    def make(*texts, author="student", tags=()):
        return [
            Candidate(key=f"{author}:{i}:{text}", prompt=prompt(i, *tags), text=text, author=author)
            for i, text in enumerate(texts)
        ]

    return make


@pytest.fixture
def subject(constitution, prompt):
    """One model, or two where `before` is given; the judge says yes where the answer is kind."""

    def make(after, before=None, **more):
        def says(text):
            return text if callable(text) else lambda request: text

        def judged(request):
            reply = request.messages[-1].content.split("reply>>")[1].split("<<")[0]
            return "yes" if "kind" in reply else "no"

        judge = ScriptedModel(judged, name="judge")
        return Subject(
            after=ScriptedModel(says(after), name="after"),
            before=None if before is None else ScriptedModel(says(before), name="before"),
            constitution=constitution,
            prompts=more.pop("prompts", [prompt(i, "benign-twin") for i in range(4)]),
            judges=more.pop("judges", [judge]),
            judging=Judging(mode="pointwise", log_probs="never"),
            **more,
        )

    return make
