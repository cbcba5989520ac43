"""From a pair back to its prompt, and what does not fit any more, on a small run of the embedded models."""

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.pairs import load_pairs
from cai_lite.reporting.audit import chain, verify
from cai_lite.run.ledger import Run


def test_an_untouched_run_fits(made_dir):
    assert verify(made_dir) == []
    done = CliRunner().invoke(app, ["audit", str(made_dir), "--verify"])
    assert (done.exit_code, done.output.strip()) == (0, "all digests match")


def test_a_pair_leads_to_both_texts_their_prompt_and_the_verdicts(made_dir):
    pair = load_pairs(made_dir / "pairs.jsonl")[0]
    with Run(made_dir) as run:
        node = chain(run, pair.key[:10])
    kinds = {child["kind"] for child in node["parents"]}
    assert node["kind"] == "pair" and {"candidate", "verdict"} <= kinds
    candidate = node["parents"][0]
    assert candidate["payload"]["text"] == pair.chosen[0].content
    assert candidate["parents"][0]["kind"] in ("prompt", "candidate")
    shown = CliRunner().invoke(app, ["audit", str(made_dir), pair.key]).output
    assert "prompt" in shown and "verdict" in shown and pair.prompt[-1].content.split()[0] in shown
    assert pair.principle in {row["id"] for row in node["principles"]}
    assert f"principle {pair.principle}: " in shown and "(above)" in shown


def test_a_key_that_is_none_or_several_is_said(made_dir):
    with Run(made_dir) as run:
        with pytest.raises(InputError, match="no row begins with 'zzz'"):
            chain(run, "zzz")
        with pytest.raises(InputError, match=r"\d+ rows begin with ''"):
            chain(run, "")
