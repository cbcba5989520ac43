"""Pairs to token ids. The tokenizer has one token a byte, so what is expected can be written down."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import pytest

from cai_lite.chat.turns import Turns
from cai_lite.errors import ModelError, PairError
from cai_lite.records import Message, PreferencePair
from cai_lite.training.methods import METHODS
from cai_lite.training.tokens import tokenize
from tests.chat.families import FAMILIES, tokenizer_of


def text_of(tokenizer, ids):
    return tokenizer.decode(ids)


def one(tokenizer, pair, max_tokens=512, overlong="drop"):
    (found,), report = tokenize(tokenizer, [pair], max_tokens=max_tokens, overlong=overlong)
    return found, report


def raw(prompt, chosen, rejected):
    return PreferencePair(
        prompt=(Message("", prompt),), chosen=(Message("", chosen),), rejected=(Message("", rejected),)
    )


def test_the_prompt_ends_where_the_answer_begins_and_the_end_token_is_scored_once(tokenizer, make_pair):
    found, report = one(tokenizer, make_pair("hi", "yes", "no"))
    assert text_of(tokenizer, found.prompt_ids) == "<s>u:hi\na:"
    assert text_of(tokenizer, found.completions[0]) == "yes</s>"
    assert text_of(tokenizer, found.completions[1]) == "no</s>"
    assert found.tokens == 2 * len(found.prompt_ids) + 4 + 3
    assert report.boundary_mends == 0


def test_every_earlier_turn_belongs_to_the_prompt(tokenizer, make_pair):
    turns = [("system", "be"), ("user", "hi"), ("assistant", "ho"), ("user", "he")]
    found, _ = one(tokenizer, make_pair(turns, "yes", "no"))
    assert text_of(tokenizer, found.prompt_ids) == "<s>s:be\nu:hi\na:ho</s>u:he\na:"


def test_an_answer_of_several_turns_is_kept_whole(tokenizer):
    more = (Message("assistant", "a"), Message("user", "b"), Message("assistant", "c"))
    pair = PreferencePair(prompt=(Message("user", "q"),), chosen=more, rejected=(Message("assistant", "d"),))
    found, _ = one(tokenizer, pair)
    assert text_of(tokenizer, found.completions[0]) == "a</s>u:b\na:c</s>"


def test_plain_strings_get_no_template_and_an_end_token(tokenizer):
    found, _ = one(tokenizer, raw("once", " upon", " more"))
    assert text_of(tokenizer, found.prompt_ids) == "once"
    assert text_of(tokenizer, found.completions[0]) == " upon</s>"


def test_what_a_template_writes_after_the_end_token_is_no_part_of_the_answer(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer("{% for m in messages %}{{ m['content'] }}</s>\n{% endfor %}")
    found, _ = one(tokenizer, make_pair("hi", "yes", "no"))
    assert text_of(tokenizer, found.completions[0]) == "yes</s>"


def test_a_template_without_an_end_token_gets_one(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer("{% for m in messages %}{{ m['content'] }};{% endfor %}")
    found, _ = one(tokenizer, make_pair("hi", "yes", "no"))
    assert text_of(tokenizer, found.completions[0]) == "yes;</s>"


def test_a_prompt_boundary_that_a_token_reaches_over_is_mended_and_counted(make_pair):
    tokenizer = tokenizer_of(FAMILIES["ChatML"])
    found, report = one(tokenizer, make_pair("hi", "\nyes", "no"))
    assert text_of(tokenizer, found.prompt_ids) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(tokenizer, found.completions[0]) == "\nyes<|im_end|>"
    assert report.boundary_mends == 1
    assert "1 with a mended prompt boundary" in str(report)


def test_a_template_that_leaves_a_thought_open_is_refused(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer(
        "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}a:<think>{% endif %}"
    )
    with pytest.raises(ModelError, match="opens a thought"):
        one(tokenizer, make_pair("hi", "yes", "no"))


def test_a_prompt_that_the_template_refuses_is_dropped_and_counted_with_its_reason(make_pair):
    tokenizer = tokenizer_of(FAMILIES["Gemma 2"])
    system = [("system", "be"), ("user", "hi")]
    twice = [("user", "a"), ("user", "b")]
    pairs = [make_pair("a", "yes", "no"), make_pair(system, "yes", "no"), make_pair(twice, "yes", "no")]
    rows, report = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    assert len(rows) == 1
    assert report.dropped == {
        "refused by the chat template: System role not supported": 1,
        "refused by the chat template: Conversation roles must alternate user/assistant/user/assistant/...": 1,
    }
    merged, report = tokenize(Turns(tokenizer, system="merge"), pairs[:2], max_tokens=99, overlong="drop")
    assert len(merged) == 2 and not report.dropped
    assert "user\nbe\n\nhi<end_of_turn>" in text_of(tokenizer, merged[1].prompt_ids)


def test_overlong_pairs_are_dropped_and_counted(tokenizer, make_pair):
    long, short = make_pair("x" * 90, "yes", "no"), make_pair("x", "yes", "no")
    found, report = tokenize(tokenizer, [long, short, long], max_tokens=50, overlong="drop")
    assert len(found) == 1
    assert (report.pairs, report.kept, report.cut) == (3, 1, 0)
    assert report.dropped == {"longer than max_tokens": 2}
    assert "3 pairs: 1 kept" in str(report) and "2 dropped (longer than max_tokens)" in str(report)


def test_a_row_of_just_max_tokens_is_kept(tokenizer, make_pair):
    pair = make_pair("hi", "yes", "no")
    width = len("u:hi\na:") + 1 + len("yes") + 1
    assert one(tokenizer, pair, max_tokens=width)[1].kept == 1
    with pytest.raises(PairError, match=f"1 longer than max_tokens .max_tokens {width - 1}"):
        one(tokenizer, pair, max_tokens=width - 1)


def test_cutting_takes_the_oldest_turns_first(tokenizer, make_pair):
    turns = [("system", "be"), ("user", "a" * 9), ("assistant", "b" * 9), ("user", "c" * 9)]
    turns += [("assistant", "d" * 9), ("user", "last")]
    kept = "<s>s:be\nu:ccccccccc\na:ddddddddd</s>u:last\na:"
    width = len(kept) - len("<s></s>") + 2 + len("yes") + 1
    found, report = one(tokenizer, make_pair(turns, "yes", "no"), max_tokens=width, overlong="cut_prompt")
    assert text_of(tokenizer, found.prompt_ids) == kept
    assert text_of(tokenizer, found.completions[0]) == "yes</s>"
    assert (report.kept, report.cut) == (1, 1)
    found, _ = one(tokenizer, make_pair(turns, "yes", "no"), max_tokens=width - 1, overlong="cut_prompt")
    assert text_of(tokenizer, found.prompt_ids) == "<s>s:be\nu:last\na:"


def test_cutting_never_takes_the_system_message_the_last_question_or_the_answer(tokenizer, make_pair):
    short = make_pair("x", "yes", "no")
    for turns, answer in (
        ([("user", "a"), ("assistant", "b"), ("user", "l" * 60)], "yes"),
        ([("system", "s" * 60), ("user", "a"), ("assistant", "b"), ("user", "l")], "yes"),
        ([("user", "a"), ("assistant", "b"), ("user", "l")], "y" * 60),
    ):
        pairs = [make_pair(turns, answer, "no"), short]
        found, report = tokenize(tokenizer, pairs, max_tokens=50, overlong="cut_prompt")
        assert (len(found), report.cut, report.dropped) == (1, 0, {"longer than max_tokens": 1})


def test_a_long_plain_prompt_loses_its_beginning(tokenizer):
    found, report = one(tokenizer, raw("abcdefghij", "yes", "no"), max_tokens=8, overlong="cut_prompt")
    assert text_of(tokenizer, found.prompt_ids) == "ghij"
    assert report.cut == 1


def test_a_control_token_in_a_text_stays_text(tokenizer, make_pair):
    found, report = one(tokenizer, make_pair("a</s>b", "yes", "no"))
    assert found.prompt_ids.count(tokenizer.eos_token_id) == 0
    assert text_of(tokenizer, found.prompt_ids) == "<s>u:a</s>b\na:"
    assert report.boundary_mends == 0


def test_a_control_token_in_one_answer_alone_leaves_the_prompt_as_it_is(tokenizer, make_pair):
    plain, _ = one(tokenizer, make_pair("hi", "yes", "no"))
    found, report = one(tokenizer, make_pair("hi", "ye</s>s", "no"))
    assert found.prompt_ids == plain.prompt_ids
    assert found.completions[0].count(tokenizer.eos_token_id) == 1
    assert found.completions[0][-1] == tokenizer.eos_token_id
    assert report.boundary_mends == 0


def test_answers_that_are_equal_in_tokens_are_dropped(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer("{% for m in messages %}{{ m['content'] | trim }};{% endfor %}")
    pairs = [make_pair("a", "yes", "yes "), make_pair("a", "yes", "no")]
    found, report = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    assert (len(found), report.dropped) == (1, {"equal completions": 1})


def test_nothing_to_begin_from_is_dropped(tokenizer):
    pairs = [raw("", "yes", "no"), raw("a", "yes", "no")]
    _, report = tokenize(tokenizer, pairs, max_tokens=99, overlong="drop")
    assert report.dropped == {"no prompt before the first token": 1}


def test_odd_characters_go_through(tokenizer, make_pair):
    odd = "\u2028 \0 \ue0000\ue001 🙂 \ud800"
    found, _ = one(tokenizer, make_pair(odd, "ye</s>s" + odd, "no"))
    assert text_of(tokenizer, found.prompt_ids) == f"<s>u:{odd}\na:".replace("\ud800", "\ufffd")


def test_no_pairs_and_no_template_are_clear_errors(fresh_tokenizer, make_pair):
    with pytest.raises(PairError, match="no pairs to train on: none were given"):
        tokenize(fresh_tokenizer(None), [], max_tokens=9, overlong="drop")
    with pytest.raises(ModelError, match="no chat template"):
        tokenize(fresh_tokenizer(None), [make_pair("a", "b", "c")], max_tokens=9, overlong="drop")


def test_a_template_that_refuses_is_a_clear_error(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer("{{ raise_exception('no system here') }}")
    with pytest.raises(ModelError, match="refuses this conversation: no system here"):
        tokenize(tokenizer, [make_pair("a", "b", "c")], max_tokens=9, overlong="drop")


def test_a_tokenizer_without_an_end_token_is_a_clear_error(fresh_tokenizer, make_pair):
    tokenizer = fresh_tokenizer("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end token"):
        tokenize(tokenizer, [make_pair("a", "b", "c")], max_tokens=9, overlong="drop")


def test_work_grows_with_the_number_of_pairs_and_no_faster(tokenizer, make_pair):
    def calls(n):
        pairs, counted = [make_pair(f"question {i:04}", f"answer {i:04}", f"other {i:04}") for i in range(n)], Counter()
        sys.setprofile(lambda frame, event, arg: counted.update([event]))
        try:
            tokenize(tokenizer, pairs, max_tokens=512, overlong="drop")
        finally:
            sys.setprofile(None)
        return counted["call"] + counted["c_call"]

    calls(5)
    assert calls(400) < 4.1 * calls(100)


def test_the_weight_of_a_pair_is_that_of_its_row_and_part_of_its_digest(tokenizer, make_pair):
    light = make_pair("hi", "yes", "no")
    heavy = replace(light, weight=2.5)
    rows, _ = tokenize(tokenizer, [light, heavy], max_tokens=512, overlong="drop")
    assert [row.weight for row in rows] == [1.0, 2.5]
    assert METHODS["dpo"].data_digest([heavy]) != METHODS["dpo"].data_digest([light])
