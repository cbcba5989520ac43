"""The linter's judge on examples whose answers are known."""

import json

from typer.testing import CliRunner

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.inputs.constitution import Conflict, Constitution, Example, Principle
from cai_lite.preflight.examples import try_files, try_out

SHORT = Principle(
    id="short", text="Use few words.", examples=(Example(prompt="q", good="yes", bad="yes and more and more words"),)
)
FULL = Principle(
    id="full", text="Give every reason.", examples=(Example(prompt="q", good="yes since one and two hold", bad="yes!"),)
)
PLAIN = Principle(id="plain", text="Has no example.")


def by_length(request, turned=False):
    """Prefers the shorter reply under 'few words', else the longer one."""
    text = request.messages[-1].content
    a, b = (text.split(f"reply {x}>>\n")[1].split("\n<<")[0] for x in "AB")
    shorter = "A" if len(a) < len(b) else "B"
    wanted = shorter if "few words" in text.split("\nPrinciple ")[-1] else "AB".replace(shorter, "")
    return "AB".replace(wanted, "") if turned else wanted


def test_a_judge_that_knows_and_principles_that_pull_apart():
    constitution = Constitution(principles=(SHORT, FULL, PLAIN))
    found = try_out(ScriptedModel(by_length), constitution)
    assert found["examples"]["short"] == {"right": 1.0, "reworded": 1.0, "entropy": 0.0}
    assert found["matrix"]["short"] == {"short": 1.0, "full": 0.0, "plain": 0.0}
    assert "plain" not in found["examples"]
    apart = {(f["principle"], f["message"].split("'")[1]) for f in found["findings"] if f["rule"] == "pulls-apart"}
    assert {("short", "full"), ("full", "short")} <= apart
    decided = Constitution(principles=(SHORT, FULL), conflicts=(Conflict(between=("short", "full"), prefer="short"),))
    assert try_out(ScriptedModel(by_length), decided)["findings"] == []


def test_judges_with_a_fault_are_found_out():
    constitution = Constitution(principles=(SHORT,))

    def rules(script):
        return {f["rule"] for f in try_out(ScriptedModel(script), constitution)["findings"]}

    assert rules(lambda r: by_length(r, turned=True)) == {"disagrees"}
    assert rules(lambda r: "A") == {"blind"}
    assert rules(lambda r: "hm") == {"unreadable"}
    assert rules(lambda r: by_length(r, turned="whatever else" in r.messages[-1].content)) == {"wording"}
    assert rules(lambda r: by_length(r, turned=r.sampling.temperature > 0 and r.index % 2 == 0)) == {"unsure"}


def test_what_a_file_decides_is_no_finding(tmp_path, monkeypatch):
    monkeypatch.setattr("cai_lite.preflight.examples.open_model", lambda where, model=None: ScriptedModel(by_length))
    rules = """principles:
- {id: short, text: Use few words., examples: [{prompt: q, good: "yes", bad: yes and more and more words}]}
- {id: full, text: Give every reason., examples: [{prompt: q, good: yes since one and two hold, bad: yes!}]}
"""
    (tmp_path / "open.yaml").write_text(rules)
    (tmp_path / "decided.yaml").write_text(rules + "conflicts:\n- {between: [short, full], prefer: short}\n")
    found = try_files([str(tmp_path / "open.yaml"), str(tmp_path / "decided.yaml")], "scripted")
    assert {f["rule"] for f in found[0]["findings"]} == {"pulls-apart"}
    assert found[1]["findings"] == []


def test_the_command_tries_the_embedded_judge(tmp_path):
    words = ["lint", "medical-embedded", "--judge", "embedded:teacher", "--votes", "1", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    held = json.loads(done.output)
    assert held["trials"][0]["judge"] == "embedded:teacher"
    assert held["trials"][0]["examples"]["urgent-care"]["right"] > 0.9
