import pytest

from cai_lite.chat.batch import Batch, BatchModel
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.local import LocalModel
from cai_lite.errors import InputError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.records import Message, Prompt
from cai_lite.training.api import train


def test_the_teacher_judges_unless_a_judge_is_named():
    roles = open_roles(load_recipe("medical", profile="embedded"))
    assert roles.judge is roles.teachers[0].model
    named = open_roles(load_recipe("medical", ["judge.by={model: 'embedded:student'}"], profile="embedded"))
    assert named.judge.name == "embedded:student"


def test_a_second_judge_judges_in_the_evaluation_alone():
    other = "evaluate.second_judge={url: 'http://127.0.0.1:9/v1', model: other}"
    roles = open_roles(load_recipe("medical", [other], profile="embedded"))
    assert roles.second.model.name != roles.judge.name and roles.second.section == "evaluate.second_judge"
    assert roles.second in roles.members and roles.second not in roles.judges
    assert [name for name in roles.digests() if name.startswith("second judge")]


@pytest.mark.parametrize("name", ["embedded:teacher", "embedded:student"])
def test_a_second_judge_has_no_other_role(name):
    with pytest.raises(InputError, match=f"'{name}' already has another role"):
        load_recipe("medical", [f"evaluate.second_judge.model={name}"], profile="embedded")


def test_a_teacher_with_a_url_is_an_endpoint_and_nothing_is_connected(monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:9/v1")
    roles = open_roles(load_recipe("medical", ["student.model=embedded:student", "student.load=null"]))
    assert isinstance(roles.teachers[0].model, EndpointModel) and isinstance(roles.student, LocalModel)
    assert list(roles.warnings([])) == []


def test_a_batch_is_asked_of_a_server_and_changes_no_key(monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:9/v1")
    student = ["student.model=embedded:student", "student.load=null"]
    live = open_roles(load_recipe("medical", student)).judge
    batch = open_roles(load_recipe("medical", [*student, "teacher.batch=true"])).judge
    set_ = open_roles(load_recipe("medical", [*student, "teacher.batch={least: 5, expired: live}"])).judge
    assert isinstance(batch, BatchModel) and isinstance(set_, BatchModel) and not isinstance(live, BatchModel)
    assert batch.digest == set_.digest == live.digest
    assert (batch.batch, set_.batch) == (Batch(), Batch(least=5, expired="live"))
    assert load_recipe("medical", [*student, "teacher.batch=true"]).resolved().count("batch: true") == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("student.batch=true", "'batch' is for teachers, judges and critics|add their 'url'"),
        (
            "judge.by={model: 'embedded:student', batch: true}",
            "'batch' is for servers with a batch API; add their 'url'",
        ),
        ("teacher={url: 'http://h/v1', model: m, batch: {requests: 0}}", "'requests' should be from 1 to 50,000"),
        ("teacher={url: 'http://h/v1', model: m, batch: {expired: wait}}", "should be one of fail, live"),
        ("teacher={url: 'http://h/v1', model: m, batch: {last: 3}}", "unknown key 'last'"),
    ],
)
def test_a_batch_that_cannot_be_is_an_error(setting, message):
    with pytest.raises(InputError, match=message):
        load_recipe("medical", [setting], "embedded")


def test_everybody_has_a_digest_of_their_own():
    digests = open_roles(load_recipe("medical", profile="embedded")).digests()
    assert len(set(digests.values())) == 3  # constitution, student, and the teacher who is also the judge


def test_several_teachers_share_the_prompts_by_weight_and_by_the_prompt_alone():
    several = "teachers=[{model: 'embedded:teacher', weight: 3.0}, {model: 'embedded:student'}]"
    roles = open_roles(load_recipe("medical", ["teacher=null", several], profile="embedded"))
    assert len(roles.judges) == 2  # nobody else was named
    prompts = [Prompt(key=f"p{i}", messages=(Message("user", str(i)),), family=str(i)) for i in range(400)]
    shared = {model.name: [p.key for p in given] for model, given in roles.assign(prompts)}
    assert sorted(key for keys in shared.values() for key in keys) == sorted(p.key for p in prompts)
    assert 0.68 < len(shared["embedded:teacher"]) / 400 < 0.82  # 3 of 4, within three standard errors
    half = {model.name: [p.key for p in given] for model, given in roles.assign(prompts[::2])}
    assert all(set(keys) <= set(shared[name]) for name, keys in half.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["teacher=null"], "'teacher' is missing"),
        (["teachers=[{model: 'embedded:student'}]"], "'teacher' and 'teachers' are both given"),
        (["judge.by=[]"], "'by' should be a model, or a list of at least one"),
        (["judge.by=[{model: 'embedded:student', weight: 0.0}]"], "'weight' should be above 0"),
    ],
)
def test_a_role_that_nobody_plays_is_an_error(settings, message):
    with pytest.raises(InputError, match=message):
        load_recipe("medical", settings, profile="embedded")


