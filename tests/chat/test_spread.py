"""How requests are handed out and handed on, with workers that do as they are told."""

from __future__ import annotations

import pytest

from cai_lite.chat.spread import DEATHS, LEAST, MOST, News, guided, spread
from cai_lite.errors import ChatError, Stopped
from cai_lite.records import Message, Reply, Request, Sampling


def requests(n):
    return [Request(messages=(Message("user", f"t{i}"),), sampling=Sampling(max_tokens=8)) for i in range(n)]


def text(request):
    return request.messages[-1].content


class Told:
    """A crew of `size` workers, which are numbers; `does(worker, texts)` returns what becomes of a chunk, as news."""

    def __init__(self, does, size=2):
        self.does, self.size, self.living = does, size, list(range(size))
        self.given, self.asked, self.finished, self.closed = {}, [], [], False

    def free(self, busy):
        return next((worker for worker in self.living if worker not in busy), None)

    def begin(self, worker, some):
        self.given[worker] = some
        self.asked.append([text(request) for request in some])

    def news(self, busy):
        for worker in list(busy):
            news = self.does(worker, [text(request) for request in self.given[worker]])
            if news.died:
                self.living[self.living.index(worker)] = max(self.living) + 1
            yield worker, news

    def finish(self, worker):
        self.finished.append(worker)

    def close(self):
        self.closed = True


def answered(texts, but=()):
    return {place: Reply(text=one.upper()) for place, one in enumerate(texts) if one not in but}


def texts_of(found):
    return {position: reply.text for batch in found for position, reply in batch.items()}


def test_every_request_is_answered_once_at_its_place():
    crew = Told(lambda worker, texts: News(replies=answered(texts), done=True))
    found = texts_of(spread(requests(200), guided(200, 2), crew))
    assert found == {i: f"T{i}" for i in range(200)}
    assert (
        sorted(one for texts in crew.asked for one in texts) == sorted(f"t{i}" for i in range(200)) and not crew.closed
    )


def test_chunks_become_smaller_between_two_bounds():
    sizes = [len(chunk) for chunk in guided(10_000, 2)]
    assert sum(sizes) == 10_000 and sizes[0] == MOST and sizes == sorted(sizes, reverse=True)
    assert LEAST in sizes and list(guided(3, 8)) == [range(3)] and list(guided(0, 2)) == []


def test_what_a_worker_answered_before_it_died_is_kept_and_the_rest_goes_to_another():
    def does(worker, texts):
        if worker == 0:
            return News(replies={0: Reply(text="T0")}, died="gone")
        return News(replies=answered(texts), done=True)

    crew = Told(does)
    assert texts_of(spread(requests(8), [range(4), range(4, 8)], crew)) == {i: f"T{i}" for i in range(8)}
    assert sorted(one for texts in crew.asked for one in texts) == sorted(
        [*(f"t{i}" for i in range(8)), "t1", "t2", "t3"]
    )
    assert ["t1", "t2", "t3"] in crew.asked  # together, as before


def test_a_request_of_which_workers_die_fails_alone():
    def does(worker, texts):
        if "t2" in texts:
            return News(died="out of memory")
        return News(replies=answered(texts), done=True)

    crew = Told(does)
    found = {i: reply for batch in spread(requests(6), [range(3), range(3, 6)], crew) for i, reply in batch.items()}
    assert {i for i, reply in found.items() if reply.outcome == "ok"} == {0, 1, 3, 4, 5}
    assert found[2].outcome == "failed" and "out of memory" in found[2].fault
    assert sum("t2" in texts for texts in crew.asked) == DEATHS


def test_workers_that_die_of_everything_stop_the_run():
    crew = Told(lambda worker, texts: News(died="no such library"))
    with pytest.raises(Stopped, match="die as soon as they are asked: no such library"):
        list(spread(requests(400), guided(400, 2), crew))
    assert len(crew.asked) <= DEATHS + 2 + 2


def test_after_an_error_nothing_begins_and_what_is_under_way_is_kept_unless_it_failed():
    looks = []

    def does(worker, texts):
        if worker == 0:
            return News(error=ChatError("wrong key"))
        looks.append(worker)
        if len(looks) < 3:
            return News()
        return News(replies={0: Reply(text="late"), 1: Reply(text="", outcome="failed")}, done=True)

    crew, found = Told(does), {}
    with pytest.raises(ChatError, match="wrong key"):
        for batch in spread(requests(9), [range(3), range(3, 6), range(6, 9)], crew):
            found.update(batch)
    assert {i: reply.text for i, reply in found.items()} == {3: "late"}
    assert crew.finished == [1] and len(crew.asked) == 2


def test_a_caller_who_leaves_ends_the_workers():
    crew = Told(lambda worker, texts: News(replies={0: Reply(text="x")}))
    for _ in spread(requests(9), [range(3), range(3, 6)], crew):
        break
    assert crew.closed
