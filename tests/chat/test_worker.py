"""What runs in an actor, called directly."""

from __future__ import annotations

import time

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.chat.worker import Worker
from cai_lite.errors import ModelError
from cai_lite.records import Message, Request, Sampling


def requests(n):
    return [Request(messages=(Message("user", f"t{i}"),), sampling=Sampling(max_tokens=8)) for i in range(n)]


def taken(worker, lane=0):
    replies, news = {}, worker.take(lane, 1.0)
    while not (news.done or news.error):
        replies.update(news.replies)
        news = worker.take(lane, 1.0)
    return {**replies, **news.replies}, news


def test_replies_nobody_fetches_hold_back_further_calls():
    model = ScriptedModel(lambda request: request.messages[-1].content.upper())
    worker = Worker(lambda actors: model, 1)
    worker.begin(0, requests(50))
    until = time.monotonic() + 5
    while len(model.asked) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(model.asked) <= 4
    replies, news = taken(worker)
    assert {i: reply.text for i, reply in replies.items()} == {i: f"T{i}" for i in range(50)} and news.done
    assert worker.take(0, 0.01).replies == {}


def test_a_worker_that_is_told_to_finish_begins_nothing_more():
    class OneByOne(ScriptedModel):
        def answer(self, requests):
            for position, request in enumerate(requests):
                worker.finish()
                yield from ({position: reply} for batch in super().answer([request]) for reply in batch.values())

    worker = Worker(lambda actors: OneByOne(lambda request: "yes"), 1)
    worker.begin(0, requests(50))
    replies, news = taken(worker)
    assert list(replies) == [0] and news.done


def test_lanes_do_not_hear_each_other():
    worker = Worker(lambda actors: ScriptedModel(lambda request: request.messages[-1].content), 1)
    worker.begin(0, requests(3))
    worker.begin(1, requests(2))
    assert (len(taken(worker, 1)[0]), len(taken(worker, 0)[0])) == (2, 3)


def test_what_a_model_raises_is_news_and_what_keeps_it_closed_is_said_first():
    def broken(request):
        raise ModelError("it does not fit")

    worker = Worker(lambda actors: ScriptedModel(broken), 1)
    worker.begin(0, requests(1))
    assert str(taken(worker)[1].error) == "it does not fit"

    def absent(actors):
        raise ModelError(f"no such folder for {actors}")

    assert str(Worker(absent, 3).hello().error) == "no such folder for 3"
