"""Turn examples into tokens: the tokenizer and chat template of both models, and the labels of tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded.examples import Example, Known, decision
from cai_lite.embedded.grammar import DOMAINS
from cai_lite.embedded.tasks import EARLY_STEPS, QUESTION, student_example, teacher_example

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
# A role token precedes each reply, so that the prompt of a conversation is always a prefix of its tokens.
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 2560
CONTEXT = 512
TOKENIZER_EXAMPLES = 12_000

# Weights in the loss: of the decision token, the other tokens of a reply, and the tokens of the input.
DECISION_WEIGHT, REPLY_WEIGHT, GIVEN_WEIGHT = 12.0, 2.0, 1.0
RULES = [rule.id for domain in DOMAINS.values() for rule in domain.rules]
UNKNOWN = -100


class Token(NamedTuple):
    """A training token with its weight in the loss and its labels for the auxiliary loss.

    `rule`: index of the rule that the token's sentence or wording is about. `said`: 1 if the sentence keeps the rule,
    else 0. `kept`: 1 if the reply keeps the rule of the wording, else 0. A label that does not apply is UNKNOWN.
    """

    id: int
    weight: float
    rule: int = UNKNOWN
    said: int = UNKNOWN
    kept: int = UNKNOWN


def make_tokenizer(seed: int, vocabulary: int = VOCABULARY, examples: int = TOKENIZER_EXAMPLES) -> Tokenizer:
    """Train a byte-level BPE tokenizer on the texts of both models; it has every byte, so it can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END, *ROLES.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(random.Random(f"tokenizer {seed}"), examples), trainer)
    return tokenizer


def chat_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Return the tokenizer in the form of transformers, with the chat template."""
    chat = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        extra_special_tokens=list(ROLES.values()),
    )
    chat.chat_template = CHAT_TEMPLATE
    return chat


def encode(tokenizer: Tokenizer, example: Example) -> list[Token]:
    """Return the tokens of an example, as the chat template renders it."""

    def special(text: str, weight: float = GIVEN_WEIGHT) -> Token:
        return Token(int(tokenizer.token_to_id(text) or 0), weight)

    def answered(text: str, decides: bool) -> list[Token]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        weights = [DECISION_WEIGHT if decides else REPLY_WEIGHT] + [REPLY_WEIGHT] * (len(ids) - 1)
        return [*map(Token, ids, weights), special(END, REPLY_WEIGHT)]

    def given(role: str, text: str, known: tuple[Known, ...] = ()) -> list[Token]:
        return [special(ROLES[role]), *_given(tokenizer, text, known)] if text else []

    row = [special(BEGIN), *given("system", example.system), *given("user", example.user, example.known)]
    row += [special(ROLES["assistant"])] if example.user else []
    row += answered(example.reply, example.decides)
    for known in example.then:
        row += given("user", fill(QUESTION, principle=known.piece), (known,))
        row += [special(ROLES["assistant"]), *answered(decision(bool(known.good)), True)]
    return row


def _given(tokenizer: Tokenizer, text: str, pieces: tuple[Known, ...]) -> list[Token]:
    """Return the tokens of an input text, labelled with what is known about its pieces.

    Only the second half of a piece is labelled, because its first words do not identify it yet.
    """
    encoded = tokenizer.encode(text, add_special_tokens=False)
    row = [Token(id, GIVEN_WEIGHT) for id in encoded.ids]
    end = 0
    for known in pieces:
        begin = text.find(known.piece, end)
        if begin < 0:
            continue
        end = begin + len(known.piece)
        middle = begin + len(known.piece) // 2
        mark = {"rule": RULES.index(known.rule)}
        if known.good is not None:
            mark["kept" if known.asked else "said"] = int(known.good)
        for place, (first, _) in enumerate(encoded.offsets):
            if middle <= first < end:
                row[place] = row[place]._replace(**mark)
    return row


def _texts(rng: random.Random, examples: int) -> Iterator[str]:
    """Yield the training texts of the tokenizer: those of both models, and each decision word by itself."""
    for number in range(examples):
        example = teacher_example(rng, EARLY_STEPS) if number % 2 else student_example(rng)
        yield from (example.system, example.user, example.reply)
        yield from (SHORT.keeps, SHORT.breaks)
