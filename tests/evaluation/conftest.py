import pytest

from cai_lite.inputs.constitution import Checks, Constitution, Principle
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
