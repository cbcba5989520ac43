import pytest

from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Message, Prompt


@pytest.fixture
def constitution():
    return Constitution(
        name="test",
        principles=(
            Principle(id="kind", text="Be kind.", weight=3.0, priority=1),
            Principle(id="short", text="Be short.", priority=2),
        ),
    )


@pytest.fixture
def prompts():
    return [Prompt(key=f"p{i}", messages=(Message("user", f"question {i}"),), family=f"f{i}") for i in range(3)]


@pytest.fixture
def candidate(prompts):
    def make(text, prompt=0, author="student", round=0, parents=None):
        return Candidate(
            key=f"{prompt}:{text}",
            prompt=prompts[prompt],
            text=text,
            author=author,
            round=round,
            parents=parents or (prompts[prompt].key,),
        )

    return make
