"""Conversations to token ids by the tokenizer's chat template; control tokens inside a text stay text."""

from __future__ import annotations

import re
from typing import Any

from cai_lite.errors import ModelError
from cai_lite.records import Messages

# A private-use character on both sides: no template changes it, no text of a user holds the whole mark.
_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000([0-9]+)\ue001")


def holds_control(tokenizer: Any, messages: Messages) -> bool:
    """Whether a text holds the spelling of a control token."""
    controls = [token for token in tokenizer.get_added_vocab() if token.strip()]
    return any(control in message.content for message in messages for control in controls)


def token_ids(
    tokenizer: Any, messages: Messages, *, add_generation_prompt: bool, apart: bool | None = None
) -> list[int]:
    """The conversation's token ids. A lone surrogate, which is no character, becomes U+FFFD.

    A text that holds a control token's spelling (`<|im_end|>`) is encoded apart from the template, as plain text:
    otherwise a user could end the turn, or a candidate speak as the system. transformers 5.17 has no option for this.
    `apart`: whether to do so; found out where None. Conversations whose beginnings are compared must agree on it.

    Raises:
        ModelError: the tokenizer has no chat template, or the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the model's tokenizer has no chat template; take an instruct model, or give pairs as plain strings"
        )
    if apart is None:
        apart = holds_control(tokenizer, messages)
    texts = [characters(message.content) for message in messages]
    turns = [{"role": m.role, "content": _PLACE.format(i) if apart else texts[i]} for i, m in enumerate(messages)]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # templates raise what they like
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
    """The text with U+FFFD for each lone surrogate: JSON may hold them, no tokenizer takes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
