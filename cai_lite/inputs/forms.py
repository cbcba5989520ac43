"""The forms in which public data sets write a preference: each is mapped to a prompt and two sides, or refused.

| form | prompt | sides |
| --- | --- | --- |
| TRL, explicit prompt | `prompt`: messages or text, `system` | `chosen`, `rejected`: messages or text |
| TRL, implicit prompt | what both sides begin with | `chosen`, `rejected`: whole conversations, or texts |
| ShareGPT | `conversations`: `[{from, value}]`, `system` | `chosen`, `rejected`: `{from, value}` |
| question | `question` or `input`, `system`, `history` | `chosen`, `rejected`: text or messages |
| Alpaca | `instruction`, `input`, `system`, `history` | `chosen` or `output`, `rejected`: text |
| OpenAI | `input`: `{messages}` | `preferred_output`, `non_preferred_output`: messages |

Where the sides repeat the prompt, they are cut, so that no question is trained on (except in rows that `save_pairs`
wrote). A column that may belong to the prompt and is not read in a row's form refuses the row; other columns, such as
scores, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import Any

from cai_lite.errors import shortened
from cai_lite.inputs.textfile import RowFault, check_writable
from cai_lite.records import Message, Messages

RAW = ""  # the role of a message that is plain text, to which no chat template is applied
LONGEST = 1_000_000  # characters of a message
ROLES = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_SHAREGPT = {**ROLES, "human": "user", "gpt": "assistant", "observation": "tool"}
# Columns that may belong to the prompt: a row that has one which its form does not read is refused.
PROMPT_COLUMNS = (
    *("prompt", "question", "instruction", "input", "query", "conversations", "conversation", "messages", "system"),
    *("history", "context", "documents", "tools", "images", "image", "videos", "audios", "audio"),
)
_REPEATED = 3  # words of a plain prompt that both sides repeat, from which they are cut

Sides = tuple[Messages, Messages, Messages]


def sides_of(row: Mapping[str, Any]) -> Sides:
    """Return the prompt, the chosen side and the rejected side of a row in one of the forms.

    Raises:
        RowFault: the row is in none of the forms, or one of its values is unusable.
    """
    row = _from_openai(row)
    chosen, rejected = row.get("chosen"), row.get("rejected")
    read = {"chosen", "rejected"}
    if chosen is None and rejected is not None and "instruction" in row and "output" in row:
        chosen, read = row["output"], read | {"output"}
    if chosen is None or rejected is None:
        raise _no_sides(row, "chosen" if chosen is None else "rejected")
    answers = {name: _side(side, name) for name, side in (("chosen", chosen), ("rejected", rejected))}
    form = next((name for name in _FORMS if not is_blank(row.get(name))), "" if row.get("prompt") is None else "prompt")
    prompt: Messages | None = None
    if form:
        reader, companions = _FORMS[form]
        prompt = reader(row)
        read |= {form, *companions}
    made = _joined(prompt, answers["chosen"], answers["rejected"], ours=row.keys() >= {"rule", "parents", "evidence"})
    if (form == "prompt" or (not form and made[0][0].role != RAW)) and not is_blank(row.get("system")):
        made = _with_system(made, _text(row["system"], "system"))
        read.add("system")
    _check_unread(row, read, made)
    _check_sides(made)
    return made


def answered(row: Mapping[str, Any], answers: Mapping[str, Any]) -> tuple[Messages, list[Messages]]:
    """Return the prompt of a row, in any of the forms, and the answers to it that stand in some of its columns.

    `answers`: text or messages, by the name that messages call them; a name begins with that of its column.

    Raises:
        RowFault: the prompt is missing or in no known form, or an answer is blank or not the assistant's.
    """
    form = next((name for name in _FORMS if not is_blank(row.get(name))), "")
    if not form:
        found = ", ".join(sorted(map(str, row))[:20]) or "none"
        raise RowFault("no prompt", f"has no 'prompt'; fields found: {found}")
    reader, companions = _FORMS[form]
    prompt = reader(row)
    read = {form, *companions, *(name.partition("[")[0] for name in answers)}
    sides = [_side(value, name) for name, value in answers.items()]
    if form == "prompt" and not is_blank(row.get("system")):
        asked = (Message("user", prompt[0].content),) if prompt[0].role == RAW else prompt
        prompt, read = _system_first(_text(row["system"], "system"), asked), read | {"system"}
    if not all(message.role == RAW for side in (prompt, *sides) for message in side):
        prompt = tuple(Message("user", m.content) if m.role == RAW else m for m in prompt)
        sides = [tuple(Message("assistant", m.content) if m.role == RAW else m for m in side) for side in sides]
    _check_unread(row, read, (prompt, *sides))
    _check_prompt(prompt)
    for name, side in zip(answers, sides, strict=True):
        _check_side(name, side)
    return prompt, sides


def last_answer(row: Mapping[str, Any]) -> tuple[Messages, Messages]:
    """Return a whole conversation, in the column `messages` or `conversations`, without and with its last answer.

    Raises:
        RowFault: it is no conversation, or does not end with the assistant's message.
    """
    name = "messages" if not is_blank(row.get("messages")) else "conversations"
    value = row[name]
    whole = _messages(value, name, _SHAREGPT if _is_sharegpt(value) else ROLES)
    read = {name}
    if not is_blank(row.get("system")):
        whole, read = _system_first(_text(row["system"], "system"), whole), read | {"system"}
    if whole[-1].role != "assistant" or len(whole) < 2:
        raise RowFault("wrong speaker", f"'{name}' should end with an answer of the assistant to somebody")
    _check_unread(row, read, (whole,))
    _check_prompt(whole[:-1])
    _check_side(name, whole[-1:])
    return whole[:-1], whole[-1:]


def _from_openai(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if "preferred_output" not in row or "non_preferred_output" not in row:
        return row
    asked = row.get("input")
    if not isinstance(asked, Mapping):
        raise RowFault("wrong type", f"'input' should be an object with 'messages', got {shortened(asked)}")
    others = {name: value for name, value in row.items() if name not in ("input", *_OPENAI)}
    renamed = {"prompt": asked.get("messages"), **{name: row[old] for old, name in _OPENAI.items()}}
    return {**others, "tools": asked.get("tools"), **renamed}


_OPENAI = {"preferred_output": "chosen", "non_preferred_output": "rejected"}


def _no_sides(row: Mapping[str, Any], missing: str) -> RowFault:
    if "label" in row or "kto_tag" in row or "completion" in row:
        return RowFault(
            "one answer with a label",
            "one answer with a label, as for KTO, is not a preference pair; "
            "join a good and a bad answer to the same question into 'chosen' and 'rejected'",
        )
    found = ", ".join(sorted(map(str, row))[:20]) or "none"
    return RowFault("no 'chosen' or 'rejected'", f"has no '{missing}'; fields found: {found}")


def _prompt(row: Mapping[str, Any]) -> Messages:
    if isinstance(row["prompt"], str):
        return (Message(RAW, _text(row["prompt"], "prompt")),)
    return _messages(row["prompt"], "prompt", ROLES)


def _conversations(row: Mapping[str, Any]) -> Messages:
    return _asked(row, _messages(row["conversations"], "conversations", _SHAREGPT))


def _alpaca(row: Mapping[str, Any]) -> Messages:
    parts = [_text(row[name], name) for name in ("instruction", "input") if not is_blank(row.get(name))]
    return _asked(row, (Message("user", "\n".join(parts)),))


def _question(row: Mapping[str, Any]) -> Messages:
    name = "question" if not is_blank(row.get("question")) else "input"
    return _asked(row, (Message("user", _text(row[name], name)),))


def _asked(row: Mapping[str, Any], asked: Messages) -> Messages:
    """Return the messages behind those of the columns `system` and `history`."""
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise RowFault("wrong type", f"'history' should be a list of [question, answer], got {shortened(history)}")
    for i, turn in enumerate(reversed(history)):
        name = f"history[{len(history) - 1 - i}]"
        asked = (Message("user", _text(turn[0], name)), Message("assistant", _text(turn[1], name)), *asked)
    if not is_blank(row.get("system")):
        return _system_first(_text(row["system"], "system"), asked)
    return asked


# Which column holds the prompt, how it is read, and which other columns are read with it; the first one decides.
_FORMS: Mapping[str, tuple[Callable[[Mapping[str, Any]], Messages], Collection[str]]] = {
    "prompt": (_prompt, ()),
    "conversations": (_conversations, ("system",)),
    "instruction": (_alpaca, ("input", "system", "history")),
    "question": (_question, ("system", "history")),
    "input": (_question, ("system", "history")),
}


def _side(value: Any, name: str) -> Messages:
    if isinstance(value, str):
        return (Message(RAW, _text(value, name)),)
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        raise RowFault("a list of answers", f"'{name}' is a list of {len(value)} answers; write one row for each pair")
    return _messages(value, name, _SHAREGPT if _is_sharegpt(value) else ROLES)


def _is_sharegpt(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) and "from" in item for item in value)


def _messages(value: Any, name: str, roles: Mapping[str, str]) -> Messages:
    if not isinstance(value, list) or not value:
        raise RowFault("wrong type", f"'{name}' should be a string or a list of messages, got {shortened(value)}")
    return tuple(_message(item, f"{name}[{place}]", roles) for place, item in enumerate(value))


def _in_one(content: Any) -> Any:
    """Return content that is a list of text parts as one string; any other content as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    joined = [text for text in texts if isinstance(text, str)]
    return "".join(joined) if len(joined) == len(content) else content


