"""`cai-lite init`: every base makes a folder that reads, lints and is ready."""

import pytest

from cai_lite.errors import InputError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.pipeline.ready import check_ready
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.starting import BASES, init, profiles_of
from cai_lite.pipeline.walk import prompts_of

EMBEDDED = ("medical", "customer-service", "creative")


@pytest.mark.parametrize("base", BASES)
def test_a_new_project_reads_only_its_own_files(base, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://localhost:1/v1")
    folder = tmp_path / "mine"
    assert set(init(folder, base)) == set(folder.iterdir())
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.name == "mine"
    assert recipe.constitution == str(folder / "constitution.yaml")
    assert recipe.prompts.file == str(folder / "prompts.jsonl")
    assert load_constitution(recipe.constitution).principles and prompts_of(recipe).held_out
    assert profiles_of(folder) == (" --profile embedded" if base in EMBEDDED else "")


@pytest.mark.parametrize("base", EMBEDDED)
def test_its_embedded_profile_is_ready_at_once(base, tmp_path):
    init(tmp_path / "mine", base)
    recipe = load_recipe(tmp_path / "mine" / "recipe.yaml", profile="embedded")
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    check_ready(recipe, roles, prompts, tmp_path / "run")
    assert list(roles.warnings([*prompts.train, *prompts.held_out])) == []  # the teacher knows these principles


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "prompts.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"prompts\.jsonl is there already"):
        init(tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["prompts.jsonl"]
    with pytest.raises(InputError, match="is there already"):
        init(tmp_path / "mine" / "prompts.jsonl")


def test_an_unknown_base_is_an_error(tmp_path):
    with pytest.raises(InputError, match="did you mean 'medical'"):
        init(tmp_path / "mine", "medcal")
