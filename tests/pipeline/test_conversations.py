"""A prompt with a system message and several turns stays whole at every stage: drafts, verdicts, training, report."""

from __future__ import annotations

import json
from itertools import count

import pytest

from cai_lite.inputs.pairs import load_pairs
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from tests.conftest import completion

TURNS = (
    ("system", "Order {i} left on Monday, code S{i}."),
    ("user", "Hello, first word U{i}."),
    ("assistant", "Hello back, A{i}."),
    ("user", "Where is parcel V{i}?"),
    ("assistant", "Under way, B{i}."),
    ("user", "And when does W{i} come?"),
)
CODES = "SUAVBW"
drawn = count()


def reply(body):
    """Draft, critique, revise and judge so that what says 'bad' loses."""
    text = body["messages"][-1]["content"]
    if "Begin with one letter" in text:
        said = "A" if text.index("bad answer") > text.index("good answer") else "B"
    elif "Rewrite the reply" in text:
        said = f"A good answer, number {next(drawn)}."
    elif "Begin with one word" in text:
        said = "No, it is bad." if "bad answer" in text else "Yes, it is good."
    else:
        said = f"A bad answer, number {next(drawn)}."
    return 200, {}, completion(said)


@pytest.fixture
def recipe(server, tmp_path):
    server.reply = reply
    rows = [
        {
            "messages": [{"role": role, "content": text.format(i=i + 100)} for role, text in TURNS],
            "family": f"f{i}",
            "split": "held_out" if i < 2 else "train",
        }
        for i in range(6)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text("name: c\nprinciples:\n  - {id: good, text: Say when the parcel comes.}\n")
    (tmp_path / "recipe.yaml").write_text(f"""
constitution: {tmp_path / "mine.yaml"}
prompts: {{file: prompts.jsonl}}
teacher: {{url: "{server.url}", model: m}}
student: {{model: "embedded:student"}}
draft: {{from: teacher, n: 2, max_tokens: 16}}
critique: {{principles_per_draft: 1}}
judge: {{principles: 1}}
train: {{lora: {{rank: 2}}, epochs: 1, batch_size: 4, max_tokens: 512}}
evaluate: {{metrics: [adherence], baselines: []}}
""")
    return load_recipe(tmp_path / "recipe.yaml")


def test_every_stage_of_a_run_sees_the_whole_conversation(recipe, server, tmp_path):
    out = tmp_path / "run"
    run_recipe(recipe, out, quiet=True)
    prompts = load_prompts(recipe.prompts.file)
    by_code = {prompt.messages[-1].content.split()[-2]: prompt for prompt in (*prompts.train, *prompts.held_out)}

    asked = [" ".join(turn["content"] for turn in body["messages"]) for body in server.bodies]
    kinds = {"Begin with one letter": 0, "Rewrite the reply": 0, "Begin with one word": 0, "": 0}
    for text in asked:
        kinds[next(mark for mark in kinds if mark in text)] += 1
        code = next(code for code in by_code if code in text)
        assert all(f"{letter}{code[1:]}" in text for letter in CODES), text
    assert all(kinds.values()), kinds  # verdicts in pairs and alone, revisions and drafts were all asked for

    pairs = load_pairs(out / "pairs.jsonl")
    assert pairs and all(len(pair.prompt) == len(TURNS) and pair.prompt[0].role == "system" for pair in pairs)

    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert {row["side"] for row in answers} == {"before", "after"}
    assert all([turn["role"] for turn in row["prompt"]] == [role for role, _ in TURNS] for row in answers)
    page = (out / "report.html").read_text()
    for row in answers:
        assert all(turn["content"] in page for turn in row["prompt"])
