import math
import re
from dataclasses import replace

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.pairs import pair
from cai_lite.distill.pairwise import decided
from cai_lite.distill.verdicts import judge
from cai_lite.errors import InputError
from cai_lite.evaluation.agreement import between_judges
from cai_lite.inputs.constitution import Conflict, Constitution, Principle
from cai_lite.records import Candidate, Message, Prompt, Reply, digest
from cai_lite.run.ledger import Run


def both(candidate):
    return [candidate("good"), candidate("bad")]


def pairwise(script, candidate, constitution, **more):
    run = Run()
    model = ScriptedModel(script, wording="short")
    verdicts = judge(model, both(candidate), constitution, rule="best_over_worst", principles=1, run=run, **more)
    return verdicts, model, run


def prefers_good(request):
    """Says which of A and B is the good one, wherever it stands."""
    return "A" if "Reply A: good" in request.messages[-1].content else "B"


def test_both_orders_are_asked_always(candidate, constitution):
    verdicts, model, _ = pairwise(prefers_good, candidate, constitution)
    assert len(model.asked) == 2
    assert (verdicts[0].choice, verdicts[0].p_first, verdicts[0].flipped) == ("first", 1.0, False)


def test_a_judge_that_always_says_A_gives_no_preference(candidate, constitution):
    verdicts, _, run = pairwise(lambda r: "A", candidate, constitution)
    assert (verdicts[0].choice, verdicts[0].p_first, verdicts[0].flipped) == ("tie", 0.5, True)
    assert run.counts()["judge best_over_worst"]["flipped with the order"] == 1


def test_log_prob_shares_are_averaged_over_both_orders(candidate, constitution):
    """As asked: P(A)=.9 -> .9 for first. Swapped: P(A)=.6 -> .4 for first. Mean .65, and the choice flipped."""

    def script(request):
        a = 0.9 if "Reply A: good" in request.messages[-1].content else 0.6
        return Reply(text="A", log_probs={"A": math.log(a), "B": math.log(1 - a)})

    verdicts, _, _ = pairwise(script, candidate, constitution)
    assert verdicts[0].p_first == pytest.approx(0.65)
    assert verdicts[0].flipped and verdicts[0].choice == "first"


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        (Reply(text="I cannot say"), "unreadable"),
        (Reply(text="", outcome="failed", fault="HTTP 500"), "failed"),
        (Reply(text="", outcome="refused"), "refused"),
        (Reply(text="", outcome="empty"), "unreadable"),
    ],
)
def test_a_fault_in_one_order_is_never_a_verdict(candidate, constitution, reply, choice):
    verdicts, _, _ = pairwise(
        lambda r: reply if "Reply A: good" in r.messages[-1].content else "B", candidate, constitution
    )
    assert (verdicts[0].choice, verdicts[0].p_first) == (choice, None)


def test_votes_are_averaged(candidate, constitution):
    """Three votes an order: as asked A, A, B = 2/3 for first; swapped B, B, B = 1 for first; mean 5/6."""

    def script(request):
        if "Reply A: good" in request.messages[-1].content:
            return "B" if request.index == 2 else "A"
        return "B"

    verdicts, model, _ = pairwise(script, candidate, constitution, votes=3, log_probs="never")
    assert len(model.asked) == 6
    assert verdicts[0].p_first == pytest.approx(5 / 6)


def test_votes_whose_majority_flips_with_the_order_are_a_tie(candidate, constitution):
    """As asked A, A, A = 1 for first; swapped A, A, B = 1/3 for first: the mean of 2/3 would be a preference."""

    def script(request):
        swapped = "Reply A: good" not in request.messages[-1].content
        return "B" if swapped and request.index == 2 else "A"

    verdicts, _, run = pairwise(script, candidate, constitution, votes=3, log_probs="never")
    assert (verdicts[0].choice, verdicts[0].p_first, verdicts[0].flipped) == ("tie", 0.5, True)
    assert run.counts()["judge best_over_worst"]["flipped with the order"] == 1


def test_pointwise_takes_half_the_difference_of_the_probabilities(candidate, constitution):
    """P(keeps) .8 for good and .3 for bad: p_first = .5 + (.8 - .3) / 2 = .75 (not sigmoid of the log-odds, .90)."""

    def script(request):
        p = 0.8 if "Reply: good" in request.messages[-1].content else 0.3
        return Reply(text="yes", log_probs={"yes": math.log(p), "no": math.log(1 - p)})

    verdicts, model, _ = pairwise(script, candidate, constitution, mode="pointwise")
    assert verdicts[0].p_first == pytest.approx(0.75)
    assert verdicts[0].order == "none" and len(model.asked) == 2


def test_pointwise_without_log_probs_reads_the_word(candidate, constitution):
    verdicts, _, _ = pairwise(
        lambda r: "yes" if "good" in r.messages[-1].content else "no",
        candidate,
        constitution,
        mode="pointwise",
        log_probs="never",
    )
    assert verdicts[0].p_first == pytest.approx(1.0)


