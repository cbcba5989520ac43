from cai_lite.pipeline.recipe import load_recipe
from cai_lite.run.files import recipe_text, version, write_aside


def test_a_file_with_other_content_moves_aside_and_the_same_content_stays(tmp_path):
    path = tmp_path / "pairs.jsonl"
    assert write_aside(path, "one") is None
    assert write_aside(path, "one") is None
    assert write_aside(path, "two") == tmp_path / "pairs.1.jsonl"
    assert write_aside(path, "three") == tmp_path / "pairs.2.jsonl"
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["one", "two", "three"]


def test_the_description_names_versions_and_digests_and_is_still_a_recipe(tmp_path):
    text = recipe_text(load_recipe("medical", profile="embedded").resolved(), {"student x": "abc"})
    assert f"torch {version('torch')}" in text and "# student x: abc" in text
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_recipe(tmp_path / "recipe.yaml").student.model == "embedded:student"


def test_an_absent_package_is_called_absent():
    assert version("no-such-package-at-all") == "absent"
