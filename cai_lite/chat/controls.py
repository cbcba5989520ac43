"""Keep control tokens that are spelled in a message plain text.

A message is shielded before it goes through the chat template: a mark is put inside every spelling of a control token,
so that the template treats the text as it would without it (trims it, strips earlier thoughts), and what the template
itself writes can be told apart. Then only the stretches of text with a mark are encoded by a copy of the tokenizer
without added tokens; all else is encoded as a server would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from cai_lite.chat.thoughts import MARKS
from cai_lite.records import Messages

_PRIVATE = range(0xE000, 0xF8FF)  # private use: no template changes these characters
_BEFORE = "\uf8ff"  # an added token of the copy, which stands for the control token in front of a stretch
_THOUGHTS = frozenset(mark for marks in MARKS for mark in marks)
_PLAIN: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # copies without added tokens
_CONTROLS: WeakKeyDictionary[Any, _Controls] = WeakKeyDictionary()


def mark_for(messages: Messages) -> str:
    """Return a private-use character that no message contains."""
    used = set().union(*(message.content for message in messages))
    return next(mark for mark in map(chr, _PRIVATE) if mark not in used)


def control_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern that finds the spelling of every control token, the longest first."""
    return _controls(tokenizer).all


def shielded(tokenizer: Any, text: str, mark: str, *, thoughts: bool = True) -> str:
    """Return the text with `mark` inside each spelling of a control token.

    `thoughts`: also inside the marks of a thought; otherwise those stay, so that the template can strip a thought.
    """
    controls = _controls(tokenizer)
    pattern = controls.with_thoughts if thoughts else controls.without_thoughts
    while pattern.search(text):  # a token may begin inside of another one
        text = pattern.sub(lambda found: found[0][0] + mark + found[0][1:], text)
    return text


def encode(tokenizer: Any, text: str, mark: str, *, after: bool = False) -> list[int]:
    """Return the token ids of a rendered text whose messages are shielded with `mark`.

    `after`: the text follows other text, so that it does not begin as the beginning of a text does.
    """
    if after:
        anchor = next((token for token in tokenizer.added_tokens_decoder.values() if _is_anchor(token)), None)
        if anchor is not None:
            first, *ids = encode(tokenizer, anchor.content + text, mark)
            assert first == tokenizer.convert_tokens_to_ids(anchor.content), "a control token is one token"
            return ids
    if mark not in text:
        return _ids(tokenizer, text)
    ids = []
    begin = end = 0  # of what the tokenizer itself encodes
    for found in (*control_pattern(tokenizer).finditer(text), None):
        start = found.start() if found else len(text)
        if mark in text[end:start]:
            ids += _ids(tokenizer, text[begin:end])
            ids += _plain_ids(tokenizer, text[end:start], mark, first=end == 0)
            begin = start
        if found:
            end = found.end()
    return ids + _ids(tokenizer, text[begin:])


class _Controls(NamedTuple):
    """The control tokens of a tokenizer: patterns of their spellings, and their ids."""

    size: int  # of the vocabulary they were read from
    ids: frozenset[int]
    all: re.Pattern[str]
    with_thoughts: re.Pattern[str]
    without_thoughts: re.Pattern[str]


def _controls(tokenizer: Any) -> _Controls:
    known = _CONTROLS.get(tokenizer)
    if known is None or known.size != len(tokenizer):
        added = tokenizer.get_added_vocab()
        known = _CONTROLS[tokenizer] = _Controls(
            len(tokenizer),
            frozenset(added.values()),
            _pattern(set(added)),
            _pattern(set(added) | _THOUGHTS),
            _pattern(set(added) - _THOUGHTS),
        )
    return known


def _pattern(controls: Set[str]) -> re.Pattern[str]:
    known = sorted((token for token in controls if len(token.strip()) > 1), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, known)) or "(?!)")


def _is_anchor(token: Any) -> bool:
    return bool(token.special and not (token.rstrip or token.lstrip or token.single_word))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []


def _plain_ids(tokenizer: Any, stretch: str, mark: str, *, first: bool) -> list[int]:
    """Return the ids of a stretch between two control tokens, none of which is a control token."""
    text = stretch.replace(mark, "")
    plain = _without_added_tokens(tokenizer)
    controls = _controls(tokenizer).ids
    if plain is not None:
        found = plain.encode(text if first else _BEFORE + text, add_special_tokens=False).ids[0 if first else 1 :]
        if not controls & set(found):
            return list(found)
    # The vocabulary itself has the control token as a word: its two parts are encoded one by one.
    return [i for part in stretch.split(mark) for i in _ids(tokenizer, part)]


def _without_added_tokens(tokenizer: Any) -> Any:
    """Return a copy of the tokenizer without added tokens; None where it does not run on the `tokenizers` library."""
    if tokenizer not in _PLAIN:
        _PLAIN[tokenizer] = None
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            from tokenizers import AddedToken, Tokenizer

            settings = json.loads(backend.to_str())
            settings |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
            copy = Tokenizer.from_str(json.dumps(settings))
            copy.add_tokens([AddedToken(_BEFORE, normalized=False, special=True)])
            _PLAIN[tokenizer] = copy
    return _PLAIN[tokenizer]
