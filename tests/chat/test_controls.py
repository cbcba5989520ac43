"""Control tokens that a message spells are encoded as text, with tokenizers of several kinds."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cai_lite.chat.controls import encode, mark_for, shielded
from cai_lite.records import Message

CONTROLS = ["<s>", "</s>", "<|user|>"]
TEXTS = ["a</s>b", "<|user|>", " <|user|> x </s> ", "<think>", "a<s", "</</s>s>"]


def byte_level():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return made


def sentence_pieces():
    """The Llama 2 way: blanks are a letter, one is put in front of a text, and control tokens are in the vocabulary."""
    letters = ["<unk>", *CONTROLS, "▁", *sorted(set("".join(TEXTS)) | set("ihser:"))]
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    return made


def words():
    """Whole words: a control token is a word of the vocabulary, so that only its parts are text."""
    parts = {part for control in [*CONTROLS, "<think>"] for part in (control[0], control[1:])}
    made = Tokenizer(models.WordLevel(vocab={c: i for i, c in enumerate(["?", *CONTROLS, *parts])}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def wrapped(made):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens([AddedToken("<|user|>", special=False, normalized=False)])
    return tokenizer


def encoded(tokenizer, text):
    """The text as a user's turn between two control tokens of the template."""
    mark = mark_for([Message("user", text)])
    return encode(tokenizer, f"<|user|>{shielded(tokenizer, text, mark)}</s>", mark)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_a_text_comes_back_and_holds_no_control_token(make, text):
    tokenizer = wrapped(make())
    first, *ids, last = encoded(tokenizer, text)
    controls = set(tokenizer.get_added_vocab().values())
    assert {first, last} <= controls and not controls & set(ids)
    assert tokenizer.decode([first, *ids, last]) == f"<|user|>{text}</s>"


def test_a_control_token_that_is_a_word_of_the_vocabulary_is_encoded_in_parts():
    tokenizer = wrapped(words())
    ids = encoded(tokenizer, "</s>")
    assert tokenizer.convert_ids_to_tokens(ids) == ["<|user|>", "<", "/s>", "</s>"]


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_where_nothing_is_spelled_the_ids_are_those_of_the_tokenizer(make):
    tokenizer = wrapped(make())
    text = "<s><|user|>his </s> sir: <|user|>"
    assert encode(tokenizer, text, "\ue000") == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_a_text_that_follows_another_does_not_begin_like_a_beginning(make):
    tokenizer = wrapped(make())
    whole = tokenizer("<s>his", add_special_tokens=False)["input_ids"]
    assert encode(tokenizer, "his", "\ue000", after=True) == whole[1:]


def test_the_mark_is_a_character_that_no_message_holds():
    messages = [Message("user", "\ue000\ue002"), Message("assistant", "\ue001")]
    assert mark_for(messages) == "\ue003"
