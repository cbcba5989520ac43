"""JSON Schemas (draft 2020-12) of the dataclasses that `inputs.yamlfile` builds, so that editors complete and check.

What `yamlfile.build` refuses as an unknown key, a missing one or a wrong type, the schema refuses, too; ranges and what
several values say together are left to the reader. A field with the metadata `one_of` names the values that its text
may have. Descriptions are those of the docstrings: a paragraph that begins with the field's name in backticks.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cai_lite.inputs.yamlfile import key_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_FIELD = re.compile(r"(?:(?<=\s)|^)((?:`\w+`, )*`\w+`): ")  # in a docstring: `name`: text

Schema = dict[str, Any]


class Definitions:
    """The schemas of dataclasses, each once, by name."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def section(self, cls: type, *, changes: bool = False) -> Schema:
        """Return a reference to the schema of a section.

        `changes`: of what is laid over a section, key by key: no key is missing, and an item of a list may be named by
        its number.
        """
        name = cls.__name__ + (".changes" if changes else "")
        if name not in self.found:
            self.found[name] = {}  # a section may hold itself
            self.found[name] = self._kinds(cls, changes) if hasattr(cls, "section_kinds") else self._plain(cls, changes)
        return {"$ref": f"#/$defs/{name}"}

    def of(self, hint: Any, *, changes: bool = False, one_of: Iterable[str] | None = None) -> Schema:
        """Return the schema of a type hint, as `yamlfile.build` reads it."""
        origin, args = get_origin(hint), get_args(hint)
        if hint is Any:
            return {}
        if origin in (Union, types.UnionType):
            kinds = [self.of(arg, changes=changes, one_of=one_of) for arg in args]
            return {"anyOf": kinds}
        if origin is Literal:
            return {"enum": list(args)}
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self.section(hint, changes=changes)
        if origin in (tuple, list):
            items = self.of(args[0], changes=changes, one_of=one_of)
            whole: Schema = {"type": "array", "items": items}
            if not changes:
                return whole
            by_number = {"type": "object", "propertyNames": {"pattern": "^[0-9]+$"}, "additionalProperties": items}
            return {"anyOf": [whole, by_number]}
        if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
            return {"type": "object", "additionalProperties": self.of(args[1], changes=changes)}
        if hint is str and one_of is not None:
            return {"enum": sorted(one_of)}
        return {"type": _PLAIN[hint]}

    def _plain(self, cls: Any, changes: bool) -> Schema:
        hints, told = get_type_hints(cls), _descriptions(cls)
        fields = [f for f in dataclasses.fields(cls) if f.init and "filled_with" not in f.metadata]
        properties: Schema = {}
        for field in fields:
            schema = self.of(hints[field.name], changes=changes, one_of=field.metadata.get("one_of"))
            if told.get(key_of(field)):
                schema = {"description": told[key_of(field)], **schema}
            if isinstance(field.default, (str, int, float)):
                schema = {**schema, "default": field.default}
            properties[key_of(field)] = schema
        needed = [key_of(f) for f in fields if f.default is MISSING and f.default_factory is MISSING]
        return {
            "description": _first(cls),
            "type": "object",
            "properties": properties,
            **({"required": needed} if needed and not changes else {}),
            "additionalProperties": False,
        }

    def _kinds(self, cls: Any, changes: bool) -> Schema:
        """Return the schema of a section of which one key says which others there may be."""
        key, default, kinds = cls.section_kinds()
        every: Schema = {name: {} for keys in kinds.values() for name in keys}
        named = {**every, key: {"enum": list(kinds)}}
        schema: Schema = {"description": _first(cls), "type": "object", "properties": named}
        if changes:  # the kind may stand in the section that is changed
            return {**schema, "additionalProperties": False}
        chosen = []
        for kind, keys in kinds.items():
            own = {name: self.of(hint) for name, hint in keys.items()}
            is_it: Schema = {"properties": {key: {"const": kind}}, **({} if kind == default else {"required": [key]})}
            chosen.append({"if": is_it, "then": {"properties": {key: {}, **own}, "additionalProperties": False}})
        return {**schema, "allOf": chosen}


def schema_of(cls: type, title: str) -> Schema:
    """Return the schema of a file that `yamlfile.build` converts to the dataclass `cls`."""
    definitions = Definitions()
    return written(title, definitions.section(cls), definitions)


def written(title: str, root: Schema, definitions: Definitions) -> Schema:
    """Return a whole schema with its definitions."""
    return {"$schema": DIALECT, "title": title, **root, "$defs": definitions.found}


def _descriptions(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class and of those that it extends say of each field."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        text = re.sub(r"\n\s*\n(?!\s*`)", "\x00", each.__doc__ or "")  # a paragraph that begins with no field ends one
        parts = _FIELD.split(" ".join(text.split(" ")))
        for names, said in zip(parts[1::2], parts[2::2], strict=True):
            line = " ".join(said.partition("\x00")[0].split())
            found |= dict.fromkeys(re.findall(r"\w+", names), line)
    return found


def _first(cls: type) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
