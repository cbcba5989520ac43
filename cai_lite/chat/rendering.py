"""Convert conversations to token ids by the tokenizer's chat template; control tokens in a message stay plain text."""

from __future__ import annotations

import re
from typing import Any

from cai_lite.errors import ModelError
from cai_lite.records import Messages

# A placeholder between private-use characters: no template changes it, and no user's text contains it.
_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000([0-9]+)\ue001")


def holds_control(tokenizer: Any, messages: Messages) -> bool:
    """Return True if a message contains the spelling of a control token."""
    controls = [token for token in tokenizer.get_added_vocab() if token.strip()]
    return any(control in message.content for message in messages for control in controls)


def token_ids(
    tokenizer: Any, messages: Messages, *, add_generation_prompt: bool, apart: bool | None = None
) -> list[int]:
    """Return the conversation's token ids. Lone surrogates become U+FFFD.

    If a message contains the spelling of a control token (`<|im_end|>`), messages are encoded separately from the
    template, as plain text; otherwise a user could end the turn, or a candidate could speak as the system. transformers
    5.17 has no option for this. `apart` forces (True) or prevents (False) it; None decides by the messages.
    Conversations whose beginnings are compared must use the same value.

    Raises:
        ModelError: the tokenizer has no chat template, or the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the model's tokenizer has no chat template; use an instruct model, or give pairs as plain strings"
        )
    if apart is None:
        apart = holds_control(tokenizer, messages)
    texts = [characters(message.content) for message in messages]
    turns = [{"role": m.role, "content": _PLACE.format(i) if apart else texts[i]} for i, m in enumerate(messages)]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # templates may raise any exception
        raise ModelError(f"the model's chat template refuses this conversation: {error}") from error
    if not apart:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    ids: list[int] = []
    for place, piece in enumerate(_PLACES.split(text)):
        content = texts[int(piece)] if place % 2 else piece
        if content:
            settings: dict[str, bool] = {"add_special_tokens": False, "verbose": False}
            ids += tokenizer(content, split_special_tokens=bool(place % 2), **settings)["input_ids"]
    return ids


def characters(text: str) -> str:
    """Return the text with each lone surrogate replaced by U+FFFD; JSON allows them, tokenizers do not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
