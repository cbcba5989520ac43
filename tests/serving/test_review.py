"""The server of a review: what it refuses, and what the page gets."""

import asyncio
import json
import re
import sys

import pytest
from typer.testing import CliRunner

pytest.importorskip("starlette")

from cai_lite.cli import app
from cai_lite.errors import MissingPackageError
from cai_lite.inputs.human import read_human
from cai_lite.run.ledger import Run
from cai_lite.serving import review_page
from cai_lite.serving.review import review_app
from cai_lite.serving.reviewing import Review
from tests.serving.reviewed import HOSTILE, make_run

HOST, TOKEN = "127.0.0.1:8000", "secret"


class Browser:
    """One person's browser; `send` returns status, headers and body."""

    def __init__(self, app):
        self.app = app

    def send(self, path, body=None, *, method="POST", host=HOST, token=TOKEN, **headers):
        named = {"host": host, **({"x-review-token": token} if token else {}), **headers}
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {
            "headers": [(k.encode(), v.encode()) for k, v in named.items()],
            "http_version": "1.1",
            "scheme": "http",
        }
        scope |= {
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 5),
            "root_path": "",
            "asgi": {"version": "3.0"},
        }
        sent = [{"type": "http.request", "body": body if isinstance(body, bytes) else json.dumps(body or {}).encode()}]
        got = []

        async def receive():
            return sent.pop(0) if sent else {"type": "http.disconnect"}

        async def send(message):
            got.append(message)

        asyncio.run(self.app(scope, receive, send))
        headers = {k.decode(): v.decode() for k, v in got[0]["headers"]}
        return got[0]["status"], headers, b"".join(part.get("body", b"") for part in got[1:])

    def ask(self, path, body=None, **more):
        status, _, found = self.send("/" + path, body, **more)
        return json.loads(found) | {"status": status}


@pytest.fixture
def opened(tmp_path):
    with Run(make_run(tmp_path / "run")) as run:
        review = Review(run, "pairs")
        yield review, Browser(review_app(review, {TOKEN: "ada", "other": "bo"}, frozenset({HOST})))


def test_the_page_itself_is_static_and_every_answer_bears_a_strict_policy(opened):
    _, browser = opened
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        status, headers, body = browser.send(path, method="GET", token=None)
        assert status == 200 and headers["content-type"].startswith(kind) and b"Question" not in body
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")
        assert "set-cookie" not in headers
    assert browser.send("/nothing", method="GET")[0] == 404
    assert "x-frame-options" in browser.send("/nothing", method="GET")[1]


def test_nothing_of_the_page_makes_markup_of_a_text():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|on\w+=", review_page.SCRIPT)
    assert not re.search(r"<script>|<style|style=|\son\w+=|https?:", review_page.PAGE)


@pytest.mark.parametrize("token", [None, "", "secre", "secret2", "é"])
def test_without_the_token_nothing_is_told_or_done(opened, token):
    review, browser = opened
    for path in ("item", "decide", "undo"):
        found = browser.ask(path, {"key": review.keys[0], "choice": "a"}, token=token)
        assert found["status"] == 403 and set(found) == {"error", "status"}
    assert not review.decisions


def test_another_host_or_origin_is_refused(opened):
    _, browser = opened
    for host in ("evil.example:8000", "127.0.0.1:9", "", "127.0.0.1:8000.evil.example"):
        assert browser.send("/item", {}, host=host)[0] == 421
        assert browser.send("/", method="GET", host=host)[0] == 421
    assert browser.send("/item", {}, origin="http://evil.example")[0] == 421
    assert browser.send("/item", {}, origin="null")[0] == 421
    assert browser.send("/item", {}, origin=f"http://{HOST}")[0] == 200
    assert browser.send("/item", method="GET")[0] == 405  # nothing is told to a plain address


def test_what_the_judge_said_comes_after_the_decision(opened):
    review, browser = opened
    item = browser.ask("item")
    assert (item["at"], item["total"], item["done"], item["by"], item["judge"]) == (0, 24, 0, "ada", None)
    assert not {"evidence", "p_first", "sources", "pair"} & item.keys()
    found = browser.ask("decide", {"key": item["key"], "choice": "a", "seconds": 1.5, "hinted": True})
    assert found["item"]["at"] == 1 and found["item"]["done"] == 1 and found["before"]["choice"] == "a"
    assert "changed with the order" in found["before"]["judge"][1] and found["item"]["judge"] is None
    decided = review.of(item["key"], "ada")
    shown = review.item(0).texts[int(decided.choice == "second")]
    assert shown == item["texts"][0] and decided.seconds == 1.5 and decided.hinted
    assert browser.ask("item", {}, token="other")["at"] == 0  # another person has all of it before them


def test_the_order_on_the_screen_differs_by_person_and_item(opened):
    review, browser = opened
    first_of_run = {
        token: [
            browser.ask("item", {"at": at}, token=token)["texts"][0] == review.item(at).texts[0] for at in range(24)
        ]
        for token in (TOKEN, "other")
    }
    assert first_of_run[TOKEN] != first_of_run["other"]
    assert all(4 < sum(seen) < 20 for seen in first_of_run.values())


