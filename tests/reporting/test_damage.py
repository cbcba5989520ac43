"""Every planted damage to a finished run is noticed by `audit --verify`, and none is certified by a later command."""

from __future__ import annotations

import json
import sqlite3

import pytest
import torch
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.pipeline.walk import run_recipe
from cai_lite.records import Reply
from cai_lite.reporting import report
from cai_lite.reporting.audit import uncovered, verify
from cai_lite.run.files import read_manifest, write_manifest
from cai_lite.run.ledger import Run
from cai_lite.training import checkpoint


def flip(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(name, old, new):
    def do(out):
        text = (out / name).read_text()
        assert old in text
        (out / name).write_text(text.replace(old, new, 1))

    return do


def lines(name, change):
    def do(out):
        (out / name).write_text("".join(change((out / name).read_text().splitlines(keepends=True))))

    return do


def first_pair(change):
    def do(rows):
        row = json.loads(rows[0])
        change(row)
        return [json.dumps(row) + "\n", *rows[1:]]

    return lines("pairs.jsonl", do)


def sql(statement):
    def do(out):
        with sqlite3.connect(out / "run.db") as db:
            assert db.execute(statement).rowcount > 0
        db.close()

    return do


def payload(kind, field, value):
    return sql(
        f"update rows set payload = json_set(payload, '$.{field}', {value}) where key ="
        f" (select min(key) from rows where kind = '{kind}')"
    )


def flipped(pattern):
    def do(out):
        flip(next(iter(sorted(out.glob(pattern)))))

    return do


def manifest(change):
    def do(out):
        entries = json.loads((out / "manifest.json").read_text())
        change(entries)
        (out / "manifest.json").write_text(json.dumps(entries, indent=1) + "\n")

    return do


def checkpointed(change):
    """Damage a checkpoint that an unfinished training left."""

    def do(out):
        parameters = {"w": torch.nn.Parameter(torch.ones(3))}
        checkpoint.save(out / "checkpoints", 1, parameters, torch.optim.AdamW(parameters.values()))
        assert verify(out) == []
        change(out / "checkpoints" / "step-1")

    return do


DAMAGE = {
    "adapter weights": flipped("adapter/adapter_model.safetensors"),
    "adapter config": edit("adapter/adapter_config.json", '"r": ', '"r": 1'),
    "tokenizer": flipped("adapter/tokenizer.json"),
    "tokenizer config": flipped("adapter/tokenizer_config.json"),
    "chat template": lambda out: next(
        iter([*out.glob("adapter/chat_template.jinja"), out / "adapter" / "tokenizer_config.json"])
    ).write_text("{{ bos_token }}"),
    "model card": edit("adapter/README.md", "library_name", "library"),
    "extra adapter file": lambda out: (out / "adapter" / "adapter_model.bin").write_bytes(b"x"),
    "reference cache": flipped("reference/*.safetensors"),
    "reference cache removed": lambda out: next(out.glob("reference/*")).unlink(),
    "checkpoint state": checkpointed(lambda step: edit("state.json", '"step": 1', '"step": 0')(step)),
    "checkpoint state cut": checkpointed(lambda step: (step / "state.json").write_text("{")),
    "checkpoint weights": checkpointed(lambda step: flip(step / "adapter.safetensors")),
    "checkpoint file removed": checkpointed(lambda step: (step / "state.safetensors").unlink()),
    "metrics changed": edit("metrics.jsonl", '"step": 1', '"step": 9'),
    "metrics removed": lines("metrics.jsonl", lambda rows: rows[1:]),
    "training.json": edit("training.json", '"steps": ', '"steps": 1'),
    "training.json cut": lambda out: (out / "training.json").write_text("{"),
    "recipe": edit("recipe.yaml", "epochs: 1", "epochs: 2"),
    "evaluation": edit("evaluation.json", '"value": ', '"value": 1'),
    "report": edit("report.html", "Pairs", "Fairs"),
    "dataset card": edit("dataset_card.md", "pairs", "pears"),
    "pair's chosen text": first_pair(lambda row: row["chosen"][-1].update(content="Other.")),
    "pair's rejected text": first_pair(lambda row: row["rejected"][-1].update(content="Other.")),
    "pair's prompt": first_pair(lambda row: row["prompt"][-1].update(content="Other?")),
    "pair's key": first_pair(lambda row: row.update(key="0" * 24)),
    "pair's margin": first_pair(lambda row: row.update(margin=0.123)),
    "pair's p_chosen": first_pair(lambda row: row.update(p_chosen=0.567)),
    "pair removed": lines("pairs.jsonl", lambda rows: rows[1:]),
    "pair twice": lines("pairs.jsonl", lambda rows: [rows[0], *rows]),
    "pairs reordered": lines("pairs.jsonl", lambda rows: rows[::-1]),
    "pairs cut": lambda out: (out / "pairs.jsonl").write_bytes((out / "pairs.jsonl").read_bytes()[:-40]),
    "pairs empty": lambda out: (out / "pairs.jsonl").write_bytes(b""),
    "pairs missing": lambda out: (out / "pairs.jsonl").unlink(),
    "reply text": sql("update calls set text = text || '.' where key = (select min(key) from calls)"),
    "reply's log-probabilities": sql("update calls set log_probs = '{}' where key = (select min(key) from calls)"),
    "reply's outcome": sql("update calls set outcome = 'cut' where key = (select min(key) from calls)"),
    "reply removed": sql("delete from calls where key = (select min(key) from calls)"),
    "reply's digest": sql("update calls set sha = null where key = (select min(key) from calls)"),
    "candidate's text": payload("candidate", "text", "'Other.'"),
    "critique's text": payload("critique", "text", "'Other.'"),
    "critique's finding": payload("critique", "violated", "'unreadable'"),
    "verdict's choice": payload("verdict", "choice", "'abstain'"),
    "verdict's p_first": payload("verdict", "p_first", "0.1234"),
    "prompt's text": sql("update rows set payload = replace(payload, 'user', 'system') where kind = 'prompt'"),
    "principle's text": payload("principle", "text", "'Other.'"),
    "row's parents": sql("update rows set parents = '[]' where key = (select min(key) from rows where kind = 'pair')"),
    "row's key": sql("update rows set key = 'x' where key = (select min(key) from rows where kind = 'verdict')"),
    "row removed": sql("delete from rows where key = (select max(key) from rows where kind = 'verdict')"),
    "row added": sql("insert into rows values('k', 'verdict', '[]', '{}', '00')"),
    "row is no JSON": sql("update rows set payload = '{' where key = (select min(key) from rows where kind = 'pair')"),
    "counts": sql("update counts set n = n + 1"),
    "counts removed": sql("delete from counts"),
    "result": sql("update memos set value = '2.5'"),
    "result removed": sql("delete from memos"),
    "run.db cut": lambda out: (out / "run.db").write_bytes((out / "run.db").read_bytes()[:5000]),
    "run.db empty": lambda out: (out / "run.db").write_bytes(b""),
    "manifest entry removed": manifest(lambda entries: entries.pop("pairs.jsonl")),
    "manifest entry changed": manifest(lambda entries: entries.update({"recipe.yaml": "0" * 64})),
    "manifest cut": lambda out: (out / "manifest.json").write_text("{"),
    "manifest missing": lambda out: (out / "manifest.json").unlink(),
}


def test_an_untouched_run_has_no_damage(made_dir):
    assert verify(made_dir) == [] and uncovered(made_dir) == 0
    assert len(DAMAGE) >= 34


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_planted_damage_is_noticed(made_dir, damage):
    DAMAGE[damage](made_dir)
    found = verify(made_dir)
    assert found, f"{damage}: not noticed"
    assert all(isinstance(line, str) and line for line in found)


def test_the_command_names_the_damage_and_exits_with_1(made_dir):
    DAMAGE["reply text"](made_dir)
    done = CliRunner().invoke(app, ["audit", str(made_dir), "--verify"])
    assert done.exit_code == 1 and "was changed after it was stored" in done.output


def test_a_manifest_does_not_certify_what_somebody_else_changed(made_dir):
    DAMAGE["metrics changed"](made_dir)
    DAMAGE["extra adapter file"](made_dir)
    said = write_manifest(made_dir, "report.html")
    assert said == [
        "metrics.jsonl was changed after the run wrote it",
        "adapter/adapter_model.bin was not written by the run",
    ]
    assert verify(made_dir)[:2] == said


def test_the_report_is_written_again_and_the_run_still_fits(made_dir):
    assert CliRunner().invoke(app, ["report", str(made_dir)]).exit_code == 0
    assert verify(made_dir) == []


def test_a_report_from_python_warns_of_what_somebody_changed(made_dir):
    DAMAGE["metrics changed"](made_dir)
    with pytest.warns(UserWarning, match=r"metrics\.jsonl was changed after the run wrote it"):
        report(made_dir)
    assert verify(made_dir) == [
        "metrics.jsonl was changed after the run wrote it",
        "metrics.jsonl is not what the training wrote",
    ]


def test_the_same_walk_again_mends_what_it_can_and_says_the_rest(made_dir, small):
    for damage in ("reply text", "verdict's choice", "row removed", "evaluation", "metrics changed"):
        DAMAGE[damage](made_dir)
    with pytest.warns(UserWarning, match="was changed after it was stored; it is asked for again"):
        run_recipe(small, made_dir, quiet=True)
    log = (made_dir / "log.txt").read_text()
    assert "! metrics.jsonl was changed after the run wrote it" in log
    assert "! run.db: rows of the table 'rows' were removed or added" in log
    assert {line.split()[0] for line in verify(made_dir)} == {"metrics.jsonl"}  # mended: all that the walk makes itself


def test_a_damaged_adapter_stops_the_walk(made_dir, small):
    DAMAGE["adapter weights"](made_dir)
    with pytest.raises(InputError, match="damaged since the training ended"):
        run_recipe(small, made_dir, quiet=True)
    assert any("adapter_model.safetensors" in line for line in verify(made_dir))


def test_a_run_of_an_earlier_version_is_not_covered_but_not_called_damaged(made_dir):
    with sqlite3.connect(made_dir / "run.db") as db:
        for table in ("calls", "rows", "memos"):
            db.execute(f"alter table {table} drop column sha")
        db.execute("drop table meta")
    db.close()
    entries, _ = read_manifest(made_dir)
    entries = {n: s for n, s in entries.items() if n != "training.json" and not n.startswith("reference/")}
    (made_dir / "manifest.json").write_text(json.dumps(entries))
    assert verify(made_dir) == [] and uncovered(made_dir) > 100
    with Run(made_dir) as run:
        assert run.secret == ""  # its requests keep the delimiters they had
        run.keep_replies("draft", "m", {"k": Reply(text="new")})
    assert verify(made_dir) == []
    assert "stored no digests" in CliRunner().invoke(app, ["audit", str(made_dir), "--verify"]).output
