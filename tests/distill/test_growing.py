"""More prompts out of seeds: new ones, on their side of the split, and nothing made of what cannot be read."""

import json
import re

import pytest
from typer.testing import CliRunner

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.distill.growing import grow, prompt_lines
from cai_lite.errors import InputError
from cai_lite.inputs.prompts import load_prompts
from cai_lite.records import Message, Prompt, Reply
from tests.conftest import completion


@pytest.fixture
def seeds():
    return [
        Prompt(
            key=f"{family}{i}",
            messages=(Message("user", f"My {family} number {i} hurts since {'abcdef'[i]}day, what now?"),),
            family=family,
            tags=("symptoms", family),
            split=split,
        )
        for family, split in (("knee", "train"), ("back", "held_out"))
        for i in range(3)
    ]


def writer(request):
    """Eight lines: six new, a copy of what was shown, and one without a number."""
    text = request.messages[-1].content
    family = "knee" if "knee" in text else "back"
    shown = re.search(r">>\n(.*?)\n<<", text)[1]
    fresh = [f"{i}. {family} {request.index} asks {i} of {i * 7} about {i * 31} things?" for i in range(1, 7)]
    return "\n".join([*fresh, f"7. {shown}", "Here you are!"])


def test_new_prompts_join_the_family_that_they_were_written_for(seeds):
    fresh, counts = grow(ScriptedModel(writer), seeds, n=10)
    assert len(fresh) == counts["kept"] == 10
    assert {row.family for row in fresh} == {"knee", "back"}
    assert all(("knee" in row.text) == (row.family == "knee") for row in fresh)
    assert all(row.split == ("train" if row.family == "knee" else "held_out") for row in fresh)
    assert all(row.tags == ("symptoms", row.family) for row in fresh)
    assert counts["unreadable"] == 4 and counts["near another"] >= 4
    assert sum(row.family == "knee" for row in fresh) == 5  # spread over the families


def test_a_fault_is_counted_and_what_stood_before_a_cut_is_kept(seeds):
    replies = {"knee": Reply(text="", outcome="failed", fault="HTTP 500")}
    cut = Reply(text="1. one new question about a back?\n2. half a que", outcome="cut")
    model = ScriptedModel(lambda r: replies.get("knee") if "knee" in r.messages[-1].content else cut)
    fresh, counts = grow(model, seeds, n=10)
    assert [row.text for row in fresh] == ["one new question about a back?"]
    assert counts["failed"] == 2 and counts["cut"] == 2


def test_the_examples_are_material_and_no_template(seeds):
    odd = [Prompt(key="x", messages=(Message("user", "write {n} times {examples}"),), family="odd")]
    model = ScriptedModel(writer)
    grow(model, odd, n=1)
    asked = model.asked[0].messages[-1].content
    assert "write {n} times {examples}" in asked and "Write 8 new messages" in asked


def test_conversations_and_system_messages_grow_into_the_same():
    """Their form is that of the seeds; what does not alternate up to a user's turn is unreadable."""
    system, talk = Message("system", "You sell tea."), (Message("user", "a"), Message("assistant", "b"))
    seeds = [
        Prompt(key="k", messages=(system, *talk, Message("user", "and the {n} green one?")), family="f", tags=("t",)),
        Prompt(key="l", messages=(system, Message("user", "Which tea is mild?")), family="f", tags=("t",)),
    ]

    def script(request):
        asked = request.messages[-1].content
        if "Assistant: b" not in asked:
            return f"1. Which tea number {request.index} wakes me up?"
        assert "You sell tea." not in asked and "User: and the {n} green one?" in asked
        good = f"1.\nUser: Do you have oolong {request.index}?\nAssistant: Yes.\nUser: Of which\nyear?"
        return f"{good}\n2.\nUser: hello\nAssistant: hi"

    fresh, counts = grow(ScriptedModel(script), seeds, n=10)
    assert counts["unreadable"] == 2 and counts["kept"] == 4
    assert all(row.messages[0] == system and row.family == "f" and row.tags == ("t",) for row in fresh)
    several = [row for row in fresh if len(row.messages) > 2]
    assert [len(row.messages) for row in several] == [4, 4] and several[0].text == "Of which\nyear?"
    assert all('"role": "system"' in line for line in prompt_lines(fresh, seeds).splitlines())


def test_without_seeds_nothing_grows():
    with pytest.raises(InputError, match="no seeds"):
        grow(ScriptedModel(writer), [], n=3)


def test_the_command_writes_a_file_that_joins_the_seeds(tmp_path, server, seeds):
    file, out = tmp_path / "seeds.jsonl", tmp_path / "more.jsonl"
    file.write_text(prompt_lines(seeds, seeds))
    server.reply = lambda body: (
        200,
        {},
        completion(f"1. a new one about {hash(json.dumps(body)) % 10**9} and {body['seed']}?"),
    )
    arguments = ["prompts", "grow", str(file), "--teacher", server.url, "--model", "m", "--out", str(out), "-n", "4"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    joined = tmp_path / "joined.jsonl"
    joined.write_text(file.read_text() + out.read_text())
    known = load_prompts(joined)
    assert {row.family for row in known.held_out} == {"back"}
    assert known.report["families_on_both_sides"] == 0 and len(known.train) + len(known.held_out) == 6 + 4
    assert CliRunner().invoke(app, arguments).exit_code == 2  # never over a file that is there
