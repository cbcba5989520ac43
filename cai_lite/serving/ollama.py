"""Write an Ollama Modelfile whose template renders what the exported chat template renders.

Ollama takes templates in Go's language and guesses one for a model that brings another. So the text that the chat
template writes around each turn is measured, put together in Go's form, and compared with what the chat template
renders before it is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cai_lite.chat.ends import turn_end
from cai_lite.chat.rendering import TemplateRefusal, render
from cai_lite.errors import ModelError
from cai_lite.records import Message, Messages

_MARK = "\ue000"  # a private-use character, which no template writes
_S, _U, _A, _V = (f"{_MARK}{name}{_MARK}" for name in "suav")
_TURNS: tuple[tuple[Message, ...], ...] = (
    (Message("user", _U),),
    (Message("user", _U), Message("assistant", _A), Message("user", _V)),
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a chat template writes: in front of a conversation, around each turn, and for generation.

    `start`: without a system message. `system`: in front of one and behind it; None where the template takes none.
    """

    start: str
    system: tuple[str, str] | None
    user: tuple[str, str]
    assistant: tuple[str, str]
    generation: str

    def rendered(self, messages: Messages) -> str:
        """Return what Ollama renders of a conversation by this form."""
        parts = []
        if messages and messages[0].role == "system":
            if self.system is None:
                return ""
            parts.append(messages[0].content.join(self.system))
            messages = messages[1:]
        else:
            parts.append(self.start)
        for message in messages:
            parts.append(message.content.join(self.user if message.role == "user" else self.assistant))
        return "".join([*parts, self.generation])

    def template(self) -> str:
        """Return the form in Go's template language."""
        start = _text(self.start)
        if self.system is not None:
            before, after = map(_text, self.system)
            start = f"{{{{ if .System }}}}{before}{{{{ .System }}}}{after}{{{{ else }}}}{start}{{{{ end }}}}"
        user, assistant = ("{{ .Content }}".join(map(_text, turn)) for turn in (self.user, self.assistant))
        return (
            f'{start}{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}{user}{{{{ else if eq .Role "assistant" }}}}'
            f"{assistant}{{{{ end }}}}{{{{ end }}}}{_text(self.generation)}"
        )


def form_of(tokenizer: Any) -> Form:
    """Return the form of a tokenizer's chat template. A start token that llama.cpp adds by itself is left out of it.

    Raises:
        ModelError: the template does more than write texts around each turn.
    """
    try:
        form = _measured(tokenizer)
    except (TemplateRefusal, ValueError) as error:
        raise ModelError(f"its chat template cannot be put into Ollama's language: {error}") from error
    for turns in _TURNS:
        for messages in (turns, *(((Message("system", _S), *turns),) if form.system is not None else ())):
            if form.rendered(messages) != _rendered(tokenizer, messages, generation=True):
                raise ModelError(
                    "its chat template cannot be put into Ollama's language: it does more than write texts around each "
                    "turn; serve it by llama.cpp or vLLM, which take the template as it is"
                )
    return _without_start(form, tokenizer)


def modelfile(source: str, form: Form, tokenizer: Any, *, adapter: str = "", settings: Mapping[str, Any]) -> str:
    """Return the text of a Modelfile. `source`, `adapter`: for FROM and ADAPTER; `settings`: parameters by name.

    Raises:
        ModelError: the template holds three quotation marks in a row, which a Modelfile cannot.
    """
    template = form.template()
    if '"""' in template:
        raise ModelError('its chat template holds """, which a Modelfile cannot')
    ends = {tokenizer.eos_token_id, turn_end(tokenizer)} - {None}
    stops = sorted({tokenizer.decode([token], skip_special_tokens=False) for token in ends})
    lines = [f"FROM {source}"]
    lines += [f"ADAPTER {adapter}"] if adapter else []
    lines += [f'TEMPLATE """{template}"""']
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines += [f"PARAMETER {name} {value}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _measured(tokenizer: Any) -> Form:
    user = (Message("user", _U),)
    alone, asked = _rendered(tokenizer, user), _rendered(tokenizer, user, generation=True)
    if not asked.startswith(alone):
        raise ValueError("what it writes behind a turn depends on what follows")
    _, behind_user = _around(alone, _U)
    answered = _rendered(tokenizer, (*user, Message("assistant", _A)))
    between, behind_answer = _around(_around(answered, _U)[1], _A)
    both = _rendered(tokenizer, (*user, Message("assistant", _A), Message("user", _V)))
    before_user = _after(_around(_around(both, _A)[1], _V)[0], behind_answer)
    before_answer = _after(between, behind_user)
    head, _ = _around(alone, _U)
    if not head.endswith(before_user):
        raise ValueError("it writes the first turn in another way than later ones")
    system = None
    try:
        told = _rendered(tokenizer, (Message("system", _S), *user))
        before, rest = _around(told, _S)
        behind, _ = _around(rest, _U)
        if not behind.endswith(before_user):
            raise ValueError("it puts the system message into the first turn")
        system = (before, behind[: len(behind) - len(before_user)])
    except TemplateRefusal:
        pass
    return Form(
        head[: len(head) - len(before_user)],
        system,
        (before_user, behind_user),
        (before_answer, behind_answer),
        asked[len(alone) :],
    )


def _rendered(tokenizer: Any, messages: Messages, *, generation: bool = False) -> str:
    return render(tokenizer, messages, "\ue001", add_generation_prompt=generation)


def _around(text: str, place: str) -> tuple[str, str]:
    before, found, after = text.partition(place)
    if not found:
        raise ValueError("it changes or leaves out the text of a turn")
    return before, after


def _after(text: str, beginning: str) -> str:
    if not text.startswith(beginning):
        raise ValueError("what it writes behind a turn depends on what follows")
    return text[len(beginning) :]


def _without_start(form: Form, tokenizer: Any) -> Form:
    start, first = tokenizer.bos_token, tokenizer("?")["input_ids"][:1]
    if not start or first != [tokenizer.bos_token_id]:
        return form
    system = form.system and (form.system[0].removeprefix(start), form.system[1])
    return Form(form.start.removeprefix(start), system, form.user, form.assistant, form.generation)


def _text(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}') if "{{" in text else text