def test_pointwise_faults_are_named(candidate, constitution):
    verdicts, _, _ = pairwise(lambda r: "hm", candidate, constitution, mode="pointwise", log_probs="never")
    assert (verdicts[0].choice, verdicts[0].p_first) == ("unreadable", None)


def test_a_verdict_is_kept_with_its_candidates_as_parents(candidate, constitution):
    verdicts, _, run = pairwise(prefers_good, candidate, constitution)
    kind, parents, payload = run.row(verdicts[0].key)
    assert kind == "verdict" and parents == [verdicts[0].first.key, verdicts[0].second.key]
    assert payload["choice"] == "first"


def test_editing_one_principle_asks_anew_only_about_it(candidate, constitution):
    run, model = Run(), ScriptedModel(lambda r: "yes", wording="short")
    settings = {"rule": "best_over_worst", "mode": "pointwise", "principles": 2, "log_probs": "never", "run": run}
    judge(model, both(candidate), constitution, **settings)
    model.asked.clear()
    one, other = constitution.principles
    edited = replace(constitution, principles=(one, replace(other, text="Be brief.")))
    judge(model, both(candidate), edited, **settings)
    assert len(model.asked) == 2  # both candidates, under the edited principle alone
    assert all("Be brief." in request.messages[-1].content for request in model.asked)


def noisy(request):
    """The true answer with a probability of its own for each comparison; not by the marks, which are random."""
    text = request.messages[-1].content
    number = int(re.search(r"better (\d+)", text)[1])
    right = text.index("better") < text.index("worse")
    drawn = int(digest("noise", number, right, request.index)[:8], 16) / 16**8
    clear = 0.65 + 0.3 * (number % 10) / 9
    return "A" if right == (drawn < clear) else "B"


def test_votes_until_it_is_clear_save_two_fifths_of_the_calls_and_agree_as_often(constitution):
    candidates = []
    for i in range(500):
        prompt = Prompt(key=f"q{i}", messages=(Message("user", f"question {i}"),), family=f"f{i}")
        draft = Candidate(key=f"d{i}", prompt=prompt, text=f"worse {i}", author="s", parents=(prompt.key,))
        better = Candidate(key=f"b{i}", prompt=prompt, text=f"better {i}", author="t", round=1, parents=(draft.key,))
        candidates += [draft, better]
    right, calls = {}, {}
    for until in (None, 0.98):
        model = ScriptedModel(noisy)
        verdicts = judge(model, candidates, constitution, principles=1, votes=11, until=until, log_probs="never")
        right[until] = sum(v.choice == "first" for v in verdicts) / len(verdicts)
        calls[until] = len(model.asked)
    assert calls[None] == 500 * 2 * 11
    assert calls[0.98] <= 0.6 * calls[None]
    assert right[0.98] >= right[None] - 0.02
    assert right[None] > 0.9


def test_when_votes_are_decided_is_what_the_beta_distribution_says():
    from scipy.stats import beta

    for first in range(9):
        for second in range(9):
            p = beta.sf(0.5, max(first, second) + 1, min(first, second) + 1)
            assert decided(first, second, p - 1e-9)
            assert not decided(first, second, p + 1e-9)


def reasons(script, candidate, constitution, reason, **more):
    candidates = [candidate("good morning to you"), candidate("bad evening for me")]
    model = ScriptedModel(script)
    found = judge(model, candidates, constitution, rule="best_over_worst", principles=1, reason=reason, **more)
    return found[0], model


def letter(request):
    """Which of A and B greets."""
    text = request.messages[-1].content
    return "A" if text.index("good morning") < text.index("bad evening") else "B"


def test_a_reason_that_quotes_a_reply_is_kept_with_its_verdict(candidate, constitution):
    verdict, model = reasons(lambda r: f'{letter(r)}. It says "Good morning".', candidate, constitution, "after")
    assert (verdict.choice, verdict.quotes, verdict.reasoned) == ("first", ("Good morning",), False)
    asked = model.asked[0].messages[-1].content
    assert "Principle kind: Be kind." in asked and "quote in double quotation marks" in asked


def test_a_reason_that_makes_its_quote_up_is_no_verdict(candidate, constitution):
    for said in ('{} because "I wish you well" is kind.', "{} because it is kind."):
        verdict, _ = reasons(lambda r, said=said: said.format(letter(r)), candidate, constitution, "after")
        assert (verdict.choice, verdict.p_first) == ("abstain", None)


def test_after_a_chain_of_thought_the_last_line_is_the_verdict_and_no_log_probability(candidate, constitution):
    def script(request):
        thought = f'B looks kind at first. But "good morning" decides.\nVerdict: {letter(request)}'
        return Reply(text=thought, log_probs={"A": math.log(0.5), "B": math.log(0.5)})

    verdict, model = reasons(script, candidate, constitution, "before")
    assert (verdict.choice, verdict.p_first, verdict.reasoned) == ("first", 1.0, True)
    assert model.asked[0].options == () and model.asked[0].sampling.max_tokens > 500