def _message(item: Any, name: str, roles: Mapping[str, str]) -> Message:
    given = item if isinstance(item, Mapping) else {}
    who, what = ("from", "value") if roles is _SHAREGPT and "from" in given else ("role", "content")
    role, content = given.get(who), _in_one(given.get(what))
    if given.get("tool_calls") or given.get("function_call"):
        raise RowFault("tool calls", f"'{name}' has tool calls, which are not read")
    if not isinstance(role, str) or not isinstance(content, str):
        raise RowFault(
            "wrong type", f'\'{name}\' should be {{"{who}": ..., "{what}": ...}} with strings, got {shortened(item)}'
        )
    if role not in roles:
        *others, last = dict.fromkeys(roles)
        raise RowFault(
            "wrong speaker", f"'{name}.{who}' should be {', '.join(others)} or {last}, got {shortened(role)}"
        )
    return Message(roles[role], _text(content, name))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise RowFault("wrong type", f"'{name}' should be text, got {shortened(value)}")
    if len(value) > LONGEST:
        raise RowFault("too long", f"'{name}' has {len(value):,} characters, more than {LONGEST:,}")
    check_writable(value, name)
    return value


def _joined(prompt: Messages | None, chosen: Messages, rejected: Messages, *, ours: bool) -> Sides:
    """Return prompt and sides in one form, without what the sides repeat of the prompt.

    `ours`: the row was written by `save_pairs`, which repeats nothing.
    """
    plain = [all(m.role == RAW for m in side) for side in (chosen, rejected)]
    if plain[0] != plain[1]:
        raise RowFault("mixed forms", "mixes plain strings and message lists; write both sides in one form")
    if plain[0]:
        return _joined_texts(prompt, chosen, rejected, ours=ours)
    common = _common(chosen, rejected)
    whole = bool(common) and all(side[0].role in ("system", "user") for side in (chosen, rejected))
    if prompt is None:
        if not common:
            message = "has no 'prompt', and 'chosen' and 'rejected' begin with different messages"
            raise RowFault("no prompt", message)
        return common, chosen[len(common) :], rejected[len(common) :]
    if not whole:
        if prompt[0].role == RAW:
            message = "mixes plain strings and message lists; write all sides in one form"
            raise RowFault("mixed forms", message)
        return prompt, chosen, rejected
    asked = tuple(Message("user", m.content) if m.role == RAW else m for m in prompt)
    system = asked[:1] if asked[0].role == "system" and common[0].role != "system" else ()
    if not _occurs(asked[len(system) :], common):
        message = "'chosen' and 'rejected' are whole conversations, and do not begin with the prompt"
        raise RowFault("no prompt", message)
    return system + common, chosen[len(common) :], rejected[len(common) :]


