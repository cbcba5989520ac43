"""The benchmark itself: what it counts, and that its contenders do the same work."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest
from rich.console import Console

from cai_lite.bench import run
from cai_lite.bench.case import Case, case_of, model_of
from cai_lite.bench.flash_preference import flash_preference
from cai_lite.bench.run import bench, opponents
from cai_lite.bench.table import show_bench
from cai_lite.errors import InputError, MissingPackageError, ModelError

TINY = {"shape": "tiny", "prompt_tokens": 24, "completion_tokens": 12, "pairs": 2, "steps": 2}


def test_batches_are_the_same_for_all_and_have_the_lengths_asked_for():
    case = Case(**TINY)
    batches = case.batches()
    assert batches == Case(**TINY).batches()
    assert [len(batch) for batch in batches] == [2, 2, 2]
    for pair in (pair for batch in batches for pair in batch):
        assert len(pair.prompt_ids) == 24
        assert 8 <= len(pair.completions[0]) <= 16


def test_useful_operations_are_those_counted_by_hand():
    case = Case(**TINY)
    model = model_of(case)
    body = sum(p.numel() for n, p in model.named_parameters() if "proj" in n)
    assert case.body_parameters() == body
    (pair, _) = case.batches()[0]
    completions = len(pair.completions[0]) + len(pair.completions[1])
    assert case.useful_flops([pair]) == 4 * (body * (24 + completions) + 512 * 64 * completions)


def test_a_run_of_our_own_loop_has_a_row_with_all_figures():
    found = bench(Case(**TINY, load="nf4"), [])
    row = found["contenders"]["cai_lite"]
    assert set(row) == {
        "seconds",
        "cpu_seconds",
        "pairs_per_second",
        "peak_bytes",
        "model_bytes",
        "setup_seconds",
        "useful_flops_share",
    }
    assert row["seconds"] > 0
    assert 0 < row["useful_flops_share"] < 1
    console = Console(record=True, width=120)
    show_bench(found, console)
    assert "cai_lite" in console.export_text()


@pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed (pip install 'cai-lite[bench]')")
def test_trl_comes_to_the_same_log_probs_and_gradients():
    found = bench(Case(**TINY), opponents("trl"))
    assert list(found["ratios"]) == ["trl", "trl as shipped"]
    for ratio in found["ratios"].values():
        assert ratio["logps_difference"] < 1e-4
        assert ratio["gradient_difference"] < 1e-6 < ratio["gradient_largest"]


def test_on_a_gpu_one_contender_runs_after_the_other(monkeypatch):
    """One model of 7B fills the memory. The workers are those of a CPU, told that it is a GPU's turn."""
    alive, most, honest = set(), [], run._Worker

    class Counted(honest):
        def __init__(self, name, case, gradients):
            alive.add(name)
            most.append(len(alive))
            super().__init__(name, replace(case, device="cpu"), gradients)

        def close(self):
            alive.discard(self._name)
            super().close()

    monkeypatch.setattr(run, "_Worker", Counted)
    monkeypatch.setattr(run, "matrix_ceiling", lambda case: 1e9)
    monkeypatch.setattr(run, "_machine", lambda case: {})
    found = bench(Case(**TINY, device="cuda"), ["plain rows"])
    assert most == [1, 1]
    assert found["ratios"]["plain rows"]["logps_difference"] < 1e-4


def test_a_peer_that_is_not_installed_is_named_with_its_package():
    with pytest.raises(MissingPackageError, match="needs the packages flash-pref and flash-attn: pip install"):
        flash_preference(None, [], Case(**TINY))


def test_the_default_case_is_that_of_the_machine(monkeypatch):
    sizes = {name: value for name, value in TINY.items() if name != "shape"}
    here = case_of(**sizes, device="cpu", load="auto")
    assert (here.shape, here.load) == ("small", "float32")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    there = case_of(**sizes, device="auto", load="auto")
    assert (there.shape, there.load, there.device) == ("qwen2.5-7b", "nf4", "cuda")


def test_a_contender_that_stops_is_named_with_what_it_said_last(monkeypatch):
    monkeypatch.setattr("cai_lite.bench.run.OURS", "nobody")
    with pytest.raises(ModelError, match=r"nobody stopped: .*KeyError"):
        bench(Case(**TINY), [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": "llama-2-7bb"}, "did you mean 'llama-2-7b'"),
        ({"completion_tokens": 2}, "completion_tokens should be at least 3, got 2"),
        ({"device": "tpu"}, "device should be auto, cpu or cuda, got 'tpu'"),
        ({"load": "int4"}, "load should be auto"),
    ],
)
def test_a_case_that_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        case_of(**{**TINY, "device": "cpu", "load": "auto", **settings})
    with pytest.raises(InputError, match="against should be one of trl, trl-best, flash-preference, itself"):
        opponents("unsloth")
