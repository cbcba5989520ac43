"""A backend is one class, and one line in `BACKENDS`: this file adds one from outside."""

import pytest

import cai_lite as cai
from cai_lite.chat import BACKENDS
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import ModelError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.records import Message, Prompt


@pytest.fixture
def added(monkeypatch):
    opened = []

    def shout(where, **options):
        opened.append((where, options))
        return ScriptedModel(lambda request: request.messages[-1].content.upper(), name=where)

    monkeypatch.setitem(BACKENDS, "shout", shout)
    return opened


def test_an_added_backend_is_opened_by_its_prefix_and_drafts(added):
    model = cai.open_model("shout:loud", concurrency=3)
    assert added == [
        ("shout:loud", {"api_key_env": "OPENAI_API_KEY", "concurrency": 3, "prices": (0.0, 0.0)}),
    ]
    prompt = Prompt(key="p", messages=(Message("user", "hello"),), family="f")
    assert [row.text for row in cai.draft(model, [prompt])] == ["HELLO"]


def test_a_recipe_names_an_added_backend(added):
    recipe = load_recipe("medical", ["teacher={model: 'shout:loud'}", "judge.by={model: 'shout:judge'}"], "embedded")
    roles = open_roles(recipe)
    assert (roles.teachers[0].model.name, roles.judge.name) == ("shout:loud", "shout:judge")


def test_a_server_needs_the_name_of_its_model_and_loads_nothing():
    with pytest.raises(ModelError, match="which model"):
        cai.open_model("http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="are for local models"):
        cai.open_model("http://127.0.0.1:9/v1", model="m", load="nf4")
