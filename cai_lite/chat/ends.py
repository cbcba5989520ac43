"""Find the tokens that end a model's turn."""

from __future__ import annotations

from typing import Any

from cai_lite.chat.templates import apply_template

_CONTENT = "\ue000"  # a private-use character: no template changes it


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Return the ids of the tokens at which a reply ends.

    They are those of the generation configuration, the tokenizer's end token, and the control token that the chat
    template writes directly after a reply; an instruct model's tokenizer often names only the end of a document.
    """
    configured = model.generation_config.eos_token_id
    ends = set(configured) if isinstance(configured, list | tuple) else {configured}
    return {token for token in (*ends, tokenizer.eos_token_id, turn_end(tokenizer)) if token is not None}


def turn_end(tokenizer: Any) -> int | None:
    """Return the control token that the chat template writes directly after a reply, or None if there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _CONTENT}]
    try:
        text = apply_template(tokenizer, turns, add_generation_prompt=False)
    except Exception:  # templates may raise any exception; `token_ids` reports it with the conversation at hand
        return None
    _, content, after = text.rpartition(_CONTENT)
    if not content or not after.strip():
        return None
    first = tokenizer(after.strip(), add_special_tokens=False, verbose=False)["input_ids"][0]
    return int(first) if first in tokenizer.get_added_vocab().values() else None
