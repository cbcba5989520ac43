"""The best of n replies."""

from __future__ import annotations

import pytest

from cai_lite.chat.best_of import TOGETHER, BestOf
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.drafts import draft
from cai_lite.errors import InputError
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.records import Message, Reply, Request, Sampling


class Longest:
    """Scores an answer by its length."""

    name, digest = "longest", "d"

    def __init__(self):
        self.asked = []

    def scores(self, prompts, completions, principle=None):
        self.asked += list(zip(prompts, completions, strict=True))
        return [float(len(text)) for text in completions]

    def close(self):
        self.asked = []


def asked(index=0, temperature=1.0, **more):
    return Request(messages=(Message("user", "Hi"),), sampling=Sampling(temperature=temperature), index=index, **more)


def answers(model, requests):
    found = {}
    for batch in model.answer(requests):
        found.update(batch)
    return [found[i] for i in range(len(requests))]


def test_the_reply_with_the_highest_score_is_kept_and_all_tokens_are_counted():
    speaker = ScriptedModel(lambda r: Reply(text="x" * (1 + r.index % 4), tokens_in=3, tokens_out=2, cost=0.5))
    best, scorer = None, Longest()
    best = BestOf(speaker, 4, scorer)
    first, second = answers(best, [asked(0), asked(1)])
    assert (first.text, first.tokens_in, first.tokens_out, first.cost) == ("xxxx", 12, 8, 2.0)
    assert second.text == "xxxx" and len(speaker.asked) == 8
    assert [request.index for request in speaker.asked] == list(range(8)), "samples of their own"
    assert scorer.asked[0] == ((Message("user", "Hi"),), "x")


def test_unusable_replies_are_not_chosen_unless_there_are_no_others():
    speaker = ScriptedModel(lambda r: "" if r.index == 0 else Reply(text="a very long one", outcome="cut"))
    scorer = Longest()
    (reply,) = answers(BestOf(speaker, 3, scorer), [asked()])
    assert reply.outcome == "empty" and not scorer.asked
    speaker = ScriptedModel(lambda r: "ok" if r.index == 2 else Reply(text="a very long one", outcome="cut"))
    assert answers(BestOf(speaker, 3, scorer), [asked()])[0].text == "ok"


def test_thoughts_are_not_scored():
    speaker = ScriptedModel(lambda r: "<think>long thoughts</think>no" if r.index else "<think>x</think>yes!")
    (reply,) = answers(BestOf(speaker, 2, Longest()), [asked()])
    assert reply.text.endswith("yes!")


def test_many_requests_come_back_in_parts():
    speaker = ScriptedModel(lambda r: f"{r.index}")
    parts = list(BestOf(speaker, 2, Longest()).answer([asked(i) for i in range(TOGETHER + 1)]))
    assert [len(part) for part in parts] == [TOGETHER, 1]


def test_questions_with_options_go_to_the_model_as_they_are():
    speaker = ScriptedModel(lambda r: "yes")
    (reply,) = answers(BestOf(speaker, 8, Longest()), [asked(options=("yes", "no"), temperature=0.0)])
    assert reply.text == "yes" and len(speaker.asked) == 1


def test_greedy_decoding_and_judges_without_scores_are_refused():
    speaker = ScriptedModel(lambda r: "x")
    with pytest.raises(InputError, match="at temperature 0 all replies are the same"):
        answers(BestOf(speaker, 2, Longest()), [asked(temperature=0.0)])
    with pytest.raises(InputError, match="the best of 1"):
        BestOf(speaker, 1, Longest())
    with pytest.raises(InputError, match="scripted cannot score answers: give a preference model"):
        BestOf(speaker, 2, speaker)


def test_its_digest_holds_all_that_decides_an_answer():
    speaker = ScriptedModel(lambda r: "x")
    digests = {BestOf(speaker, n, Longest()).digest for n in (2, 3)} | {speaker.digest}
    assert len(digests) == 3
    best = BestOf(speaker, 2, Longest())
    best.close()
    assert best.name == "scripted, best of 2"


def test_drafts_are_the_best_of_several_draws():
    speaker = ScriptedModel(lambda r: "x" * (1 + r.index % 3))
    found = draft(BestOf(speaker, 3, Longest()), ["Hi"], n=2)
    assert [one.text for one in found] == ["xxx", "xxx"] and found[0].author == "scripted, best of 3"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("draft.best_of=8", "'best_of' above 1 and 'by'"),
        ("draft.by=m#a", "'best_of' above 1 and 'by'"),
        ("draft={n: 1, best_of: 8, by: m#a, temperature: 0}", "gives the same draw each time"),
        ("draft.best_of=0", "'best_of' should be from 1 to 1,000"),
    ],
)
def test_a_recipe_with_half_of_it_is_refused(setting, problem):
    with pytest.raises(InputError, match=problem):
        load_recipe("medical", [setting], profile="embedded")
