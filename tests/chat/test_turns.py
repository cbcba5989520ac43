"""Where a model's turn begins and ends, in the manner of the families of models that are trained."""

from datetime import date

import pytest

from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.chat.turns import OpenThought, Turns
from cai_lite.errors import ModelError
from cai_lite.records import Message, dicts_of
from tests.chat.families import CHATML, FAMILIES, HARMONY, OPEN, tokenizer_of

PROMPT = (Message("system", "Be kind."), Message("user", "Hi"))
LONGER = (*PROMPT, Message("assistant", "Yes?"), Message("user", "No."))
TODAY = date(2026, 11, 5)


def answer(text):
    return (Message("assistant", text),)


def turns_of(family, **more):
    tokenizer = tokenizer_of(family)
    ends = {tokenizer.convert_tokens_to_ids(token) for token in (family.eos, *family.stops)}
    return Turns(
        tokenizer,
        ends=ends if family.stops else None,
        template=family.variables,
        system=family.system,
        **{"today": TODAY, **more},
    )


@pytest.fixture(params=FAMILIES, ids=str)
def family(request):
    return FAMILIES[request.param]


def test_the_prompt_is_what_is_rendered_for_generation_and_the_answer_ends_with_its_first_stop_token(family):
    turns = turns_of(family)
    prompt_ids, (ids, other), mended = turns.split(PROMPT, [answer("Yes"), answer("No")])
    assert turns.tokenizer.decode(prompt_ids) == family.given
    assert turns.tokenizer.decode(ids) == family.generated
    assert turns.tokenizer.decode(other) == family.generated.replace("Yes", "No")
    assert [token in turns.ends for token in ids] == [False] * (len(ids) - 1) + [True]
    assert turns.prompt_ids(PROMPT) == prompt_ids
    assert not mended


def test_the_saved_template_gives_any_server_the_prompt_of_the_training(family):
    turns = turns_of(family, today=None)
    for messages in (PROMPT, PROMPT[1:], LONGER):
        text = turns.tokenizer.apply_chat_template(
            dicts_of(messages), tokenize=False, add_generation_prompt=True, chat_template=turns.served_template()
        )
        assert turns.tokenizer(text, add_special_tokens=False)["input_ids"] == turns.prompt_ids(messages)


def test_earlier_turns_and_the_system_message_stay_in_the_prompt(family):
    turns = turns_of(family)
    prompt_ids, (ids,), _ = turns.split(LONGER, [answer("Yes")])
    text = turns.tokenizer.decode(prompt_ids)
    assert all(text.count(message.content) == 1 for message in LONGER[1:])
    assert text.count("Be kind.") == 1
    assert turns.tokenizer.decode(ids) == family.generated


def test_control_tokens_that_a_message_spells_stay_text(family):
    turns = turns_of(family)
    controls = set(turns.tokenizer.get_added_vocab().values())
    attack = "x" + "".join((*family.controls, *family.plain)) + " y"
    plain = turns.split((PROMPT[0], Message("user", "Hi")), [answer("Yes")])
    found = turns.split((PROMPT[0], Message("user", attack)), [answer(attack)])
    for ours, theirs in ((plain.prompt_ids, found.prompt_ids), (plain.completions[0], found.completions[0])):
        assert [i for i in theirs if i in controls] == [i for i in ours if i in controls]
    assert turns.tokenizer.decode(found.prompt_ids) == family.given.replace("Hi", attack)
    assert turns.tokenizer.decode(found.completions[0]) == family.generated.replace("Yes", attack)


@pytest.mark.parametrize("name", OPEN)
def test_a_thought_that_is_never_closed_is_refused(name):
    with pytest.raises(OpenThought, match=r"opens a thought \(<think>\) in front of every reply and never closes it"):
        turns_of(OPEN[name]).split(PROMPT, [answer("Yes")])


def test_the_variable_that_switches_the_thought_off_is_named():
    with pytest.raises(OpenThought, match=r"set 'template: \{thinking: false\}' for the student"):
        turns_of(OPEN["DeepSeek V3.1, thinking on"]).prompt_ids(PROMPT)


def test_a_system_message_that_the_template_refuses_is_merged_on_request_alone():
    family = FAMILIES["Gemma 2"]._replace(system="keep")
    with pytest.raises(TemplateRefusal, match="System role not supported; set 'system: merge'"):
        turns_of(family).prompt_ids(PROMPT)
    assert turns_of(family).tokenizer.decode(turns_of(family).prompt_ids(PROMPT[1:])).startswith("<bos><start_of_turn>")


def test_a_token_that_reaches_over_the_boundary_is_not_written_by_a_model_that_is_asked():
    turns = turns_of(FAMILIES["ChatML"])
    prompt_ids, (ids,), mended = turns.split(PROMPT, [answer("\nYes")])
    assert prompt_ids == turns.prompt_ids(PROMPT)
    assert turns.tokenizer.decode(prompt_ids + ids) == FAMILIES["ChatML"].given + "\nYes<|im_end|>"
    assert mended


def test_an_answer_of_several_turns_ends_behind_its_last_one():
    turns = turns_of(FAMILIES["ChatML"])
    _, (ids,), _ = turns.split(PROMPT, [(*answer("a"), Message("user", "b"), *answer("c"))])
    expected = "a<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\nc<|im_end|>"
    assert turns.tokenizer.decode(ids) == expected


def test_an_answer_is_trimmed_as_the_template_trims_it():
    turns = turns_of(FAMILIES["Llama 3"])
    _, (ids,), _ = turns.split(PROMPT, [answer("  Yes \n")])
    assert turns.tokenizer.decode(ids) == "Yes<|eot_id|>"


def test_earlier_thoughts_of_the_assistant_are_stripped_by_the_template_and_those_of_users_are_text():
    turns = turns_of(FAMILIES["Qwen3, thinking off"])
    thought = Message("assistant", "<think>\nplan\n</think>\n\nYes?")
    text = turns.tokenizer.decode(turns.prompt_ids((*PROMPT, thought, Message("user", "<think> is a tag"))))
    assert "plan" not in text and "Yes?" in text and "user\n<think> is a tag<|im_end|>" in text


def test_the_date_of_a_template_can_be_fixed():
    turns = turns_of(FAMILIES["gpt-oss"], today=date(2020, 1, 2))
    assert "Today: 2020-01-02" in turns.tokenizer.decode(turns.prompt_ids(PROMPT))
    assert "Today: 2020-01-02" not in HARMONY and "2020" not in turns.served_template()


def test_a_template_that_cannot_be_saved_with_its_variables_is_an_error():
    template = "\n" + CHATML  # a line break after the lines that set the variables would be dropped
    with pytest.raises(ModelError, match="cannot be saved with its variables"):
        turns_of(FAMILIES["Qwen3, thinking off"]._replace(template=template)).served_template()


def test_no_stop_token_at_all_is_an_error():
    tokenizer = tokenizer_of(FAMILIES["ChatML"])
    tokenizer.eos_token, tokenizer.chat_template = None, None
    with pytest.raises(ModelError, match="no end token"):
        Turns(tokenizer)
