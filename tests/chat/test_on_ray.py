"""Models on Ray: with a stand-in for Ray everywhere, and on a cluster of this machine where ray is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from cai_lite.chat import cluster, crew, open_model, worker
from cai_lite.chat.asking import ask
from cai_lite.chat.crew import Actors
from cai_lite.chat.on_ray import open_on_ray, underlying
from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.errors import ChatError, InputError, MissingPackageError, Stopped
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.records import Message, Request, Sampling, digest
from cai_lite.run.ledger import Run
from tests.chat.stand_in_ray import StandIn
from tests.conftest import REPOSITORY, completion


def requests(*texts, **more):
    return [Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8, **more)) for text in texts]


TEXTS = [f"t{i}" for i in range(60)]


@pytest.fixture
def ray(monkeypatch):
    found = StandIn()
    monkeypatch.setattr(cluster, "_ray", lambda: found)
    monkeypatch.setattr(crew, "_LOOK", 0.02)
    monkeypatch.setattr(crew, "_TAKE", 0.1)
    yield found
    for handle in found.living:
        found.kill(handle)


def opened(server, **more):
    return open_on_ray(server.url, model="m", concurrency=8, actors=Actors(**{"actors": 2, **more}))


def test_the_replies_are_those_of_one_machine_under_the_same_keys(ray, server):
    run, here = Run(), open_model(server.url, model="m")
    there = opened(server)
    replies = ask(there, requests(*TEXTS, temperature=1.0), run=run, stage="s")
    assert [reply.text for reply in replies] == [text.upper() for text in TEXTS]
    assert (there.name, there.digest, there.wording) == (here.name, here.digest, here.wording)
    ask(here, requests(*TEXTS, temperature=1.0), run=run, stage="s")  # all of them are known
    assert set(server.seen.values()) == {1} and len(ray.started) == 2
    seeds = {body["messages"][-1]["content"]: body["seed"] for body in server.bodies}
    assert seeds["t7"] == here.body(requests("t7", temperature=1.0)[0])["seed"]
    assert ray.started[0].options["num_cpus"] == 0 and "lifetime" not in ray.started[0].options
    there.close()
    assert not ray.living


def test_an_actor_that_dies_is_replaced_and_only_what_was_under_way_is_asked_again(ray, server):
    died = []

    def dies(number, method):
        if number == 0 and method == "take" and sum(server.seen.values()) > 20 and not died:
            return died.append(number) is None
        return False

    ray.dies = dies
    replies = ask(opened(server), requests(*TEXTS), run=Run(), stage="s")
    assert [reply.text for reply in replies] == [text.upper() for text in TEXTS]
    assert died == [0] and len(ray.started) == 3 and len(ray.living) == 2
    assert set(server.seen.values()) <= {1, 2}


def test_a_key_reaches_the_actors_and_is_shown_by_nothing(ray, server, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    model = open_on_ray(server.url, model="m", api_key_env="TEACHER_KEY", actors=Actors(actors=1))
    ask(model, requests("a"), run=Run(), stage="s")
    assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in repr(vars(model)) + repr(vars(model._crew)) + repr(ray.started[0].options)


def test_an_error_of_the_server_is_the_one_of_one_machine(ray, server):
    server.behave = lambda text, attempt: (401, {}, {"error": {"message": "no such key"}})
    with pytest.raises(ChatError, match="check the key in"):
        ask(opened(server), requests(*TEXTS), run=Run(), stage="s")
    with pytest.raises(InputError, match="no such folder"):
        open_on_ray("./nowhere")


def test_a_bug_in_an_actor_comes_with_its_traceback_and_what_is_ours_as_it_is():
    assert "ZeroDivisionError" in str(worker.sendable(ZeroDivisionError("x")))
    for error in (TemplateRefusal("no system", "; mend it"), Stopped("s"), MissingPackageError("m")):
        again = pickle.loads(pickle.dumps(worker.sendable(error)))
        assert (type(again), str(again)) == (type(error), str(error))


def test_local_models_are_given_the_batches_of_one_machine(ray):
    some = requests(*(f"Is {'very ' * (i % 7)}strong tea number {i} good for a headache?" for i in range(12)))
    here, there = open_model("embedded:teacher"), open_on_ray("embedded:teacher", actors=Actors(actors=2))
    plain = [reply.text for reply in ask(here, some, run=Run(), stage="s")]
    assert [reply.text for reply in ask(there, some, run=Run(), stage="s")] == plain
    here.tokens_per_batch = 100
    planned = here.plan(some)
    assert len(planned) > 3 and sorted(i for batch in planned for i in batch) == list(range(12))
    for batch in planned:  # each is the same batch again by itself
        assert here.plan([some[i] for i in batch]) == [list(range(len(batch)))]
    assert there.fits(some[0]) is True


@pytest.mark.parametrize(
    ("changed", "says"), [({"version": "0.0.0"}, "install the same version"), ({"digest": "x"}, "is another model on")]
)
def test_other_weights_and_other_versions_on_a_machine_are_refused(ray, server, monkeypatch, changed, says):
    hello = worker.Worker.hello
    known = {"host": "h", "pid": 1, "version": worker.version(), "digest": ""}
    monkeypatch.setattr(
        worker.Worker, "hello", lambda self: worker.Hello(**{**known, "digest": hello(self).digest, **changed})
    )
    with pytest.raises(ChatError, match=says):
        ask(opened(server), requests("a"), run=Run(), stage="s")
    assert not ray.living and not server.seen


def test_resources_that_no_machine_has_are_named_at_once_and_those_that_are_busy_after_a_while(ray, server):
    with pytest.raises(InputError, match=r"takes 1 GPU, and no machine .* \(they have 0 GPU\)"):
        opened(server, num_gpus=1).check()
    ray.room = 0
    with pytest.raises(ChatError, match=r"no actor began within 0\.05 seconds. Each takes 2 CPU"):
        ask(opened(server, num_cpus=2, wait=0.05), requests("a"), run=Run(), stage="s")
    ray.room = 1  # the second one joins never; the first does it all
    assert len(ask(opened(server), requests(*TEXTS), run=Run(), stage="s")) == 60


def test_actors_that_cannot_begin_are_not_tried_for_ever(ray, server, monkeypatch):
    monkeypatch.setattr(worker.Worker, "__init__", lambda self, *given: 1 / 0)
    with pytest.raises(ChatError, match=r"cannot begin on the Ray cluster \(division by zero\); cai-lite .* installed"):
        ask(opened(server), requests("a"), run=Run(), stage="s")


@pytest.mark.parametrize(
    ("settings", "local", "nodes", "needs", "number"),
    [
        ({}, False, [{"CPU": 8, "GPU": 8}, {"CPU": 8}], {}, 2),
        ({}, True, [{"CPU": 8, "GPU": 8}, {"CPU": 8, "GPU": 4}], {"CPU": 1.0, "GPU": 1.0}, 12),
        ({"num_gpus": 2}, True, [{"CPU": 8, "GPU": 8}, {"CPU": 8, "GPU": 3}], {"CPU": 1.0, "GPU": 2}, 5),
        ({"num_gpus": 0}, True, [{"CPU": 8, "GPU": 8}], {"CPU": 1.0}, 1),
        ({"actors": 3, "resources": {"big": 0.5}}, True, [{"CPU": 8}], {"CPU": 1.0, "big": 0.5}, 3),
    ],
)
def test_actors_take_a_gpu_each_where_there_are_any(settings, local, nodes, needs, number):
    actors = Actors(**settings)
    assert actors.needs(local=local, nodes=nodes) == needs
    assert actors.number(needs, nodes) == number


def test_a_recipe_opens_its_models_on_ray_without_another_digest(ray):
    server = "teacher={url: 'http://127.0.0.1:9/v1', model: m, ray: {actors: 3}}"
    critic = "critique.by={model: 'embedded:teacher'}"
    recipe = load_recipe("medical", [server, critic, "student.ray={actors: 2}"], "embedded")
    here, there = open_roles(recipe), open_roles(recipe, "ray")
    assert there.digests() == here.digests()
    for one in (*there.members, there):
        model = one.drafter if one is there else one.model
        assert underlying(model) is not model
    assert there.student is underlying(there.drafter) and there.judge is there.teachers[0].model
    assert there.critics[0].model.wording == here.critics[0].model.wording == there.itself.wording == "short"
    assert not ray.started
    there.close()
    batch = load_recipe("medical", ["teacher={url: 'http://127.0.0.1:9/v1', model: m, batch: true}"], "embedded")
    assert open_roles(batch, "ray").judge.collect  # the server spreads a batch by itself


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("teacher.ray={actors: 0}", "'actors' should be from 1"),
        ("teacher.ray={num_gpus: -1}", "'num_gpus' should be 0 or more"),
        ("teacher.ray={gpus: 1}", "unknown key 'gpus'"),
        ("teacher={url: 'http://h/v1', model: m, batch: true, ray: {actors: 2}}", "keep one of them"),
    ],
)
def test_settings_of_actors_that_cannot_be_are_errors(setting, says):
    with pytest.raises(InputError, match=says):
        load_recipe("medical", [setting], "embedded")


def test_a_wrong_address_and_a_missing_package_are_said(ray, monkeypatch):
    for wrong in ("rey", "ray:/host", "ray://", "host:6379"):
        with pytest.raises(InputError, match=r"such as ray://HOST:10001"):
            open_on_ray("embedded:teacher", address=wrong)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'cai-lite\[ray\]'"):
        open_on_ray("embedded:teacher")


def test_signals_stay_with_the_command_and_an_unreachable_cluster_is_said(ray, monkeypatch):
    def init(address="ray", **_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ConnectionError("ray client connection timeout\nmore")

    ray.init, before = init, signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=r"at ray://nowhere:10001: ray client connection timeout. Is it up"):
        open_on_ray("embedded:teacher", address="ray://nowhere:10001").check()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_is_gone_is_not_waited_for(ray, monkeypatch, tmp_path):
    asked = []
    ray.init = lambda **options: asked.append(options.get("address"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster.connect("ray")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")  # it was killed, and left this behind
    cluster.connect("ray")
    assert asked == [None, "local"]
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127.0.0.1:1 \(RAY_ADDRESS\)"):
        cluster.connect("ray")


# With Ray itself


@pytest.fixture(scope="module")
def installed():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'cai-lite[ray]'")


def recipe_of(tmp_path, server, prompts=12):
    rows = [{"prompt": f"I have had pain number {i} since Monday.", "family": str(i)} for i in range(prompts)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"constitution: medical-embedded\nprompts: {{file: {tmp_path / 'prompts.jsonl'}, held_out: 0}}\n"
        f"teacher: {{url: '{server.url}', model: m, concurrency: 4, ray: {{actors: 2}}}}\n"
        "student: {model: 'embedded:student'}\ndraft: {from: teacher, n: 3}\njudge: {log_probs: never, principles: 1}\n"
        "pair: {rules: [best_over_worst], min_margin: 0.1}\n"
    )
    return recipe


def scripted(server, asked, seconds=0.0):
    """Let the server answer by what it is asked alone, and count by it; the judge prefers the greater number."""
    lock = threading.Lock()

    def reply(body):
        text = body["messages"][-1]["content"]
        key = json.dumps([body.get("seed"), text])
        time.sleep(seconds)
        drafted = [word for word in text.replace("\n", " ").split() if word.startswith("0.")]
        with lock:
            asked[key] += 1
        judged = "A" if len(drafted) == 2 and drafted[0] > drafted[1] else "B"
        return 200, {}, completion(judged if drafted else f"Advice 0.{int(digest(key), 16) % 10**6:06d} for you")

    server.reply = reply


def command(recipe, out, *more):
    return [sys.executable, "-m", "cai_lite", "pairs", str(recipe), "--out", str(out), "--quiet", *more]


def lines(out):
    return sorted((out / "pairs.jsonl").read_text().splitlines(), key=lambda line: json.loads(line)["key"])


def same_secret(*places):
    """Run directories whose requests are the same ones."""
    Run(places[0]).close()
    for place in places[1:]:
        place.mkdir()
        (place / "run.db").write_bytes((places[0] / "run.db").read_bytes())


@pytest.mark.slow
def test_two_actors_of_ray_make_the_same_pairs_and_a_killed_driver_pays_for_nothing_twice(installed, server, tmp_path):
    recipe, asked = recipe_of(tmp_path, server), Counter()
    plain, whole, killed = tmp_path / "plain", tmp_path / "whole", tmp_path / "killed"
    same_secret(plain, whole, killed)
    scripted(server, asked)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command(recipe, plain), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = dict(asked)
    asked.clear()
    done = subprocess.run(command(recipe, whole, "--on", "ray"), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert asked == calls and set(asked.values()) == {1}
    assert lines(whole) == lines(plain) and len(lines(plain)) >= 8

    asked.clear()
    scripted(server, asked, 0.1)
    driver = subprocess.Popen(command(recipe, killed, "--on", "ray"), env=environment, stderr=subprocess.DEVNULL)
    while sum(asked.values()) < 20 and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    time.sleep(3)
    quiet = sum(asked.values())
    time.sleep(1)
    assert sum(asked.values()) == quiet < sum(calls.values())  # the actors ended with the driver
    done = subprocess.run(command(recipe, killed, "--on", "ray"), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert lines(killed) == lines(plain) and asked.keys() == calls.keys()
    # Those under way when it was killed, of which nobody had the answer, and those whose answer was not fetched yet.
    assert sum(asked.values()) - len(calls) <= 12


@pytest.mark.slow
def test_an_actor_of_ray_that_is_killed_loses_no_row(installed, server):
    asked = Counter()
    scripted(server, asked, 0.02)
    model = open_on_ray(server.url, model="m", concurrency=8, actors=Actors(actors=2))
    killed: list[int] = []
    run = Run()

    def kill(arrived):
        if not killed and len(run.replies([r.key(model.digest) for r in wanted])) > 50:
            killed.append(model._crew._ray.get(next(iter(model._crew._ready)).hello.remote()).pid)
            os.kill(killed[0], signal.SIGKILL)

    wanted = requests(*(f"t{i}" for i in range(200)))
    replies = ask(model, wanted, run=run, stage="s", seen=kill)
    model.close()
    assert killed and all(reply.outcome == "ok" for reply in replies)
    assert len(asked) == 200 and sum(asked.values()) - 200 <= 16