def test_an_edit_keeps_its_text_and_undo_goes_back_to_its_item(opened):
    review, browser = opened
    item = browser.ask("item")
    found = browser.ask("decide", {"key": item["key"], "choice": "b", "edit": "Better.", "side": 1})
    assert found["item"]["at"] == 1 and found["before"]["edit"] == [1, "Better."]
    vote, edit = read_human(review.run.path("human.jsonl"))
    assert edit.before == item["texts"][1] == (vote.b if vote.choice == "b" else vote.a)
    assert browser.ask("undo")["item"]["key"] == item["key"]
    assert browser.ask("undo")["status"] == 400
    assert read_human(review.run.path("human.jsonl")) == []


def test_ranks_are_stored_in_the_order_of_the_run(tmp_path):
    with Run(make_run(tmp_path / "run")) as run:
        review = Review(run, "ranks")
        browser = Browser(review_app(review, {TOKEN: "ada"}, frozenset({HOST})))
        item = browser.ask("item")
        found = browser.ask("decide", {"key": item["key"], "choice": "ranks", "ranks": [1, 2, 3, 4]})
        assert found["before"]["ranks"] == [1, 2, 3, 4] and found["before"]["texts"] == item["texts"]
        ranks = dict(zip(review.item(0).texts, review.of(item["key"], "ada").ranks, strict=True))
        assert [ranks[text] for text in item["texts"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "body",
    [
        b"[", b"[]", b"7", b"[" * 10000, b'{"key": 7}', b'{"key": "no"}', {"choice": "c"}, {"choice": 7},
        {"ranks": "x"}, {"choice": "ranks", "ranks": [1]}, {"edit": "x", "side": 9}, {"edit": 7}, {"edit": "\ud800"},
        {"edit": "a\0"}, {"choice": "a", "confidence": "x"}, {"choice": "a", "confidence": 7},
        b'{"choice": "a", "seconds": NaN}',
    ],
)  # fmt: skip
def test_a_senseless_request_is_refused_in_words(opened, body):
    review, browser = opened
    body = {"key": review.keys[0], **body} if isinstance(body, dict) else body
    found = browser.ask("decide", body)
    assert found["status"] == 400 and found["error"]
    assert browser.ask("item", {"at": 24})["status"] == 400
    assert not review.decisions


def test_a_request_without_end_is_cut_off(opened):
    assert opened[1].send("/decide", b" " * (9 << 20))[0] == 413


def test_hostile_texts_are_sent_as_data(tmp_path):
    with Run(make_run(tmp_path / "run", prompts=2, hostile=True)) as run:
        browser = Browser(review_app(Review(run, "answers"), {TOKEN: "ada"}, frozenset({HOST})))
        status, headers, body = browser.send("/item", {})
        assert (
            status == 200 and headers["content-type"] == "application/json" and json.loads(body)["texts"] == [HOSTILE]
        )
        assert browser.ask("decide", {"key": json.loads(body)["key"], "choice": "keeps"})["note"] == ""


def command(*words):
    return CliRunner().invoke(app, ["review", *map(str, words)])


def test_the_command_exports_imports_and_measures(tmp_path):
    folder, file = make_run(tmp_path / "run"), tmp_path / "review.json"
    done = command(folder, "--export", file, "--as", "label-studio", "--sample", 3)
    assert done.exit_code == 0 and "3 items" in done.stderr
    tasks = json.loads(file.read_text())
    result = [{"type": "choices", "value": {"choices": ["a"]}, "from_name": "decision", "to_name": "prompt"}]
    for task in tasks:
        task["annotations"] = [{"completed_by": 7, "result": result}]
    file.write_text(json.dumps(tasks))
    done = command(folder, "--import", file, "--as", "label-studio", "--json")
    assert done.exit_code == 0 and "3 new decisions" in done.stderr
    assert sum(json.loads(done.stdout)["raters"]["7"].values()) == 3
    assert "judge with people" not in command(folder, "--agreement").stdout  # three say too little


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "--answers"], "one kind of items at a time"),
        (["--by", " "], "--by should be a name"),
        (["--import", "missing.json"], "no such file"),
        (["--export", "x", "--as", "excel"], "there is no form 'excel'"),
    ],
)
def test_a_mistake_in_the_command_is_told_in_words(tmp_path, words, message):
    done = command(make_run(tmp_path / "run", prompts=2), *words)
    assert done.exit_code == 2 and message in done.stderr


def test_what_is_no_run_is_left_as_it_is(tmp_path):
    done = command(tmp_path / "nothing")
    assert done.exit_code == 2 and "not a run directory" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_missing_package_is_named_with_what_installs_it(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'cai-lite\[review\]'"):
        review_app(opened[0], {}, frozenset())
