import json

import pytest

from cai_lite.errors import InputError
from cai_lite.evaluation.result import as_json, evaluation_json, read_evaluation
from cai_lite.stats import Comparison, Figure


def test_figures_become_dictionaries_at_every_depth():
    figure = Figure(0.5, 4, 0.25, 0.75)
    measured = {"a": {"b": figure, "p": 0.125}, "c": Comparison(figure, figure, figure)}
    found = as_json(measured)
    assert found["a"] == {"b": {"value": 0.5, "n": 4, "low": 0.25, "high": 0.75}, "p": 0.125}
    assert list(found["c"]) == ["before", "after", "change"]
    assert json.loads(json.dumps(found)) == found


def test_what_was_written_is_read_back(tmp_path):
    written = evaluation_json(
        model="m", against="", constitution="c", judge="j", seed=1, metrics={"kl": Figure(0.5, 4, 0.25, 0.75)}
    )
    (tmp_path / "evaluation.json").write_text(json.dumps(written))
    assert read_evaluation(tmp_path) == written
    with pytest.raises(InputError, match=r"no evaluation\.json"):
        read_evaluation(tmp_path / "nowhere")
