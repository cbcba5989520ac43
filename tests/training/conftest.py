"""A tiny random Llama over bytes with a chat template, and pairs for it."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cai_lite.records import Message, PreferencePair

TEMPLATE = (
    "<s>{% for m in messages %}{% if m['role'] == 'assistant' %}a:{{ m['content'] }}</s>"
    "{% else %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<pad>"]


def byte_tokenizer(template=TEMPLATE):
    """One token per byte, and three control tokens; every byte has an id, so ids can be read by eye."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*SPECIAL, *letters])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = template
    return fast


def tiny_config(**more):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return {"vocab_size": 259, "num_hidden_layers": 2, "initializer_range": 0.2, **sizes, **ids, **more}


def save_tiny(path, seed=0, **more):
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**tiny_config(**more))).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture(scope="session")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture(scope="session")
def fresh_tokenizer():
    """Makes a tokenizer with a chat template of its own."""
    return byte_tokenizer


@pytest.fixture(scope="session")
def make_student():
    """Writes a tiny model to a folder."""
    return save_tiny


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="session")
def make_pair():
    """A pair of one user turn; more turns go into `prompt` as (role, text)."""

    def pair(prompt, chosen, rejected, p_chosen=1.0):
        turns = [("user", prompt)] if isinstance(prompt, str) else prompt
        return PreferencePair(
            prompt=tuple(Message(*turn) for turn in turns),
            chosen=(Message("assistant", chosen),),
            rejected=(Message("assistant", rejected),),
            p_chosen=p_chosen,
        )

    return pair


@pytest.fixture(scope="session")
def pairs(make_pair):
    """Twelve pairs of unlike lengths: the good answer says yes, the bad one no."""
    return [make_pair("q" * (i % 5 + 1) + str(i), "yes" * (i % 3 + 1), "no" * (i % 4 + 1)) for i in range(12)]
