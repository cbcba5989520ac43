"""Bodies of chat completions, the good and the odd: each becomes a reply, and none an exception."""

import pytest

from cai_lite.chat.completions import option_log_probs, plainly, read_completion
from cai_lite.chat.thoughts import split_thought
from cai_lite.records import Message, Request, Sampling
from tests.conftest import completion

PLAIN = Request(messages=(Message("user", "q"),), sampling=Sampling(max_tokens=8))
VERDICT = Request(messages=PLAIN.messages, sampling=PLAIN.sampling, options=("A", "B"))


def scores(first, **more):
    alternatives = [{"token": token, "logprob": value} for token, value in more.items()]
    return {"content": [{"token": first, "logprob": -0.1, "top_logprobs": alternatives}]}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_beside_the_text_is_put_in_front_of_it(name):
    body = completion("The answer.")
    body["choices"][0]["message"][name] = "Hm. </think> Well."
    reply = read_completion(body, PLAIN)
    assert split_thought(reply.text) == ("Hm.  Well.", "The answer.")
    assert (reply.outcome, reply.fault) == ("ok", "")


@pytest.mark.parametrize("request_", [PLAIN, VERDICT])
@pytest.mark.parametrize("where", ["content", "reasoning_content", "reasoning"])
def test_a_reply_cut_while_thinking_is_cut_also_where_one_word_was_asked_for(where, request_):
    body = completion(None, "length")
    body["choices"][0]["message"][where] = "<think>\nHm" if where == "content" else "Hm"
    reply = read_completion(body, request_)
    assert (reply.outcome, reply.fault, split_thought(reply.text).answer) == ("cut", "cut while thinking", "")


def test_a_thought_without_an_answer_is_empty():
    reply = read_completion(completion("<think>Hm</think>"), PLAIN)
    assert (reply.outcome, reply.fault) == ("empty", "a thought without an answer")


def test_scores_of_a_thought_are_not_those_of_the_answer():
    found = {"A": -2.8, "B": -0.06}
    body = completion("B", logprobs=scores("B", **found))
    assert read_completion(body, VERDICT).log_probs == found
    body["choices"][0]["message"]["reasoning_content"] = "A or B?"
    assert read_completion(body, VERDICT).log_probs is None
    # the server took the thought out and says nothing of it
    assert read_completion(completion("B", logprobs=scores("A", **found)), VERDICT).log_probs is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"A": -0.1, "B": None}, None),
        ({"A": -0.1, "B": float("nan")}, None),
        ({"A": 900.0, "B": -1.0}, None),
        ({"A": 1e-7, "B": -9.0}, {"A": 0.0, "B": -9.0}),
        ({"A": -0.1}, None),
    ],
)
def test_only_numbers_up_to_zero_are_log_probabilities(more, expected):
    assert option_log_probs({"logprobs": scores("A", **more)}, ("A", "B"), "A") == expected


def test_content_in_parts_is_joined():
    parts = [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "text", "text": "Hello "},
        {"type": "text", "text": "you"},
    ]
    assert read_completion(completion(parts[1:]), PLAIN).text == "Hello you"
    assert split_thought(read_completion(completion(parts), PLAIN).text) == ("Hm", "Hello you")
    assert read_completion(completion([{"type": "image"}, 3]), PLAIN).outcome == "empty"


@pytest.mark.parametrize("content", [3, {"text": "x"}, True])
def test_content_of_another_type_is_a_fault_with_a_name(content):
    reply = read_completion(completion(content), PLAIN)
    assert (reply.text, reply.outcome) == ("", "failed")
    assert reply.fault.startswith("the content of the reply is no text")


@pytest.mark.parametrize("n", [None, -1, "7", float("inf"), float("nan"), [], 1e30])
def test_a_count_of_tokens_that_is_none_is_estimated(n):
    body = completion("x")
    body["usage"] = {"prompt_tokens": n, "completion_tokens": 2}
    reply = read_completion(body, PLAIN, prices=(1e6, 1e6))
    assert (reply.tokens_in, reply.tokens_out, reply.cost, reply.estimated) == (1, 2, 3.0, True)


def test_tokens_are_estimated_where_none_are_counted_and_only_there():
    body = completion("word " * 60)
    assert not read_completion(body, PLAIN).estimated
    del body["usage"]
    reply = read_completion(body, PLAIN)
    assert reply.estimated and 60 <= reply.tokens_out <= 90
    assert read_completion(completion(""), PLAIN).tokens_out == 2  # as the server says


def test_a_lone_surrogate_and_nul_in_a_reply_become_the_replacement_character():
    reply = read_completion(completion("a\ud800b\0c \ud83d\ude00"), PLAIN)
    assert reply.text == "a\ufffdb\ufffdc \U0001f600"


@pytest.mark.parametrize("body", [None, "text", {}, {"choices": {}}, {"choices": [None]}, {"choices": [{}]}])
def test_what_is_no_completion_is_a_value_error(body):
    with pytest.raises(ValueError):
        read_completion(body, PLAIN)


def test_words_from_outside_stand_on_one_line():
    assert plainly("a\x1b[31m\nb\u202e " + "c" * 400, 20) == "a [31m b cccccccc..."
