"""Families of models, a few of each kind; `python -m cai_lite.bench.families` tries them all."""

import pytest

from cai_lite.bench import families
from cai_lite.bench.families import FAMILIES, Tried, table, try_family

# The layout that the checks before a training choose.
LAYOUTS = {
    "Llama 3": "shared",
    "Qwen 3 MoE": "shared",
    "Gemma 2": "shared",
    "Gemma 3 (with vision)": "shared",
    "Command R7B (Cohere 2)": "shared",
    "Seed-OSS": "shared",
    "gpt-oss": "plain",
    "Falcon H1": "plain",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_family_trains_saves_and_loads(name, tmp_path):
    tried = try_family(name, tmp_path)
    assert (tried.layout, tried.trains, tried.loads) == (LAYOUTS[name], "yes", "yes"), tried.remark
    assert tried.draft == "yes"


def test_what_fails_is_told_and_stops_no_other_family(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "Nobody", ("NoSuchConfig", {}))
    tried = try_family("Nobody", tmp_path)
    assert not tried.whole and "cannot be made tiny" in tried.remark


def test_the_table_has_a_row_for_each_family_and_counts_those_that_work_whole():
    text = table([Tried("A", "yes", "shared", "yes", "yes"), Tried("B", "no", remark="a | b")])
    assert "2 families" in text and "1 work whole" in text
    assert "| A | yes | shared | yes | yes |  |" in text and "| B | no | - | - | - | a / b |" in text


def test_the_command_writes_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(families, "try_family", lambda name, folder: Tried(name, "yes", "plain", "yes", "yes"))
    families.main(["--only", "Llama 3", "--out", str(tmp_path / "table.md")])
    assert "| Llama 3 | yes | plain | yes | yes |  |" in (tmp_path / "table.md").read_text(encoding="utf-8")
