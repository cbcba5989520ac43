"""Preference pairs of any number: many of them are kept in an Arrow file instead of in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cai_lite.records import Message, Messages, PreferencePair
from cai_lite.run.mapped import Form

# The evidence is for people, not for training.
_FIELDS = ("key", "principle", "p_chosen", "margin", "rule", "family", "weight")


def _features() -> Any:
    from datasets import Value  # type: ignore[import-untyped]

    return {"pair": Value("string")}


def _pack(pairs: Sequence[PreferencePair]) -> dict[str, list[Any]]:
    return {"pair": [_line(pair) for pair in pairs]}


def _line(pair: PreferencePair) -> str:
    more = {name: getattr(pair, name) for name in (*_FIELDS, "parents")}
    return json.dumps([pair.prompt, pair.chosen, pair.rejected, more])


def _unpack(table: Any) -> list[PreferencePair]:
    return [_pair(*json.loads(line)) for line in table.column("pair").to_pylist()]


def _pair(prompt: Any, chosen: Any, rejected: Any, more: dict[str, Any]) -> PreferencePair:
    more["parents"] = tuple(more["parents"])
    return PreferencePair(prompt=_side(prompt), chosen=_side(chosen), rejected=_side(rejected), **more)


def _side(messages: list[list[str]]) -> Messages:
    return tuple(Message(*message) for message in messages)


FORM: Form[PreferencePair] = Form(_features, _pack, _unpack)
