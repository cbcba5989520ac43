"""The sections of the report about the run."""

from __future__ import annotations

import json

from cai_lite.reporting.running import training

LINES = "".join(json.dumps({"step": i, "loss": 0.7 - i / 10, "rewards/margins": float(i)}) + "\n" for i in range(1, 4))
CALIBRATION = {
    "temperature": 1.25,
    "accuracy": {"value": 0.9, "n": 50, "low": 0.8, "high": 0.95},
    "calibration_error": 0.031,
    "calibration_error_by_chance": 0.02,
    "reliability": [{"p": 0.55, "observed": 0.5, "n": 10}, {"p": 0.95, "observed": 1.0, "n": 40}],
}


def test_the_reliability_of_a_preference_model_stands_below_its_curves(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)
    (tmp_path / "training.json").write_text(json.dumps({"figures": {"calibration": CALIBRATION}}))
    shown = str(training(tmp_path / "metrics.jsonl", tmp_path / "log.txt"))
    assert "accuracy 0.900 [0.800, 0.950], n = 50; calibration error 0.031, of which chance alone makes 0.020" in shown
    assert "Reliability of the preference model" in shown and "<td>1.00</td><td>40</td>" in shown


def test_other_trainings_have_no_such_table(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)
    for record in ({}, {"figures": {"calibration": {"temperature": 1.0}}}):
        (tmp_path / "training.json").write_text(json.dumps(record))
        assert "Reliability" not in str(training(tmp_path / "metrics.jsonl", tmp_path / "log.txt"))