def test_a_chain_of_thought_without_a_verdict_is_unreadable(candidate, constitution):
    verdict, _ = reasons(lambda r: 'A says "good morning", which is fine', candidate, constitution, "before")
    assert (verdict.choice, verdict.p_first) == ("unreadable", None)


def test_the_embedded_wording_has_no_reasons_and_says_so(candidate, constitution):
    with pytest.raises(InputError, match="wording 'short', which has no reasons"):
        pairwise(prefers_good, candidate, constitution, reason="after")


def test_a_thinking_judge_is_read_after_its_thought(candidate, constitution):
    """The log-probabilities belong to the first word of the thought."""

    def script(request):
        said = prefers_good(request)
        return Reply(text=f"<think>A or B?</think>{said}", log_probs={"A": math.log(0.9), "B": math.log(0.1)})

    verdicts, _, _ = pairwise(script, candidate, constitution)
    assert verdicts[0].p_first == 1.0


def test_verdicts_of_several_judges_are_weighed_together(candidate, constitution):
    """Three votes of weight 2 for the first, one of weight 1 for the second: p = 2 / 3."""
    sure = judge(
        ScriptedModel(prefers_good, wording="short", name="one"),
        both(candidate),
        constitution,
        rule="best_over_worst",
        principles=1,
        weight=2.0,
    )
    other = judge(
        ScriptedModel(lambda r: "B" if prefers_good(r) == "A" else "A", wording="short", name="two"),
        both(candidate),
        constitution,
        rule="best_over_worst",
        principles=1,
    )
    row = pair([*sure, *other])[0]
    assert row.p_chosen == pytest.approx(2 / 3)
    assert [v["judge"] for v in row.evidence["verdicts"]] == ["one", "two"]
    assert between_judges([*sure, *other]) is not None


@pytest.mark.parametrize("said", ["tie", "I cannot compare these"])
def test_log_probabilities_of_a_judge_that_says_something_else_tell_nothing(candidate, constitution, said):
    """A and B together have a probability of e^-8 + e^-11: the judge was about to say what it said."""
    found = judge(
        ScriptedModel(lambda r: Reply(text=said, log_probs={"A": -8.0, "B": -11.0})),
        both(candidate),
        constitution,
        rule="best_over_worst",
        principles=1,
    )
    assert (found[0].choice, found[0].p_first) == (("tie", 0.5) if said == "tie" else ("unreadable", None))


def test_a_refusal_is_one_whatever_its_log_probabilities(candidate, constitution):
    reply = Reply(text="", outcome="refused", log_probs={"A": math.log(0.9), "B": math.log(0.1)})
    verdicts, _, _ = pairwise(lambda r: reply, candidate, constitution)
    assert verdicts[0].choice == "refused"


def test_votes_that_are_known_are_not_taken_for_new_ones(candidate, constitution):
    run, settings = Run(), {"rule": "best_over_worst", "principles": 1, "log_probs": "never", "drawn": True}
    model = ScriptedModel(prefers_good, wording="short")
    judge(model, both(candidate), constitution, votes=3, run=run, **settings)
    asked = len(model.asked)
    judge(model, both(candidate), constitution, votes=1, run=run, **settings)
    assert len(model.asked) == asked  # recalled
    judge(model, both(candidate), constitution, votes=1, first_index=3, run=run, **settings)
    assert len(model.asked) == asked + 2  # asked anew, in both orders


def test_the_judge_is_told_what_is_decided_about_the_principle(candidate, constitution):
    decided = replace(constitution, conflicts=(Conflict(between=("kind", "short"), prefer="kind"),))
    model = ScriptedModel(lambda r: "A")
    verdicts = judge(model, both(candidate), decided, rule="best_over_worst", principles=1)
    asked = model.asked[0].messages[-1].content
    assert "Decided beforehand: Where both cannot be kept: 'Be kind.' goes before 'Be short.'" in asked
    assert {v.principle: v.over for v in verdicts} == {"kind": ("short",)}
    judge(plain := ScriptedModel(lambda r: "A"), both(candidate), constitution, rule="best_over_worst", principles=1)
    assert "Decided" not in plain.asked[0].messages[-1].content


def test_a_principle_that_compares_replies_is_asked_about_one_reply_with_all_its_words(candidate):
    compares = Principle(id="c", text="Choose the response that is the most honest.")
    constitution = Constitution(name="c", principles=(compares,))
    asked = {}
    for mode in ("pointwise", "pairwise"):
        _, model, _ = pairwise(lambda r: "yes", candidate, constitution, mode=mode, log_probs="never")
        asked[mode] = model.asked[0].messages[-1].content
    assert asked["pairwise"].endswith(compares.text)
    assert asked["pointwise"].endswith(f"chosen under this request: {compares.text}")
