from cai_lite.inputs.constitution import load_constitution
from cai_lite.reporting.recorded import constitution, constitution_line, settings, versions


def test_the_comments_on_top_of_a_recipe_are_read(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "# Python 3.11, torch 2\n# constitution my: one 1.0: abc\nstudent: {model: m}\n"
    )
    assert versions(tmp_path) == "Python 3.11, torch 2"
    assert constitution_line(tmp_path) == ("my: one 1.0", "abc")
    assert settings(tmp_path) == {"student": {"model": "m"}}


def test_what_is_no_recipe_of_ours_says_nothing(tmp_path):
    assert (settings(tmp_path), versions(tmp_path), constitution_line(tmp_path)) == ({}, "", ("", ""))
    (tmp_path / "recipe.yaml").write_text("[no")
    assert settings(tmp_path) == {} and constitution(tmp_path) is None


def test_the_constitution_is_that_of_the_run_or_none(tmp_path):
    digest = load_constitution("medical").digest
    for recorded, name, found in (
        (digest, "medical", True),
        ("0" * 24, "medical", False),
        (digest, "gone.yaml", False),
    ):
        (tmp_path / "recipe.yaml").write_text(f"# constitution medical 1.1.0: {recorded}\nconstitution: {name}\n")
        assert (constitution(tmp_path) is not None) == found
