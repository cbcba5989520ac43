"""A finished run leans towards groups of its principles: trained once, merged at no cost, measured in pairs."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file

from cai_lite.errors import InputError
from cai_lite.inputs.pairs import load_pairs
from cai_lite.run.progress import Screen
from cai_lite.serving.front import groups_of, steer, weights_of
from cai_lite.serving.steering import checked_weights, group_adapter, open_steered, soup, trained_at


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    return shutil.copytree(finished, tmp_path_factory.mktemp("steered") / "run")


@pytest.fixture(scope="module")
def steered(run):
    there = sorted({pair.principle for pair in load_pairs(run / "pairs.jsonl")})
    return open_steered(run, {"first": there[:2], "second": there[2:]})


def weights_in(adapter):
    return load_file(adapter / "adapter_model.safetensors")


def test_a_group_learns_from_its_own_pairs_alone(steered, finished):
    adapter = group_adapter(steered, "first", Screen(quiet=True))
    record = json.loads((adapter.parent / "training.json").read_text())
    own = [pair for pair in steered.pairs if pair.principle in steered.groups["first"]]
    assert record["report"]["kept"] == len(own) < len(steered.pairs)
    assert record["report"]["dropped"] == {"of principles with weight 0": len(steered.pairs) - len(own)}


def test_a_second_call_trains_nothing_again(steered):
    screen = Screen(quiet=True)
    adapter = group_adapter(steered, "first", screen)
    before = (adapter / "adapter_model.safetensors").stat().st_mtime_ns
    first, error = soup(steered, {"first": 0.3, "second": 0.7}, screen)
    made = (first / "adapter_model.safetensors").stat().st_mtime_ns
    assert soup(steered, {"first": 0.3, "second": 0.7}, screen) == (first, error) == (first, 0.0)
    assert (adapter / "adapter_model.safetensors").stat().st_mtime_ns == before
    assert (first / "adapter_model.safetensors").stat().st_mtime_ns == made


def test_all_of_the_weight_on_one_group_is_its_adapter(steered):
    screen = Screen(quiet=True)
    alone, _ = soup(steered, {"first": 1.0, "second": 0.0}, screen)
    own, made = weights_in(group_adapter(steered, "first", screen)), weights_in(alone)
    scale = json.loads((steered.folder / "first" / "adapter" / "adapter_config.json").read_text())
    factor = scale["lora_alpha"] / scale["r"]
    for name in own:
        if name.endswith("lora_A.weight"):
            other = name.replace("lora_A", "lora_B")
            assert (made[other] @ made[name] - factor * own[other] @ own[name]).abs().max() < 1e-6


def test_equal_weights_train_on_all_pairs_as_the_run_did(steered, run):
    adapter = trained_at(steered, {"first": 0.5, "second": 0.5}, Screen(quiet=True))
    own, of_run = weights_in(adapter), weights_in(run / "adapter")
    assert all((own[name] - of_run[name]).abs().max() < 1e-6 for name in of_run)


def test_a_sweep_measures_its_points_and_draws_them(steered):
    found = steer(steered, sweep=3, check=True, x="adherence.kind-tone", y="adherence", quiet=True)
    assert [point["weights"]["first"] for point in found["points"]] == [1.0, 0.5, 0.0]
    assert all(0 <= point["x"]["low"] <= point["x"]["value"] <= point["x"]["high"] <= 1 for point in found["points"])
    assert found["check"]["weights"] == {"first": 0.5, "second": 0.5}
    assert {"before", "after", "change"} <= found["check"]["y"].keys()
    assert json.loads((steered.folder / "sweep.json").read_text())["points"] == found["points"]
    drawn = (steered.folder / "front.svg").read_text()
    assert drawn.startswith("<svg") and drawn.count("<circle") == 3 and "first=0.5,second=0.5" in drawn


def test_the_run_itself_stays_as_it_is(steered, run, finished):
    for name in ("adapter/adapter_model.safetensors", "pairs.jsonl", "evaluation.json"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()


def test_weights_are_divided_by_their_sum(steered):
    assert checked_weights(steered, {"first": 1.0, "second": 3.0}) == {"first": 0.25, "second": 0.75}
    assert checked_weights(steered, {"second": 2.0}) == {"first": 0.0, "second": 1.0}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"frist": 1.0}, "did you mean 'first'"),
        ({"first": -1.0}, "0 or more"),
        ({"first": 0.0}, "all weights are 0"),
        ({"first": float("nan")}, "0 or more"),
    ],
)
def test_weights_that_mean_nothing_are_named(weights, said, steered):
    with pytest.raises(InputError, match=said):
        checked_weights(steered, weights)


def test_what_cannot_be_steered_is_said(run, tmp_path):
    with pytest.raises(InputError, match="not the directory of a finished run"):
        open_steered(tmp_path)
    with pytest.raises(InputError, match=r"name at least two groups.*steer\.groups or by --group"):
        open_steered(run, {"a": ["kind-tone"]})
    with pytest.raises(
        InputError, match="group 'b': no pair names the principle 'kind-tones'; did you mean 'kind-tone'"
    ):
        open_steered(run, {"a": ["kind-tone"], "b": ["kind-tones"]})


def test_a_figure_that_is_not_measured_is_named(steered):
    with pytest.raises(InputError, match="'unsafe_compliance' is not among the figures that were measured"):
        steer(steered, sweep=3, x="over_refusal", y="unsafe_compliance", quiet=True)


def test_options_are_read_as_they_are_written():
    assert groups_of(["a=x,y", "b= z "]) == {"a": ["x", "y"], "b": ["z"]}
    assert weights_of("a=0.3,b=0.7") == {"a": 0.3, "b": 0.7}
    for wrong in ("a", "a=", "=x"):
        with pytest.raises(InputError, match="NAME=ID,ID"):
            groups_of([wrong])
    with pytest.raises(InputError, match="NAME=NUMBER"):
        weights_of("a=much")
