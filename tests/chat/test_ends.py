"""The tokens at which a reply ends."""

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cai_lite.chat.ends import end_tokens, turn_end

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def tokenizer():
    words = Tokenizer(models.WordLevel(vocab={"[UNK]": 0, "?": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|end|>", additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    fast.chat_template = CHATML
    return fast


def model(ends):
    return SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=ends))


def test_ends_come_from_generation_config_tokenizer_and_template(tokenizer):
    end, turn = tokenizer.convert_tokens_to_ids(["<|end|>", "<|im_end|>"])
    assert end_tokens(model(None), tokenizer) == {end, turn}
    assert end_tokens(model(7), tokenizer) == {7, end, turn}
    assert end_tokens(model([7, 8]), tokenizer) == {7, 8, end, turn}


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{% for m in messages %}{{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}{{ m['content'] }} ? {% endfor %}",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}<|im_start|>{{ m['role'] }}{% endfor %}",
    ],
    ids=["no template", "nothing after", "a plain word after", "refuses", "drops the content"],
)
def test_a_template_that_marks_no_end_of_a_turn_adds_none(tokenizer, template):
    tokenizer.chat_template = template
    assert turn_end(tokenizer) is None


def test_a_tokenizer_without_an_end_token_is_read_all_the_same(tokenizer):
    tokenizer.eos_token = None
    assert end_tokens(model(None), tokenizer) == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
