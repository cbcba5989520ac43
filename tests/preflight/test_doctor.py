"""What the machine has, and what a server really does."""

import json
import math

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.preflight.doctor import examine
from tests.conftest import completion


def token(word, p):
    return {"token": word, "logprob": math.log(p), "bytes": None}


def test_this_machine_has_what_it_needs():
    found = examine()
    assert found["faults"] == [] and found["nf4"] == ""
    assert found["packages"]["torch"] != "absent" and "server" not in found


def able(body):
    if "response_format" in body:
        return 200, {}, completion('{"colour": "blue"}')
    told = {"content": [{**token("yes", 0.9), "top_logprobs": [token("yes", 0.9), token("no", 0.1)]}]}
    answer = completion("yes", logprobs=told if body.get("logprobs") else None)
    answer["choices"] = answer["choices"] * body.get("n", 1)
    return 200, {}, answer


def deaf(body):
    """Takes every option with HTTP 200 and heeds none."""
    return 200, {}, completion("yes")


def strict(body):
    """Refuses what it does not know."""
    if {"logprobs", "n", "response_format"} & body.keys():
        return 400, {}, {"error": {"message": "unknown option"}}
    return 200, {}, completion("yes")


@pytest.mark.parametrize(("reply", "does"), [(able, True), (deaf, False), (strict, False)])
def test_what_a_server_does_counts_and_not_its_status(server, reply, does):
    server.reply = reply
    done = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["server"]
    assert [found[name] for name in ("log_probs", "several", "schema")] == [does] * 3
    shown = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m"]).output
    assert ("judge.votes" in shown) is not does


def test_a_server_that_does_not_answer_is_named(server):
    server.reply = lambda body: (500, {}, "broken")
    done = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m"])
    assert done.exit_code == 1 and "machine" in done.output
    assert f"{server.url} answers HTTP 500 for model 'm'" in done.output.replace("\n", "")
    for body in ("<html>please log in</html>", {"choices": []}):
        server.reply = lambda _, body=body: (200, {"content-type": "text/html"}, body)
        done = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m", "--json"])
        assert done.exit_code == 1 and "no choices" in json.loads(done.stdout)["faults"][0]


def test_a_model_that_thinks_is_named_with_the_variable_that_stops_it(server):
    def thinks(body, switch):
        if body.get("chat_template_kwargs") == switch:
            return 200, {}, completion("yes")
        return 200, {}, completion("<think>\nThe sky, well", "length")

    for switch, words in (
        ({"enable_thinking": False}, "set teacher.template: {enable_thinking: false} in the recipe"),
        ({"thinking": False}, "set teacher.template: {thinking: false} in the recipe"),
        ({"other": 1}, "no known variable of its chat template stops it"),
    ):
        server.reply = lambda body, switch=switch: thinks(body, switch)
        shown = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m"]).output
        assert words in " ".join(shown.split())
    server.reply = lambda body: thinks(body, {"enable_thinking": False})
    given = ["--template", "enable_thinking=false", "--json"]
    done = CliRunner().invoke(app, ["doctor", "--url", server.url, "--model", "m", *given])
    assert json.loads(done.stdout)["server"]["thinks"] is False
    done = CliRunner().invoke(app, ["doctor", "--template", "enable_thinking"])
    assert done.exit_code == 2 and "key=value" in done.output
