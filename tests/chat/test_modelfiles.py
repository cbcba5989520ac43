"""Models, adapters and chat templates that are damaged or made to do harm."""

import re
from pathlib import Path

import pytest
import torch

import cai_lite
from cai_lite.chat.modelfiles import check_folder, opening
from cai_lite.errors import ModelError
from tests.chat.hostile import CASES, sound, trial


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return sound(tmp_path_factory.mktemp("sound") / "model")


def test_there_are_as_many_hostile_models_and_templates_as_promised():
    assert len({case.name for case in CASES}) == len(CASES) >= 56


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_model_is_a_clear_error_or_harmless(model, tmp_path, case):
    assert trial(model, case, tmp_path / "model")[0] == ""


def test_a_sound_model_passes(model):
    check_folder(model)
    check_folder(model / "adapter")


def test_a_folder_of_many_files_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr("cai_lite.chat.modelfiles._FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(ModelError, match="has 4 files"):
        check_folder(tmp_path)


def test_a_model_that_does_not_fit_the_gpu_is_told_what_makes_it_smaller():
    with (
        pytest.raises(
            ModelError, match=r"m: does not fit this GPU \(as a GPU says it\); load: nf4 .* train\.shard: true"
        ),
        opening("m"),
    ):
        raise torch.OutOfMemoryError("as a GPU says it")


def test_whatever_opens_a_model_states_that_its_code_is_not_run():
    calls = re.compile(r"(?:Auto\w+|_auto_class\(config\))\.from_pretrained\(((?:[^()]|\([^()]*\))*)\)")
    found = [
        (path, call)
        for path in Path(cai_lite.__file__).parent.rglob("*.py")
        for call in calls.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) >= 3
    assert not [(path, call) for path, call in found if "trust_remote_code=False" not in call]
