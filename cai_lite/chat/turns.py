"""Split conversations where a model's own turn begins and ends, so that what is trained is what will be generated.

The prompt is exactly what is rendered for generation. Where the template writes more between the generation prompt and
an answer, such as an empty thought or the name of a channel, that bridge belongs to the prompt; blanks there are
generated. The completion is the answer with what the template writes behind it, up to the first stop token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date as Date
from typing import Any, Literal, NamedTuple

from cai_lite.chat.completions import characters
from cai_lite.chat.controls import encode, mark_for, shielded
from cai_lite.chat.ends import end_tokens, turn_end
from cai_lite.chat.rendering import TemplateRefusal, merged_system, render
from cai_lite.chat.thoughts import opening_mark
from cai_lite.errors import ModelError
from cai_lite.records import Message, Messages

Ids = list[int]
SWITCHES = ("enable_thinking", "thinking")  # variables by which chat templates switch a thought off
_FORMATS = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


class OpenThought(ModelError):
    """The generation prompt opens a thought that the template never closes, so answers would be trained inside it."""


class Split(NamedTuple):
    """A conversation in token ids. `mended`: the template or the tokenizer blurs where the completion begins."""

    prompt_ids: Ids
    completions: list[Ids]
    mended: bool


class _Shape(NamedTuple):
    """What the template writes around an answer, for one order of roles.

    `bridge`: behind the generation prompt, part of the prompt; `lead`: blanks in front of the answer; `after`: behind
    it in a conversation that ends there; `suffix`: behind it up to a stop token; `stops`: number of stop tokens in it.
    """

    bridge: str
    lead: str
    after: str
    suffix: str
    stops: int
    exact: bool


class Turns:
    """A tokenizer with the settings of its chat template in which a student is trained and served.

    `ends`: ids of the stop tokens; None reads them from the tokenizer and its template. `template`: variables of the
    chat template. `system`: "merge" puts the system message in front of the first user turn. `today`: the date that
    templates with a date write; None leaves it to the template.

    Raises:
        ModelError: there is no stop token.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        ends: Collection[int] | None = None,
        template: Mapping[str, Any] | None = None,
        system: Literal["keep", "merge"] = "keep",
        today: Date | None = None,
    ) -> None:
        self.tokenizer, self.template, self.system = tokenizer, dict(template or {}), system
        if ends is None:
            ends = [token for token in (tokenizer.eos_token_id, turn_end(tokenizer)) if token is not None]
        if not ends:
            raise ModelError("the model's tokenizer has no end token, so no answer could be taught to end")
        self.ends = frozenset(ends)
        self.end: int = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(ends)
        self.source = dated(tokenizer, today) if today is not None else None
        self._shapes: dict[tuple[tuple[str, ...], tuple[str, ...]], _Shape] = {}

    @classmethod
    def of_model(cls, model: Any, tokenizer: Any, **settings: Any) -> Turns:
        """Return the turns of a model, which ends a reply at its generation configuration's tokens, too."""
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        return cls(tokenizer, ends=end_tokens(base, tokenizer), **settings)

    @classmethod
    def of(cls, tokenizer: Any) -> Turns:
        """Return the turns of a bare tokenizer, or the given turns unchanged."""
        return tokenizer if isinstance(tokenizer, cls) else cls(tokenizer)

    @property
    def bridge(self) -> str:
        """Return what the template writes between the generation prompt and an answer, blanks aside."""
        return self._shape(("user",), ("assistant",)).bridge

    def prompt_ids(self, messages: Messages) -> Ids:
        """Return the ids of a prompt as the student is asked, with the bridge to its answer.

        Raises:
            ModelError: the template refuses the conversation, or leaves a thought open.
        """
        mark, messages = mark_for(messages), self._merged(messages)
        return encode(self.tokenizer, self._given(messages, mark), mark)

    def split(self, prompt: Messages, completions: Sequence[Messages]) -> Split:
        """Return the ids of a prompt and of its completions; each ends with a stop token.

        Raises:
            TemplateRefusal: the template refuses a conversation. OpenThought: it leaves a thought open.
        """
        mark, prompt = mark_for(sum(completions, prompt)), self._merged(prompt)
        shapes = [self._shape(_roles(prompt), _roles(completion)) for completion in completions]
        given = self._given(prompt, mark, _roles(completions[0]))
        prompt_ids, mended = encode(self.tokenizer, given, mark), not all(shape.exact for shape in shapes)
        found = []
        for completion, shape in zip(completions, shapes, strict=True):
            more = shape.lead + self._body(prompt, completion, shape, mark) + shape.suffix
            ids = encode(self.tokenizer, given + more, mark)
            if ids[: len(prompt_ids)] == prompt_ids:
                ids = ids[len(prompt_ids) :]
            else:  # a token reaches over the boundary, where a model that is asked never writes it
                ids, mended = encode(self.tokenizer, more, mark, after=True), True
            found.append(self._stopped(ids, shape))
        return Split(prompt_ids, found, mended)

    def served_template(self) -> str:
        """Return a chat template that does for any server what the settings do here; it takes no variables.

        Raises:
            ModelError: it renders otherwise.
        """
        source = plain_source(self.tokenizer)
        lines = [f"{{% set {name} = {_literal(value)} %}}" for name, value in self.template.items()]
        if self.system == "merge":
            lines.append(_MERGE)
        bridge = self.bridge
        asked = f"{{% if add_generation_prompt %}}{{{{ {json.dumps(bridge)} }}}}{{% endif %}}"
        made = "".join(lines) + (source.removesuffix("\n") + asked if bridge else source)
        undated = Turns(self.tokenizer, ends=self.ends, template=self.template, system=self.system)
        system = (Message("system", "Be kind."), Message("user", "Hi"))
        for messages in (system[1:], system, (*system, Message("assistant", "Yes?"), Message("user", "No."))):
            try:
                ours = undated._given(undated._merged(messages), mark_for(messages))
            except TemplateRefusal:
                continue
            if ours != render(self.tokenizer, messages, mark_for(messages), add_generation_prompt=True, source=made):
                raise ModelError(f"the chat template cannot be saved with its variables {self.template} set")
        return made

    def _merged(self, messages: Messages) -> Messages:
        return merged_system(messages) if self.system == "merge" else messages

    def _render(self, messages: Messages, mark: str, *, generation: bool = False, completion: int = 0) -> str:
        return render(
            self.tokenizer,
            messages,
            mark,
            add_generation_prompt=generation,
            template=self.template,
            completion=completion,
            source=self.source,
        )

    def _given(self, prompt: Messages, mark: str, completion: tuple[str, ...] = ("assistant",)) -> str:
        """Return the text in front of a completion: the rendering for generation, and the bridge."""
        text, bridge = self._render(prompt, mark, generation=True), self._shape(_roles(prompt), completion).bridge
        return text if text.endswith(bridge) else text + bridge

    def _body(self, prompt: Messages, completion: Messages, shape: _Shape, mark: str) -> str:
        """Return the completion as the template renders it: trimmed, or with the turns in between."""
        whole = self._render(prompt + completion, mark, completion=len(completion))
        if not whole.endswith(shape.after):
            raise TemplateRefusal("what it writes behind an answer depends on the answer's text")
        whole = whole[: len(whole) - len(shape.after)]
        if len(completion) == 1:
            text = shielded(self.tokenizer, characters(completion[0].content), mark)
            if text == text.lstrip() and text.strip():
                found = next((each for each in (text, text.rstrip()) if whole.endswith(each)), None)
                if found is not None:
                    return found
        place = f"{mark}{mark}"
        first = Message(completion[0].role, place)
        before, _, _ = self._render((*prompt, first, *completion[1:]), mark, completion=len(completion)).partition(
            place
        )
        if not whole.startswith(before):
            raise TemplateRefusal("what it writes in front of an answer depends on the answer's text")
        return whole[len(before) :]

    def _stopped(self, ids: Ids, shape: _Shape) -> Ids:
        """Return the completion up to the first stop token behind its last message."""
        places = [place for place, token in enumerate(ids) if token in self.ends]
        if not shape.stops:
            return [*ids, self.end]
        return ids[: places[len(places) - shape.stops] + 1]

    def _shape(self, prompt: tuple[str, ...], completion: tuple[str, ...]) -> _Shape:
        if (prompt, completion) not in self._shapes:
            self._shapes[prompt, completion] = self._measured(prompt, completion)
        return self._shapes[prompt, completion]

    def _measured(self, prompt: tuple[str, ...], completion: tuple[str, ...]) -> _Shape:
        """Measure the shape on a conversation of placeholders."""
        mark = "\ue000"
        turns = [Message(role, f"{mark}{place}{mark}") for place, role in enumerate((*prompt, *completion))]
        asked, answer, last = turns[len(prompt) - 1].content, turns[len(prompt)].content, turns[-1].content
        given = self._render(tuple(turns[: len(prompt)]), mark, generation=True)
        whole = self._render(tuple(turns), mark, completion=len(completion))
        tail = given[given.rfind(asked) + len(asked) :] if asked in given else given
        written, _, _ = whole.partition(answer)
        written = written[written.rfind(asked) + len(asked) :] if asked in written else written
        between = written[len(tail) :] if written.startswith(tail) else ""
        bridge, lead = (between, "") if between.strip() else ("", between)
        if thought := opening_mark(tail + bridge):
            raise OpenThought(self._open_thought(thought))
        after = suffix = whole[whole.rfind(last) + len(last) :]
        stops = self._count(suffix)
        if not stops:  # some templates, GLM's for one, end a turn with the mark of the next one
            try:
                following = Message("user", f"{mark}next{mark}")
                more = self._render((*turns, following), mark, completion=len(completion) + 1)
            except TemplateRefusal:
                more = ""
            _, _, more = more.partition(last)
            more, _, _ = more.partition(following.content)
            if more.startswith(after) and (stops := self._count(more)):
                suffix = more
        return _Shape(bridge, lead, after, suffix, stops, written.startswith(tail) or tail.startswith(written))

    def _count(self, text: str) -> int:
        ids = encode(self.tokenizer, text, "\ue000", after=True) if text else []
        return sum(token in self.ends for token in ids)

    def _open_thought(self, thought: str) -> str:
        says = f"the chat template opens a thought ({thought}) in front of every reply and never closes it"
        for name in SWITCHES:
            if self.template.get(name) is False or name not in plain_source(self.tokenizer):
                continue
            other = Turns(self.tokenizer, ends=self.ends, template={**self.template, name: False}, system=self.system)
            try:
                other._measured(("user",), ("assistant",))
            except ModelError:
                continue
            return f"{says}: set 'template: {{{name}: false}}' for the student"
        return f"{says}, so answers would be trained inside of it: choose a student that answers without thinking"


def plain_source(tokenizer: Any) -> str:
    """Return the chat template of a tokenizer that is used for conversations without tools."""
    found: str = tokenizer.get_chat_template()
    return found


def dated(tokenizer: Any, today: Date) -> str | None:
    """Return the chat template with a fixed date, or None if it writes no date."""
    source = plain_source(tokenizer) if tokenizer.chat_template else ""
    formats = sorted({found[2] for found in _FORMATS.finditer(source)})
    if not formats:
        return None
    known = json.dumps({each: today.strftime(each) for each in formats})
    return f"{{% macro strftime_now(format) %}}{{{{ {known}[format] }}}}{{% endmacro %}}{source}"


_MERGE = (
    "{% if messages | length > 1 and messages[0]['role'] == 'system' and messages[1]['role'] == 'user' %}"
    "{% set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']}]"
    " + messages[2:] %}{% endif %}"
)


def _literal(value: Any) -> str:
    """Return a value as a literal of the template language."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value)


def _roles(messages: Messages) -> tuple[str, ...]:
    return tuple(message.role for message in messages)
