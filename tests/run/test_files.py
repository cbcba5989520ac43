import json

import pytest

from cai_lite.errors import InputError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.run.files import read_record, read_records, recipe_text, version, write_aside, write_lines


def test_a_file_with_other_content_moves_aside_and_the_same_content_stays(tmp_path):
    path = tmp_path / "pairs.jsonl"
    assert write_aside(path, "one") is None
    assert write_aside(path, "one") is None
    assert write_aside(path, "two") == tmp_path / "pairs.1.jsonl"
    assert write_aside(path, "three") == tmp_path / "pairs.2.jsonl"
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["one", "two", "three"]


def test_lines_are_written_in_one_step_and_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_lines(path, (f"{i}\n" for i in range(3)))
    assert path.read_bytes() == b"0\n1\n2\n"
    assert write_aside(path, iter(["0\n", "1\n", "2\n"])) is None
    with pytest.raises(ZeroDivisionError):
        write_lines(path, (f"{1 // i}\n" for i in (1, 0)))
    assert path.read_bytes() == b"0\n1\n2\n"


def test_the_description_names_versions_and_digests_and_is_still_a_recipe(tmp_path):
    text = recipe_text(load_recipe("medical", profile="embedded").resolved(), {"student x": "abc"})
    assert f"torch {version('torch')}" in text and "# student x: abc" in text
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_recipe(tmp_path / "recipe.yaml").student.model == "embedded:student"


def test_an_absent_package_is_called_absent():
    assert version("no-such-package-at-all") == "absent"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\x80", b'{"metrics": 3}', b"[" * 100_000, b"null"])
def test_a_damaged_record_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "evaluation.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"evaluation\.json: damaged since it was written; put back a copy"):
        read_record(path, {"metrics": dict})


def test_a_damaged_line_is_refused_with_its_number(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n")
    assert read_records(path) == [{"step": 1}]
    path.write_text(json.dumps({"step": 1}) + '\n{"step":\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl:2: damaged"):
        read_records(path)
