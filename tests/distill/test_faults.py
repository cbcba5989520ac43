"""A server that breaks one answer in five, in ten ways: no label comes of a fault, and what can be had is had."""

from __future__ import annotations

import hashlib
import time
from collections import Counter

import pytest

from cai_lite.chat.endpoint import EndpointModel
from cai_lite.distill.pairs import pair
from cai_lite.distill.verdicts import judge
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.records import Candidate, Message, Prompt
from cai_lite.run.ledger import Run
from tests.conftest import completion

PASSING = ("429", "500", "hang", "half body", "html", "no choices", "wrong json")  # gone when asked again
LASTING = ("null content", "cut by length", "refusal")
COMPARISONS = 150


def way_of(text):
    """Which way this request is broken, or None for four of five; the same each time."""
    number = int(hashlib.sha256(text.encode()).hexdigest()[8:16], 16)
    ways = PASSING + LASTING
    return ways[number // 5 % len(ways)] if number % 5 == 0 else None


def right(text):
    """The true answer: the reply that says 'good' is better."""
    return "A" if text.index(">>\ngood") < text.index(">>\nbad") else "B"  # "bad" may stand in a mark


def broken(text, way):
    return {
        "429": (429, {"retry-after": "0.01"}, {}),
        "500": (500, {}, {}),
        "half body": (200, {"content-length": "9999"}, completion(right(text))),
        "html": (200, {"content-type": "text/html"}, "<html>Bad gateway</html>"),
        "no choices": (200, {}, {**completion(""), "choices": []}),
        "wrong json": (200, {}, '{"choices": [{"mess'),
        "null content": (200, {}, completion(None)),
        "cut by length": (200, {}, completion("I think that", "length")),
        "refusal": (200, {}, completion("", "content_filter")),
    }[way]


@pytest.fixture
def candidates():
    made = []
    for i in range(COMPARISONS):
        prompt = Prompt(key=f"p{i}", messages=(Message("user", f"question {i}"),), family=f"f{i}")
        draft = Candidate(key=f"d{i}", prompt=prompt, text=f"bad {i}", author="s", parents=(prompt.key,))
        better = Candidate(key=f"r{i}", prompt=prompt, text=f"good {i}", author="t", round=1, parents=(draft.key,))
        made += [draft, better]
    return made


def test_of_ten_kinds_of_faults_none_becomes_a_label_and_all_that_pass_are_recovered(server, candidates, monkeypatch):
    monkeypatch.setattr("cai_lite.run.ledger.secrets.token_hex", lambda n: "00" * n)  # the same marks, the same faults
    monkeypatch.setattr("cai_lite.chat.line.random.uniform", lambda low, high: 0.01)  # pauses, without the waiting
    met = Counter()

    def behave(text, attempt):
        way = way_of(text)
        if way is None or (way in PASSING and attempt > 1):
            return 200, {}, completion(right(text))
        met[way] += attempt == 1
        if way == "hang":
            time.sleep(1.5)
            return 200, {}, completion(right(text))
        return broken(text, way)

    server.behave = behave
    model = EndpointModel(server.url, model="m", timeout=0.7, deadline=30)
    constitution = Constitution(name="c", principles=(Principle(id="good", text="Be good."),))
    run = Run()
    verdicts = judge(model, candidates, constitution, log_probs="never", run=run)
    assert set(met) == {*PASSING, *LASTING}
    assert len(verdicts) == COMPARISONS

    lasting = 0
    for verdict in verdicts:
        if verdict.p_first is not None:
            assert (verdict.choice, verdict.p_first) == ("first", 1.0)  # never a wrong label
        else:
            assert verdict.choice in {"unreadable", "refused"}
            lasting += 1
    pairs = pair(verdicts, run=run)
    assert len(pairs) == COMPARISONS - lasting
    assert all("good" in p.chosen[0].content for p in pairs)

    # Both orders must be read, so a comparison is lost if one of its two requests is broken for good.
    (calls,) = run.calls()
    assert calls["calls"] == 2 * COMPARISONS
    assert calls["faults"] == sum(met[way] for way in LASTING)
    assert lasting <= calls["faults"]
    counted = run.counts()["judge revision_over_draft"]
    assert counted["asked"] == COMPARISONS
    assert counted.get("unreadable", 0) + counted.get("refused", 0) == lasting
    assert sum(n - 1 for n in server.seen.values()) == sum(met[way] for way in PASSING)  # each asked once more
