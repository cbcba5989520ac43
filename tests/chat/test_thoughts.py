import time

import pytest

from cai_lite.chat.thoughts import split_thought, thinks

THOUGHTS = [
    "<think>\nA or B?\n</think>\n\nHello",
    "A or B?\n</think>\n\nHello",  # the template opened the thought
    "<think></think>Hello",
    "<think>\n\n</think>\n\n<think>again</think>Hello",
    "<thinking>hm</thinking>\nHello",
    "<thought>hm</thought>Hello",
    "<reasoning>hm</reasoning> Hello",
    "[THINK]hm[/THINK]Hello",
    "◁think▷hm◁/think▷Hello",
    "<seed:think>hm</seed:think>Hello",
    "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Hello<|END_RESPONSE|>",
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello<|return|>",
    "analysishm, what now?assistantfinalHello",
    "<|channel>thought\nhm<channel|>Hello<turn|>",
    "Here is my thought process: hm. Here is my response: Hello",
    "<think>hm</think><answer>Hello</answer>",
    "<think>if x < 3: print('</div>')</think>Hello",
]
OPEN = [
    "<think>\nOkay, the user",
    "<thinking>hm",
    "<|channel|>analysis<|message|>We need to",
    "analysisWe need to decide, first",
    "<|channel>thought\nhm",
    "plan\n</think>",
]
PLAIN = [
    "Hello",
    "Use the <think> tag in HTML.",
    "The model writes `</think>` when it has finished.",
    "You close it with the </think> tag, like this.",
    "I think that A is better.",
    "analysis shows that",
    "Here is my thought: be kind.",
    "<b>Hello</b>",
    "",
]


@pytest.mark.parametrize("text", THOUGHTS)
def test_a_thought_in_any_form_leaves_the_answer(text):
    assert split_thought(text).answer == "Hello" and thinks(text)


@pytest.mark.parametrize("text", OPEN)
def test_a_thought_that_never_ends_leaves_no_answer(text):
    assert split_thought(text).answer == "" and thinks(text)


@pytest.mark.parametrize("text", PLAIN)
def test_a_reply_that_only_writes_about_thoughts_keeps_every_word(text):
    assert split_thought(text) == (None, text)


@pytest.mark.parametrize("piece", ["<think>", "</think>", "analysis", "<answer>", " ", "\n", "<|channel|>", "</s>"])
def test_reading_takes_time_in_proportion_to_the_text(piece):
    began = time.process_time()
    split_thought(piece * 40_000)
    split_thought("<think>" + piece * 40_000)
    assert time.process_time() - began < 5.0
