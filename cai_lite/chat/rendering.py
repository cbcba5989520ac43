"""Convert conversations to token ids by the tokenizer's chat template; control tokens in a message stay plain text.

A chat template has variables, such as `enable_thinking`. Those a student is trained with are kept beside its adapter
in `template.json`, so that whoever opens the adapter renders prompts as in training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.errors import ModelError
from cai_lite.records import Message, Messages

TEMPLATE_FILE = "template.json"

# A placeholder between private-use characters: no template changes it, and no user's text contains it.
_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000([0-9]+)\ue001")


def holds_control(tokenizer: Any, messages: Messages) -> bool:
    """Return True if a message contains the spelling of a control token."""
    controls = [token for token in tokenizer.get_added_vocab() if token.strip()]
    return any(control in message.content for message in messages for control in controls)


def token_ids(
    tokenizer: Any,
    messages: Messages,
    *,
    add_generation_prompt: bool,
    apart: bool | None = None,
    template: Mapping[str, Any] | None = None,
) -> list[int]:
    """Return the conversation's token ids. Lone surrogates become U+FFFD.

    `template`: variables of the chat template, such as `{"enable_thinking": False}`; None leaves them at its defaults.

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
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt, **(template or {})
        )
    except Exception as error:  # templates may raise any exception
        merge = "; set 'system: merge' for this model" if any(m.role == "system" for m in messages) else ""
        raise ModelError(f"the model's chat template refuses this conversation: {error}{merge}") from error
    if not apart:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    ids: list[int] = []
    for place, piece in enumerate(_PLACES.split(text)):
        content = texts[int(piece)] if place % 2 else piece
        if content:
            settings: dict[str, bool] = {"add_special_tokens": False, "verbose": False}
            ids += tokenizer(content, split_special_tokens=bool(place % 2), **settings)["input_ids"]
    return ids


def merged_system(messages: Messages) -> Messages:
    """Return the conversation with its system message in front of the first user turn, for templates without one."""
    system = "\n\n".join(m.content for m in messages if m.role == "system")
    turns = [m for m in messages if m.role != "system"]
    if not system:
        return tuple(turns)
    if turns and turns[0].role == "user":
        return (Message("user", f"{system}\n\n{turns[0].content}"), *turns[1:])
    return (Message("user", system), *turns)


def read_template(folder: str | Path) -> dict[str, Any]:
    """Return the variables of the chat template that an adapter was trained with; empty if its folder names none.

    Raises:
        ModelError: `template.json` cannot be read.
    """
    file = Path(folder) / TEMPLATE_FILE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: is not JSON; write {{}} if the chat template has no variables") from error
    if not isinstance(found, dict):
        raise ModelError(f'{file}: should be an object, such as {{"enable_thinking": false}}')
    return found


def write_template(folder: str | Path, template: Mapping[str, Any] | None) -> None:
    """Write the variables of the chat template beside an adapter; nothing is written if there are none."""
    if template:
        text = json.dumps(dict(template), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (Path(folder) / TEMPLATE_FILE).write_text(text, encoding="utf-8")


def characters(text: str) -> str:
    """Return the text with each lone surrogate replaced by U+FFFD; JSON allows them, tokenizers do not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
