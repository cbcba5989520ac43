"""Convert conversations to token ids by the tokenizer's chat template; control tokens in a message stay plain text.

A chat template has variables, such as `enable_thinking`. Those a student is trained with are kept beside its adapter
in `template.json`, so that whoever opens the adapter renders prompts as in training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cai_lite.chat.completions import characters, plainly
from cai_lite.chat.controls import control_pattern, encode, mark_for, shielded
from cai_lite.chat.templates import TemplateLimit, apply_template
from cai_lite.errors import ModelError
from cai_lite.records import Message, Messages

TEMPLATE_FILE = "template.json"


class TemplateRefusal(ModelError):
    """The chat template refuses a conversation; `why` is its own message."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(f"the model's chat template refuses this conversation: {why}{mend}")
        self.why, self.mend = why, mend

    def __reduce__(self) -> tuple[type[TemplateRefusal], tuple[str, str]]:
        """Return how it is made anew in another process."""
        return type(self), (self.why, self.mend)


def holds_control(tokenizer: Any, messages: Messages) -> bool:
    """Return True if a message contains the spelling of a control token."""
    pattern = control_pattern(tokenizer)
    return any(pattern.search(message.content) for message in messages)


def token_ids(
    tokenizer: Any,
    messages: Messages,
    *,
    add_generation_prompt: bool,
    template: Mapping[str, Any] | None = None,
) -> list[int]:
    """Return the conversation's token ids. Lone surrogates become U+FFFD.

    `template`: variables of the chat template, such as `{"enable_thinking": False}`; None leaves them at its defaults.
    The spelling of a control token in a message (`<|im_end|>`) is encoded as plain text; otherwise a user could end the
    turn, or a candidate could speak as the system.

    Raises:
        ModelError: the tokenizer has no chat template, or the template refuses the conversation.
    """
    mark = mark_for(messages)
    text = render(tokenizer, messages, mark, add_generation_prompt=add_generation_prompt, template=template)
    return encode(tokenizer, text, mark)


def render(
    tokenizer: Any,
    messages: Messages,
    mark: str,
    *,
    add_generation_prompt: bool,
    template: Mapping[str, Any] | None = None,
    completion: int = 0,
    source: str | None = None,
) -> str:
    """Return the text that the chat template makes of a conversation, with control tokens in messages shielded.

    `mark`: that of `controls.mark_for`, for all messages that are compared with each other. `completion`: the number of
    messages at the end that are a completion, in which thoughts are shielded, too. `source`: the template to use in
    place of the tokenizer's own.

    Raises:
        ModelError: the tokenizer has no chat template. TemplateRefusal: the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the model's tokenizer has no chat template; use an instruct model, or give pairs as plain strings"
        )
    earlier = len(messages) - completion
    turns = [
        {
            "role": message.role,
            "content": shielded(
                tokenizer, characters(message.content), mark, thoughts=message.role != "assistant" or place >= earlier
            ),
        }
        for place, message in enumerate(messages)
    ]
    try:
        text = apply_template(tokenizer, turns, source, add_generation_prompt=add_generation_prompt, **(template or {}))
    except TemplateLimit as error:
        raise TemplateRefusal(str(error)) from error
    except Exception as error:  # templates may raise any exception
        merge = "; set 'system: merge' for this model" if any(m.role == "system" for m in messages) else ""
        raise TemplateRefusal(plainly(str(error) or type(error).__name__), merge) from error
    if not text:
        raise TemplateRefusal("it writes nothing")
    return text


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
