import json
import re
import time

import pytest

from cai_lite.errors import InputError
from cai_lite.ledger import Run
from cai_lite.pairfile import load_pairs, save_pairs
from cai_lite.reporting import report


def figures(value):
    """Every figure of an evaluation, however deep."""
    if isinstance(value, dict):
        if set(value) == {"value", "n", "low", "high"}:
            yield value
        else:
            for inner in value.values():
                yield from figures(inner)


def test_every_number_of_the_evaluation_stands_in_the_page(run_dir, evaluation):
    page = report(run_dir).read_text()
    found = list(figures(evaluation["metrics"]))
    assert len(found) >= 15
    for figure in found:
        assert any(f"{figure['value']:{how}}" in page for how in (".3f", ".2f", "+.3f")), figure
        assert str(figure["n"]) in page


def test_text_of_a_model_is_text_and_never_markup(run_dir):
    page = report(run_dir).read_text()
    assert "<script" not in page and "<img" not in page and "A<b>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_loads_nothing_and_forbids_scripts(run_dir):
    page = report(run_dir).read_text()
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert not re.search(r"<[^>]*\s(src|href|action)=", page)
    assert "@import" not in page and "url(" not in page


def test_what_was_not_measured_is_absent(run_dir, evaluation):
    del evaluation["metrics"]["preference_accuracy"], evaluation["metrics"]["reliability"]
    (run_dir / "evaluation.json").write_text(json.dumps(evaluation))
    (run_dir / "metrics.jsonl").unlink()
    page = report(run_dir).read_text()
    for word in ("preference accuracy", "relied on", "<h2>Training"):
        assert word not in page


def test_a_loud_confound_is_called_one(run_dir):
    assert "the student may learn just that" in report(run_dir).read_text()


def test_pairs_alone_make_a_report(run_dir):
    (run_dir / "evaluation.json").unlink()
    page = report(run_dir).read_text()
    assert "2 pairs" in page and "margin too small" in page


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(InputError, match="no run directory"):
        report(tmp_path)
    with Run(tmp_path) as run, pytest.raises(InputError, match="nothing to report yet"):
        report(run)


def test_ten_thousand_pairs_stay_small(run_dir):
    pairs = load_pairs(run_dir / "pairs.jsonl")
    save_pairs(run_dir / "pairs.jsonl", pairs * 5000)
    started = time.perf_counter()
    page = report(run_dir)
    assert page.stat().st_size < 2_000_000
    assert time.perf_counter() - started < 60  # a hang, not a speed
    assert "10000 pairs" in page.read_text()