def _joined_texts(prompt: Messages | None, chosen: Messages, rejected: Messages, *, ours: bool) -> Sides:
    good, bad = chosen[0].content, rejected[0].content
    if prompt is None:
        cut = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(good, bad, strict=False)))
        if cut < len(good) or cut < len(bad):
            cut = good.rfind(" ", 0, cut + 1) if " " in good[: cut + 1] else 0  # never inside a word
        return (Message(RAW, good[:cut]),), (Message(RAW, good[cut:]),), (Message(RAW, bad[cut:]),)
    if prompt[0].role == RAW:
        asked = prompt[0].content
        repeated = not ours and len(asked.split()) >= _REPEATED and good.startswith(asked) and bad.startswith(asked)
        if repeated and good[len(asked) :].strip() and bad[len(asked) :].strip():
            good, bad = good[len(asked) :], bad[len(asked) :]
        return prompt, (Message(RAW, good),), (Message(RAW, bad),)
    return prompt, (Message("assistant", good),), (Message("assistant", bad),)


def _common(chosen: Messages, rejected: Messages) -> Messages:
    """Return the messages that both sides begin with; at least one message of each side is left."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))
    return chosen[: min(same, len(chosen) - 1, len(rejected) - 1)]


def _occurs(part: Messages, whole: Messages) -> bool:
    wanted, found = ([(m.role, m.content.strip()) for m in side] for side in (part, whole))
    return any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1))


def _with_system(sides: Sides, system: str) -> Sides:
    """Return the sides with a system message; plain strings become messages, since a system message needs a chat."""
    prompt, chosen, rejected = sides
    if prompt[0].role == RAW:
        prompt = (Message("user", prompt[0].content),)
        chosen, rejected = ((Message("assistant", side[0].content),) for side in (chosen, rejected))
    return _system_first(system, prompt), chosen, rejected


def _system_first(system: str, messages: Messages) -> Messages:
    if messages[0].role != "system":
        return (Message("system", system), *messages)
    if messages[0].content.strip() != system.strip():
        raise RowFault("two system messages", "'system' differs from the system message of the prompt; keep one")
    return messages


def _check_unread(row: Mapping[str, Any], read: Collection[str], made: Sequence[Messages]) -> None:
    """Check that no column that may belong to the prompt is lost; one whose text is part of the row is not."""
    texts = [message.content for side in made for message in side]
    for name in PROMPT_COLUMNS:
        value = row.get(name)
        if name in read or is_blank(value):
            continue
        if isinstance(value, str) and any(value.strip() in text for text in texts):
            continue
        if isinstance(value, list) and all(_known(item, texts) for item in value):
            continue
        raise RowFault(
            "a column that is not read",
            f"the column '{name}' may belong to the prompt, but is not read in this form; "
            "join it to the prompt, or remove the column",
        )


def _known(item: Any, texts: Sequence[str]) -> bool:
    content = item.get("content", item.get("value")) if isinstance(item, Mapping) else item
    return isinstance(content, str) and bool(content.strip()) and any(content.strip() in text for text in texts)


def _check_sides(made: Sides) -> None:
    prompt, chosen, rejected = made
    _check_prompt(prompt)
    _check_side("chosen", chosen)
    _check_side("rejected", rejected)
    if chosen == rejected:
        raise RowFault("equal sides", "'chosen' equals 'rejected', so there is no preference")


def _check_prompt(prompt: Messages) -> None:
    if prompt[0].role != RAW:
        blank = next(
            (place for place, m in enumerate(prompt) if not m.content.strip() and m.role in ("user", "assistant")), None
        )
        if blank is not None:
            raise RowFault("blank text", f"message {blank + 1} of the prompt is empty")
        if prompt[-1].role == "assistant":
            raise RowFault("wrong speaker", "the prompt ends with the assistant's message, so nobody asks")


def _check_side(name: str, side: Messages) -> None:
    if any(not message.content.strip() for message in side):
        raise RowFault("blank text", f"'{name}' is empty")
    if side[0].role not in (RAW, "assistant") or side[-1].role not in (RAW, "assistant"):
        who = side[-1].role if side[-1].role != "assistant" else side[0].role
        raise RowFault("wrong speaker", f"'{name}' should be the assistant's; it has a message of the {who}")


def is_blank(value: Any) -> bool:
    """Return True if a column says nothing: None, blank text, or nothing in it."""
    return not value.strip() if isinstance(value, str) else value is None or value in ([], {})
