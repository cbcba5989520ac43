"""A finished run of the embedded models, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The directory of a run on twenty prompts; a test works on a copy of it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    settings = ["prompts.limit=20", "prompts.eval_limit=8", "train.epochs=1", "evaluate.metrics=[adherence]"]
    settings += ["evaluate.baselines=[]", "revise.rounds=1", "draft.max_tokens=96", "evaluate.pair_prompts=2"]
    run_recipe(load_recipe("medical", settings, profile="embedded"), out, quiet=True)
    return out


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """The directory of a run whose adapter has random weights; see `exported`."""
    from tests.serving.exported import unfinished

    return unfinished(tmp_path_factory.mktemp("untrained") / "run")
