import json
from dataclasses import replace

from typer.testing import CliRunner

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.distill.verdicts import judge
from cai_lite.inputs.constitution import Conflict, Constitution, Principle
from cai_lite.inputs.versions import changes, touched
from cai_lite.records import Candidate, Message, Prompt
from cai_lite.run.ledger import Run

OLD = Constitution(
    name="c",
    principles=(
        Principle(id="kind", text="Thank the person."),
        Principle(id="short", text="Use one sentence."),
        Principle(id="true", text="Name a source."),
    ),
)


def test_each_kind_of_change_is_named():
    kind, short, _ = OLD.principles
    new = replace(
        OLD,
        principles=(
            replace(short, text="Use two sentences."),
            replace(kind, weight=2.0),
            Principle(id="new", text="N."),
        ),
        conflicts=(Conflict(between=("kind", "short"), prefer="kind"),),
    )
    found = changes(OLD, new)
    assert [(c.principle, c.how) for c in found] == [
        ("short", "reworded"),
        ("kind", "weighed anew"),
        ("new", "added"),
        ("true", "removed"),
        ("", "conflicts decided anew"),
    ]
    assert found[0].fields == {"text": ("Use one sentence.", "Use two sentences.")}
    assert changes(OLD, replace(OLD, principles=tuple(reversed(OLD.principles)))) == []
    mandatory = replace(OLD, principles=(replace(kind, always=True), *OLD.principles[1:]))
    assert [(c.how, c.fields) for c in changes(OLD, mandatory)] == [("weighed anew", {"always": (False, True)})]


def test_the_rows_that_a_change_touches_are_those_that_are_asked_anew(tmp_path):
    """Counted in the run, and then done: the same judging under the new text asks just for those."""
    rows = [
        Candidate(key=f"{i}.{j}", prompt=prompt, text=f"reply {j}", author="s", parents=(prompt.key,))
        for i in range(3)
        for prompt in [Prompt(key=f"p{i}", messages=(Message("user", f"q{i}"),), family=str(i))]
        for j in range(2)
    ]
    new = replace(OLD, principles=(*OLD.principles[:2], replace(OLD.principles[2], text="Name two sources.")))
    model = ScriptedModel(lambda r: "A")
    with Run(tmp_path / "run") as run:
        judge(model, rows, OLD, rule="best_over_worst", principles=3, run=run)
        found = touched(run, changes(OLD, new))
        assert found == {"true": {"verdict": 3}}
        model.asked.clear()
        judge(model, rows, new, rule="best_over_worst", principles=3, run=run)
        assert len(model.asked) == 2 * found["true"]["verdict"]  # in both orders


def test_the_command_prints_both_and_counts_the_rows_of_a_run(tmp_path):
    (tmp_path / "old.yaml").write_text("principles:\n- {id: a, text: Say why.}\n")
    (tmp_path / "new.yaml").write_text("principles:\n- {id: a, text: Say when.}\n")
    with Run(tmp_path / "run") as run:
        run.keep_rows("verdict", [("k", (), {"principle": "a"})])
    arguments = ["constitution", "diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]
    done = CliRunner().invoke(app, [*arguments, "--run", str(tmp_path / "run"), "--json"])
    held = json.loads(done.output)
    assert held["changes"][0]["how"] == "reworded" and held["rows"] == {"a": {"verdict": 1}}
    assert "reworded" in CliRunner().invoke(app, arguments).output
    done = CliRunner().invoke(app, [*arguments, "--run", str(tmp_path / "nowhere")])
    assert done.exit_code == 2 and "is not a run directory (run.db not found)" in done.output.replace("\n", " ")
