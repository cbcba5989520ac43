"""The measurements for a GPU, on a CPU with a tiny shape."""

from __future__ import annotations

import json

import pytest

from cai_lite.bench import gpu
from cai_lite.bench.case import Case

TINY = Case(shape="tiny", prompt_tokens=24, completion_tokens=12, pairs=2, steps=1)


def test_a_case_is_measured_from_the_plan_to_the_drafts(tmp_path, capsys):
    out = tmp_path / "figures" / "gpu.json"
    sizes = ["--pairs", "2", "--steps", "1", "--drafts", "3"]
    words = ["--shapes", "tiny", "--loads", "float32", "--ratios", "24:12", "--device", "cpu", *sizes]
    gpu.main(["--out", str(out), *words])
    (row,) = json.loads(out.read_text())["rows"]
    assert row["planned_peak_bytes"] == gpu.plan_of(TINY)["plain"] > 0
    assert row["measured_peak_bytes"] > 0
    assert row["training_tokens_per_second"] > 0
    assert row["drafting"]["replies"] == 3
    assert row["drafting"]["tokens"] > 0
    assert "tiny" in capsys.readouterr().out


def test_what_cannot_fit_is_not_tried(monkeypatch):
    monkeypatch.setattr(gpu, "memory_of", lambda case: 1000.0)
    found = gpu.measure(TINY, drafts=1)
    assert found["case"]["checkpointing"]
    assert found["skipped"].startswith("the plan is 0.0 GB")
    gpu.show([found])


@pytest.mark.parametrize("words", [["--ratios", "5"], ["--loads", "int4"], ["--shapes", "huge"], []])
def test_wrong_words_are_refused(words, tmp_path, capsys):
    out = ["--out", str(tmp_path / "x.json")] if words else []
    with pytest.raises(SystemExit):
        gpu.main([*out, "--device", "cpu", *words])
    assert "error: " in capsys.readouterr().err