def test_only_principles_that_the_prompts_meet_are_warned_of():
    roles = open_roles(load_recipe("medical", profile="embedded"))

    def warnings(*tags):
        return list(roles.warnings([Prompt(key="p", messages=(Message("user", "q"),), family="f", tags=tags)]))

    assert warnings("symptoms", "red-flag") == []
    (teacher, judge) = warnings("results")
    assert "embedded teacher was not trained for explain-results" in teacher and "embedded judge" in judge


def test_template_and_system_reach_every_role(monkeypatch):
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:9/v1")
    settings = [
        "student={model: 'embedded:student', load: null, template: {enable_thinking: false}, system: merge}",
        "judge.by={url: 'http://127.0.0.1:9/v1', model: j, extra_body: {top_k: 1}}",
    ]
    roles = open_roles(load_recipe("medical", settings))
    assert (roles.student.template, roles.student.system) == ({"enable_thinking": False}, "merge")
    assert roles.teachers[0].model.template == {"enable_thinking": False}  # Qwen3-32B would think
    assert roles.judge.extra_body == {"top_k": 1}
    sections = {
        name: roles.watch(model, print, set(), stops=True).section
        for name, model in (("student", roles.student), ("teacher", roles.teachers[0].model), ("judge", roles.judge))
    }
    assert sections == {"student": "student", "teacher": "teacher", "judge": "judge.by"}


def test_the_embedded_teacher_is_asked_as_ever():
    teacher = open_roles(load_recipe("medical", profile="embedded")).teachers[0].model
    assert teacher.template == {} and teacher.digest == LocalModel("embedded:teacher", wording="short").digest


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("student.extra_body={top_k: 2}", "'extra_body' is for servers"),
        ("teacher={url: 'http://x/v1', model: m, extra_body: {seed: 2}}", "'seed' is set by every request itself"),
        ("teacher.template=thinking", "'teacher.template' should be a section"),
        ("teacher.system=join", "'teacher.system' should be one of keep, merge"),
        ("critique.max_tokens=0", "'max_tokens' should be at least 1"),
    ],
)
def test_settings_of_a_model_that_cannot_be_are_errors(setting, message):
    with pytest.raises(InputError, match=message):
        load_recipe("medical", [setting], profile="embedded")


def test_a_model_with_an_adapter_is_written_in_two_ways_that_open_the_same(tmp_path):
    adapter = tmp_path / "adapter"
    pair = {"prompt": "My lamp leaks.", "chosen": "Unplug it first.", "rejected": "Leave it."}
    train("embedded:student", [pair], out=tmp_path, lora=2)
    plain = open_roles(load_recipe("medical", profile="embedded")).digests()
    for role in ("judge.by", "teacher", "critique.by"):
        one, other = (
            open_roles(load_recipe("medical", [f"{role}={{model: {written}}}"], profile="embedded")).digests()
            for written in (f"'embedded:student', adapter: '{adapter}'", f"'embedded:student#{adapter}'")
        )
        assert one == other != plain


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher={url: 'http://127.0.0.1:9/v1', model: m, adapter: a}", "'adapter' is for local models; serve the"),
        (
            "judge.by={model: 'folder#one', adapter: two}",
            "'model' names an adapter behind its #",
        ),
        ("student.adapter=a", "a student begins without 'adapter'; to train one further, set train.init_adapter"),
    ],
)
def test_an_adapter_that_cannot_be_opened_is_refused_with_the_mend(override, message):
    with pytest.raises(InputError, match=message):
        load_recipe("medical", [override], profile="embedded")
