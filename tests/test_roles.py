from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.local import LocalModel
from cai_lite.recipe import load_recipe
from cai_lite.roles import open_roles


def test_the_teacher_judges_unless_a_judge_is_named():
    roles = open_roles(load_recipe("medical", profile="embedded"))
    assert roles.judge is roles.teacher
    named = open_roles(load_recipe("medical", ["judge.by={model: 'embedded:student'}"], profile="embedded"))
    assert named.judge.name == "embedded:student"


def test_a_teacher_with_a_url_is_an_endpoint_and_nothing_is_connected(monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:9/v1")
    roles = open_roles(load_recipe("medical", ["student.model=embedded:student", "student.load=null"]))
    assert isinstance(roles.teacher, EndpointModel) and isinstance(roles.student, LocalModel)
    assert list(roles.warnings()) == []


def test_everybody_has_a_digest_of_their_own():
    digests = open_roles(load_recipe("medical", profile="embedded")).digests()
    assert len(set(digests.values())) == 3  # constitution, student, and the teacher who is also the judge
