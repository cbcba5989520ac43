import pytest

from cai_lite.pipeline.recipe import load_recipe
from cai_lite.run.files import recipe_text, version, write_aside, write_lines


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
