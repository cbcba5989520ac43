"""From a pair back to its prompt, and what does not fit any more, on a small run of the embedded models."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.pairs import load_pairs, save_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.reporting.audit import chain, verify
from cai_lite.run.ledger import Run

SMALL = ["prompts.limit=6", "prompts.eval_limit=6", "draft.n=2", "train.epochs=1", "pair.min_margin=0.01"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("audit") / "run"
    settings = [*SMALL, "pair.rules=[best_over_worst,revision_over_draft]", "evaluate.metrics=[adherence]"]
    run_recipe(load_recipe("medical", settings, profile="embedded"), out, quiet=True)
    return out


@pytest.fixture
def run_dir(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def test_an_untouched_run_fits(run_dir):
    assert verify(run_dir) == []
    done = CliRunner().invoke(app, ["audit", str(run_dir), "--verify"])
    assert (done.exit_code, done.output.strip()) == (0, "all digests match")


def test_a_pair_leads_to_both_texts_their_prompt_and_the_verdicts(run_dir):
    pair = load_pairs(run_dir / "pairs.jsonl")[0]
    with Run(run_dir) as run:
        node = chain(run, pair.key[:10])
    kinds = {child["kind"] for child in node["parents"]}
    assert node["kind"] == "pair" and {"candidate", "verdict"} <= kinds
    candidate = node["parents"][0]
    assert candidate["payload"]["text"] == pair.chosen[0].content
    assert candidate["parents"][0]["kind"] in ("prompt", "candidate")
    shown = CliRunner().invoke(app, ["audit", str(run_dir), pair.key]).output
    assert "prompt" in shown and "verdict" in shown and pair.prompt[-1].content.split()[0] in shown
    assert pair.principle in {row["id"] for row in node["principles"]}
    assert f"principle {pair.principle}: " in shown and "(above)" in shown


def test_a_key_that_is_none_or_several_is_said(run_dir):
    with Run(run_dir) as run:
        with pytest.raises(InputError, match="no row begins with 'zzz'"):
            chain(run, "zzz")
        with pytest.raises(InputError, match=r"\d+ rows begin with ''"):
            chain(run, "")


@pytest.mark.parametrize(
    ("touch", "said"),
    [
        ("text", "'chosen' is not the text of candidate"),
        ("label", "'p_chosen' is 0.123"),
        ("evaluation", "evaluation.json was changed after the run wrote it"),
        ("weights", "adapter/adapter_model.safetensors was changed"),
        ("prompt", "its messages are not those that its key was made of"),
        ("parent", "is missing"),
        ("file", "recipe.yaml is missing"),
        ("manifest", "manifest.json is missing"),
    ],
)
def test_whatever_was_touched_is_found(run_dir, touch, said):
    pairs = load_pairs(run_dir / "pairs.jsonl")
    if touch == "text":
        rows = [json.loads(line) for line in (run_dir / "pairs.jsonl").read_text().splitlines()]
        rows[0]["chosen"][0]["content"] += " And more."
        (run_dir / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif touch == "label":
        from dataclasses import replace

        save_pairs(run_dir / "pairs.jsonl", [replace(pairs[0], p_chosen=0.123), *pairs[1:]])
    elif touch == "evaluation":
        (run_dir / "evaluation.json").write_text("{}")
    elif touch == "weights":
        path = run_dir / "adapter" / "adapter_model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif touch == "file":
        (run_dir / "recipe.yaml").unlink()
    elif touch == "manifest":
        (run_dir / "manifest.json").unlink()
    else:
        with Run(run_dir) as run:
            if touch == "prompt":
                run._db.execute(
                    "update rows set payload = replace(payload, 'user', 'system') where kind = 'prompt' and rowid ="
                    " (select min(rowid) from rows where kind = 'prompt')"
                )
            else:
                run._db.execute("delete from rows where key = ?", (pairs[0].parents[2],))
            run._db.commit()
    found = verify(run_dir)
    assert any(said in line for line in found), found
    assert CliRunner().invoke(app, ["audit", str(run_dir), "--verify"]).exit_code == 1
