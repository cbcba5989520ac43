"""Sentences about unusable replies: what happened, how often, why, and the setting that mends it."""

import pytest

from cai_lite.chat.asking import Stage
from cai_lite.chat.faults import Watch
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.errors import Stopped
from cai_lite.records import Message, Reply, Request, Sampling

CUT = Reply(text="x", outcome="cut")
FAILED = Reply(text="", outcome="failed", fault="HTTP 503")
REFUSED = Reply(text="", outcome="refused")


def asked(replies, rows, unusable, *, stops=True, section="draft", of="drafts"):
    """The sentences that are said of these replies and counts."""
    said = []
    stage = Stage(name=section or "answers", watch=Watch(say=said.append, stops=stops, section="teacher"))
    model = ScriptedModel(lambda r: replies[int(r.messages[-1].content)])
    requests = [
        Request(messages=(Message("user", str(i)),), sampling=Sampling(max_tokens=512)) for i in range(len(replies))
    ]
    stage.ask(model, requests, section=section)
    stage.weigh(rows, unusable, section=section, of=of)
    return said


def test_up_to_five_percent_say_nothing():
    assert asked([CUT] * 2 + [Reply(text="ok")] * 38, 40, {"cut": 2}) == []
    assert asked([CUT] * 3 + [Reply(text="ok")] * 37, 40, {"cut": 3}) == [
        "draft: 3 of 40 drafts cut at draft.max_tokens=512 tokens; raise it"
    ]


def test_more_than_half_of_twenty_stop_the_run_and_fewer_rows_do_not():
    with pytest.raises(Stopped, match=r"draft: 11 of 20 drafts cut .*; raise it, and run the same command again"):
        asked([CUT] * 11 + [Reply(text="ok")] * 9, 20, {"cut": 11})
    assert asked([CUT] * 10, 10, {"cut": 10})
    assert asked([CUT] * 11 + [Reply(text="ok")] * 9, 20, {"cut": 11}, stops=False)


@pytest.mark.parametrize(
    ("replies", "unusable", "sentence"),
    [
        ([FAILED] * 4, {"failed": 4}, "draft: 4 of 8 drafts failed (HTTP 503); check the server"),
        (
            [REFUSED] * 4,
            {"refused": 4},
            "draft: 4 of 8 drafts refused by the server; use a server without this filter, or leave these prompts out",
        ),
        (
            [CUT] * 3 + [REFUSED],
            {"cut": 3, "refused": 1},
            "draft: 4 of 8 drafts unusable (3 cut, 1 refused) at draft.max_tokens=512 tokens; raise it",
        ),
    ],
)
def test_each_kind_of_fault_has_its_mend(replies, unusable, sentence):
    assert asked([*replies, *[Reply(text="ok")] * 4], 8, unusable) == [sentence]


def test_verdicts_that_name_nothing_show_an_example():
    (said,) = asked([Reply(text="Hard\nto say.")] * 4, 2, {"unreadable": 2}, section="judge", of="verdicts")
    assert said == (
        "judge: 2 of 2 verdicts unreadable: they do not begin with a verdict, such as 'Hard to say.'; "
        "use a stronger model"
    )


def test_a_refusing_filter_alone_stops_no_stage_in_its_midst():
    assert asked([REFUSED] * 70, 200, {"refused": 70})
    with pytest.raises(Stopped, match=r"failed \(HTTP 503\); check the server"):
        asked([FAILED] * 70, 200, {})
    assert asked([CUT] * 70, 70, {}, section="critique") == []  # the verdict of a cut critique can be read
