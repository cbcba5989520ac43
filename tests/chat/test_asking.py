import pytest

from cai_lite.chat.asking import ask
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import Stopped
from cai_lite.records import Message, Reply, Request, Sampling
from cai_lite.run.ledger import Budget, Run


def request(text, index=0):
    return Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8), index=index)


def test_known_calls_are_not_repeated_and_order_is_kept():
    model = ScriptedModel(lambda r: r.messages[-1].content.upper())
    run = Run()
    ask(model, [request("b")], run=run, stage="s")
    replies = ask(model, [request("a"), request("b"), request("a")], run=run, stage="s")
    assert [reply.text for reply in replies] == ["A", "B", "A"]
    assert [r.messages[-1].content for r in model.asked] == ["b", "a"]


def test_an_interrupted_stage_asks_only_for_the_rest(tmp_path):
    asked = []

    def script(request):
        asked.append(request.messages[-1].content)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return "x"

    requests = [request(str(i)) for i in range(5)]
    with pytest.raises(KeyboardInterrupt), Run(tmp_path) as run:
        ask(ScriptedModel(script), requests, run=run, stage="s")
    with Run(tmp_path) as run:
        ask(ScriptedModel(script), requests, run=run, stage="s")
    assert asked == ["0", "1", "2", "2", "3", "4"]


def test_samples_of_one_request_are_calls_of_their_own():
    model = ScriptedModel(lambda r: f"{r.index}")
    replies = ask(model, [request("a", 0), request("a", 1)], run=Run(), stage="s")
    assert [reply.text for reply in replies] == ["0", "1"]


def test_another_model_shares_no_answer():
    run = Run()
    ask(ScriptedModel(lambda r: "one", name="one"), [request("a")], run=run, stage="s")
    assert ask(ScriptedModel(lambda r: "two", name="two"), [request("a")], run=run, stage="s")[0].text == "two"


def test_a_fault_comes_back_as_what_it_is():
    model = ScriptedModel(lambda r: Reply(text="", outcome="failed", fault="HTTP 500"))
    assert ask(model, [request("a")], run=Run(), stage="s")[0].outcome == "failed"


@pytest.mark.parametrize("budget", [Budget(max_cost=25.0), Budget(max_tokens=20_000)])
def test_a_spent_budget_stops_and_a_raised_one_goes_on_without_asking_twice(tmp_path, budget, monkeypatch):
    monkeypatch.setattr("cai_lite.chat.asking.LOOK", 50)
    requests = [request(str(i)) for i in range(500)]
    model = ScriptedModel(lambda r: Reply(text="ok", tokens_in=90, tokens_out=10, cost=0.125))
    with Run(tmp_path, budget=budget) as run, pytest.raises(Stopped, match="the budget is spent: 2"):
        ask(model, requests, run=run, stage="s")
    assert len(model.asked) == 200  # 25 at 0.125, 20,000 tokens at 100
    with Run(tmp_path, budget=budget) as run:
        assert len(ask(model, requests[:200], run=run, stage="s")) == 200  # what is paid for is there
    with Run(tmp_path) as run:
        assert len(ask(model, requests, run=run, stage="s")) == 500
    assert len(model.asked) == 500
