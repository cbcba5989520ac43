"""Pairs as a data set that others can load and read about, and folders on the hub; no test asks the hub."""

from __future__ import annotations

import hashlib
import json

import huggingface_hub
import pytest
import yaml

from cai_lite.errors import InputError, ModelError, Stopped
from cai_lite.inputs.pairs import load_pairs
from cai_lite.serving.publishing import (
    CARD,
    CROISSANT,
    PARQUET,
    check_base_public,
    check_push,
    push,
    with_metadata,
    write_dataset,
)


@pytest.fixture
def written(untrained, tmp_path):
    assert write_dataset(untrained, tmp_path / "data set", license="CC-BY-4.0") == 8
    return tmp_path / "data set"


def test_the_pairs_come_back_as_they_were(written, untrained):
    assert load_pairs(written / PARQUET) == load_pairs(untrained / "pairs.jsonl")


def test_the_card_names_file_and_licence(written):
    _, head, text = (written / CARD).read_text().split("---\n", 2)
    fields = yaml.safe_load(head)
    assert fields["license"] == "CC-BY-4.0" and fields["tags"] == ["cai_lite"]
    assert fields["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert "# Preference pairs of the run 'toy'" in text


def test_croissant_describes_every_column_and_the_very_file(written):
    found = json.loads((written / CROISSANT).read_text())
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0" and found["@type"] == "sc:Dataset"
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    (file,) = found["distribution"]
    assert file["sha256"] == hashlib.sha256((written / file["contentUrl"]).read_bytes()).hexdigest()
    fields = {field["name"]: field for field in found["recordSet"][0]["field"]}
    assert {"prompt", "chosen", "rejected", "principle", "p_chosen", "evidence"} <= fields.keys()
    assert fields["p_chosen"]["dataType"] == "sc:Float" and fields["principle"]["dataType"] == "sc:Text"
    assert fields["prompt"]["repeated"] is True
    assert {part["name"] for part in fields["prompt"]["subField"]} == {"role", "content"}
    ids = [field["@id"] for field in fields.values()]
    ids += [part["@id"] for field in fields.values() for part in field.get("subField", ())]
    assert len(ids) == len(set(ids))
    used = {key for field in fields.values() for key in field if not key.startswith("@")}
    assert used - {"name", "description"} <= found["@context"].keys()


def test_a_card_without_a_head_gets_one():
    assert with_metadata("# Pairs\n", {"license": None, "size": 3}) == "---\nsize: 3\n---\n# Pairs\n"
    assert with_metadata("---\nsize: 2\ntags: [a]\n---\n# P\n", {"size": 3}) == "---\ntags: [a]\nsize: 3\n---\n# P\n"


def test_a_run_without_pairs_has_no_data_set(tmp_path):
    with pytest.raises(InputError, match=r"no pairs\.jsonl"):
        write_dataset(tmp_path, tmp_path / "out")


class Hub:
    """What was asked of the hub."""

    asked: list = []  # noqa: RUF012  (the class is made by the library's caller)
    error: Exception | None = None

    def create_repo(self, name, **more):
        self.asked.append((name, more))

    def upload_folder(self, **more):
        if self.error is not None:
            raise self.error
        self.asked.append(more)
        return "https://hub/me/pairs/commit/1"


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "a token")
    monkeypatch.setattr(Hub, "asked", [])
    return Hub


def test_a_folder_is_pushed_to_a_private_repository(written, hub):
    check_push("me/pairs")
    assert push(written, "me/pairs", "dataset") == "https://hub/me/pairs/commit/1"
    (name, made), uploaded = hub.asked
    assert name == "me/pairs" and made == {"repo_type": "dataset", "private": True, "exist_ok": True}
    assert uploaded["folder_path"] == str(written) and uploaded["repo_type"] == "dataset"
    push(written, "me/pairs", "dataset", public=True)
    assert hub.asked[2][1]["private"] is False


def test_nothing_is_pushed_without_card_token_or_name(written, hub, monkeypatch, tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match=r"has no README\.md"):
        push(tmp_path / "bare", "me/pairs", "model")
    with pytest.raises(InputError, match="named OWNER/NAME"):
        check_push("pairs")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match="HF_TOKEN"):
        check_push("me/pairs")
    assert not hub.asked


def test_a_hub_that_refuses_is_said_in_a_line(written, hub, monkeypatch):
    monkeypatch.setattr(Hub, "error", OSError("403 Forbidden for https://me:secret@hub/x\nmore"))
    with pytest.raises(Stopped, match=r"^me/pairs could not be pushed: 403 Forbidden for https://\*\*\*@hub/x$"):
        push(written, "me/pairs", "dataset")


@pytest.mark.parametrize("base", ["embedded:student", "/models/mine", "model"])
def test_an_adapter_whose_base_nobody_has_is_not_pushed(base):
    with pytest.raises(ModelError, match="not on the hub"):
        check_base_public(base)


def test_an_adapter_of_a_model_on_the_hub_may_be_pushed():
    check_base_public("Qwen/Qwen3-8B")
