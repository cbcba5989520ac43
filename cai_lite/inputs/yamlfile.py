"""Read YAML files into dataclasses; every fault is reported with its file, line, field and remedy.

A file is read into a `Document`: plain data with the place of each value. `build` converts it to dataclasses by their
type hints and reports all faults at once. Only `yaml.compose` is used, so no tag in a file can create a Python object.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from cai_lite.errors import SHOWN, InputError, did_you_mean, shortened
from cai_lite.inputs.textfile import LARGEST_DOCUMENT, RowFault, check_regular, check_writable, path_of, read_text

T = TypeVar("T")
Keys = tuple[str | int, ...]

DEPTH = 60  # nested lists and sections of a file
BITS = 64  # of a whole number
REMEMBERED = 1 << 17  # characters of a file whose parsed text is kept; the packaged ones are shorter
PACKAGED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# Metadata of a dataclass field that is not read from the file but filled in by `build`.
LINE: Mapping[str, str] = {"filled_with": "line"}
FILE: Mapping[str, str] = {"filled_with": "file"}


class Place(NamedTuple):
    """The place of a value: a file and a line, or a command-line option, which has no line."""

    file: str
    line: int | None


PlaceOf = Callable[[yaml.Node], Place]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dicts, lists, strings, numbers, booleans, None) with the place of each value, by its path of keys."""

    file: str
    data: Any
    places: Mapping[Keys, Place]

    def place(self, keys: Keys) -> Place:
        """Return the place of a value, or of the innermost section that has one."""
        while keys and keys not in self.places:
            keys = keys[:-1]
        return self.places.get(keys, Place(self.file, None))

    def fault(self, keys: Keys, message: str) -> str:
        """Return a message that starts with the place of the value."""
        return str(InputError.at(*self.place(keys), message))


def find_packaged(kind: str, name: str | Path, error: type[InputError]) -> Path:
    """Return the path of a file given by path, or by the name of a packaged one.

    `kind`: the packaged folder, "constitutions" or "recipes".

    Raises:
        InputError: (as `error`) there is no such file.
    """
    path = path_of(name, error)
    with suppress(OSError):  # such as a name that is too long, which `check_regular` reports
        if path.is_file():
            return path
    packaged = packaged_files(kind)
    if isinstance(name, str) and name in packaged:
        return packaged[name]
    if PACKAGED_NAME.fullmatch(str(name)) and not path.exists():
        near = did_you_mean(str(name), packaged)
        raise error(f"'{name}' is neither a file nor a packaged {kind.removesuffix('s')}{near}")
    check_regular(path, error)
    return path


def packaged_files(kind: str) -> dict[str, Path]:
    """Return the packaged YAML files by name. In a checkout, their folder is next to the package, not inside it."""
    package = Path(str(files("cai_lite")))
    inside = package / "_data" / kind
    folder = inside if inside.is_dir() else package.parent / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_document(path: Path, error: type[InputError]) -> Document:
    """Read a YAML file that contains one mapping.

    Raises:
        InputError: (as `error`) the file cannot be read, is too large, is empty, or repeats a key.
    """
    return parse_document(read_text(path, error, LARGEST_DOCUMENT), str(path), error)


def parse_document(text: str, file: str, error: type[InputError]) -> Document:
    """Parse YAML text that contains one mapping; `file` names it in messages.

    Raises:
        InputError: (as `error`) the text is not YAML, is empty, or repeats a key.
    """
    node = _composed(text, file, error)
    if node is None:
        raise error.at(file, None, "the file is empty")
    document = _document(node, file, error)
    if not isinstance(document.data, dict):
        raise error.at(
            file,
            node.start_mark.line + 1,
            f"the file should consist of 'key: value' lines, got {_described(document.data)}",
        )
    return document


def parse_value(text: str, source: str, error: type[InputError], keys: Keys = ()) -> Any:
    """Parse the value of a command-line option as YAML, except that `5e-6` is read as a number.

    `source` and `keys` name the option and the setting in messages.

    Raises:
        InputError: (as `error`) the value is not YAML.
    """
    if _exponent(text.strip()):
        return float(text)
    node = _composed(text, source, error, lines=False)
    return _document(node, source, error, keys, lines=False).data if node is not None else None


def build(document: Document, cls: type[T], error: type[InputError]) -> T:
    """Convert the whole document to the dataclass `cls`.

    Raises:
        InputError: (as `error`) the document does not fit; the message has one line per fault.
    """
    faults: list[str] = []
    value = _build(document, (), document.data, cls, faults)
    if faults:
        raise error("\n".join(faults))
    assert isinstance(value, cls)
    return value


def key_of(field: dataclasses.Field[Any]) -> str:
    """Return the key in the file for a field; the field `from_` has the key `from`, a reserved word in Python."""
    return field.name.rstrip("_")


def dotted(keys: Keys) -> str:
    """Return a path of keys as text: `('principles', 2, 'text')` becomes `principles[2].text`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def _composed(text: str, file: str, error: type[InputError], *, lines: bool = True) -> yaml.Node | None:
    try:
        return _remembered(text) if len(text) <= REMEMBERED else _composed_anew(text)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        raise error.at(file, mark.line + 1 if mark and lines else None, f"not valid YAML: {fault.problem}") from None
    except yaml.YAMLError as fault:
        raise error.at(file, None, f"not valid YAML: {fault}") from None
    except (ValueError, OverflowError) as fault:  # such as the escape "\\UFFFFFFFF", which is no character
        raise error.at(file, None, f"not valid YAML: {fault}") from None


def _composed_anew(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=_Loader)


@lru_cache(maxsize=16)
def _remembered(text: str) -> yaml.Node | None:
    """Return what `_composed_anew` returns: a run reads its files again and again, and nobody changes a node."""
    return _composed_anew(text)


class _Loader(yaml.SafeLoader):
    """A loader that refuses deep nesting, and anchors: an alias may contain itself, or expand to gigabytes."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            problem = "anchors and aliases are not supported; write the value out"
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        if self.depth >= DEPTH:
            deep: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEPTH} levels deep", problem_mark=deep)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _document(node: yaml.Node, file: str, error: type[InputError], keys: Keys = (), *, lines: bool = True) -> Document:
    places: dict[Keys, Place] = {}
    faults: list[str] = []

    def place_of(node: yaml.Node) -> Place:
        return Place(file, node.start_mark.line + 1 if lines else None)

    data = _plain(node, keys, place_of, places, faults)
    if faults:
        raise error("\n".join(faults))
    return Document(file, data, places)


def _plain(node: yaml.Node, keys: Keys, place_of: PlaceOf, places: dict[Keys, Place], faults: list[str]) -> Any:
    place = place_of(node)
    places.setdefault(keys, place)
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(node, keys, place_of, places, faults)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*keys, i), place_of, places, faults) for i, item in enumerate(node.value)]
    try:
        return _scalar(node.value, node.tag, dotted(keys))
    except ValueError as fault:
        faults.append(str(InputError.at(*place, str(fault))))
        return None


def _scalar(text: str, tag: str, name: str) -> Any:
    """Return the value of a scalar; `name`: its path of keys.

    Raises:
        ValueError: the text is not of the kind that the tag says; the message names the value.
    """
    check_writable(text, name)
    kind = tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("str", "timestamp", "value"):
        return text
    if kind == "null":
        return None
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    if kind not in _SCALARS:
        raise ValueError(f"'{name}': the tag {tag[:SHOWN]} is not supported; write plain YAML")
    try:
        value = _SCALARS[kind](yaml.ScalarNode(tag, text))
    except (
        ValueError,
        LookupError,
        OverflowError,
    ):  # such as `!!int x`, `!!bool x`, or the digits of `1:99:` in base 60
        raise ValueError(f"'{name}': '{shown}' is not a valid {kind}; quote it if it is text") from None
    if kind == "int" and value.bit_length() > BITS:
        raise ValueError(f"'{name}': the number {shown} has more than {BITS} bits; quote it if it is text")
    return value


def _plain_mapping(
    node: yaml.MappingNode, keys: Keys, place_of: PlaceOf, places: dict[Keys, Place], faults: list[str]
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = place_of(key_node)
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
            faults.append(str(InputError.at(*place, "a key should be plain text")))
            continue
        name = str(key_node.value)
        try:
            check_writable(name, "the key")
        except RowFault as fault:
            faults.append(str(InputError.at(*place, str(fault))))
            continue
        if name in data:
            first = places[(*keys, name)].line
            faults.append(
                str(InputError.at(*place, f"'{dotted((*keys, name))}' appears twice, first on line {first}; keep one"))
            )
            continue
        places[(*keys, name)] = place
        data[name] = _plain(value_node, (*keys, name), place_of, places, faults)
    return data


def _build(document: Document, keys: Keys, value: Any, hint: Any, faults: list[str]) -> Any:
    """Return `value` converted to the type `hint`; if it does not fit, append to `faults` and return anything."""

    def wrong(expected: str, remedy: str = "") -> None:
        got = f"'{dotted(keys)}' should be {expected}, got {_described(value)}{f' ({remedy})' if remedy else ''}"
        faults.append(document.fault(keys, got))

    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _build_union(document, keys, value, args, faults)
    if origin is Literal:
        if value not in args or isinstance(value, bool) != any(value is arg for arg in args if isinstance(arg, bool)):
            known = ", ".join(str(arg) for arg in args)
            near = did_you_mean(value, map(str, args)) if isinstance(value, str) else ""
            wrong(f"one of {known}", _yaml_boolean(value) or (near[2:] if near.startswith("; did") else ""))
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build_section(document, keys, value, hint, faults)
    if origin in (tuple, list):
        if not isinstance(value, list):
            wrong("a list", "write [a, b], or one line '- a' per item")
            return ()
        return tuple(_build(document, (*keys, i), item, args[0], faults) for i, item in enumerate(value))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, dict):
            wrong("a section of 'key: value' lines")
            return {}
        return {name: _build(document, (*keys, name), item, args[1], faults) for name, item in value.items()}
    if hint is str:
        if not isinstance(value, str):
            wrong(
                "text", _yaml_boolean(value) or ("write it in quotes" if value is not None else "the value is missing")
            )
        return value
    if hint is bool:
        if not isinstance(value, bool):
            wrong("true or false")
        return value
    if hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            wrong("a whole number", _number_mend(value))
        return value
    if hint is float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            wrong("a number", _number_mend(value))
            return value
        if not math.isfinite(value):
            wrong("a finite number")
        return float(value)
    assert False, f"no reading for the type {hint} of {dotted(keys)}"  # noqa: B011  (a slip of ours)


def _build_union(document: Document, keys: Keys, value: Any, args: tuple[Any, ...], faults: list[str]) -> Any:
    if value is None and type(None) in args:
        return None
    kinds = [arg for arg in args if arg is not type(None)]
    for kind in kinds[:-1]:
        tried: list[str] = []
        built = _build(document, keys, value, kind, tried)
        if not tried:
            return built
        # A section with a fault inside is reported for that fault, not for being a section.
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            faults += tried
            return None
    return _build(document, keys, value, kinds[-1], faults)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _build_section(document: Document, keys: Keys, value: Any, cls: type, faults: list[str]) -> Any:
    if not isinstance(value, dict):
        message = f"'{dotted(keys)}' should be a section of 'key: value' lines, got {_described(value)}"
        faults.append(document.fault(keys, message))
        return None
    if hasattr(cls, "section_keys"):
        return _build_open_section(document, keys, value, cls, faults)
    hints = _hints(cls)
    fields = {key_of(field): field for field in dataclasses.fields(cls) if field.init}
    known = {key: field for key, field in fields.items() if "filled_with" not in field.metadata}
    before = len(faults)
    _note_unknown(document, keys, value, known, faults)
    built: dict[str, Any] = {}
    for key, field in fields.items():
        if field.metadata == LINE:
            built[field.name] = document.place(keys).line or 0
        elif field.metadata == FILE:
            built[field.name] = document.file
        elif key not in known:
            continue
        elif key in value:
            built[field.name] = _build(document, (*keys, key), value[key], hints[field.name], faults)
        elif field.default is MISSING and field.default_factory is MISSING:
            faults.append(document.fault(keys, f"'{dotted((*keys, key))}' is missing"))
    return _made(document, keys, value, cls, built, faults) if len(faults) == before else None


def _build_open_section(document: Document, keys: Keys, value: Mapping[str, Any], cls: Any, faults: list[str]) -> Any:
    """Build a section whose keys depend on its content.

    Its class has a method `section_keys(section)`, which returns the type of each key that the section may have, and
    its objects have a method `as_section()`, which returns the section that they are read from.
    """
    before, known = len(faults), cls.section_keys(value)
    _note_unknown(document, keys, value, known, faults)
    built = {
        key: _build(document, (*keys, key), value[key], hint, faults) for key, hint in known.items() if key in value
    }
    return _made(document, keys, value, cls, built, faults) if len(faults) == before else None


def _note_unknown(
    document: Document, keys: Keys, value: Mapping[str, Any], known: Mapping[str, Any], faults: list[str]
) -> None:
    for key in value:
        if key not in known:
            inside = f" in '{dotted(keys)}'" if keys else ""
            faults.append(document.fault((*keys, key), f"unknown key '{key}'{inside}{did_you_mean(key, known)}"))


def _made(
    document: Document, keys: Keys, value: Mapping[str, Any], cls: Any, built: dict[str, Any], faults: list[str]
) -> Any:
    """Return the object of a section; a fault that its own checks raise is noted at the key that it speaks of."""
    try:
        return cls(**built)
    except ValueError as fault:
        named = re.match(r"'?(?:[a-z_]+\.)*([a-z_]+)", str(fault), re.IGNORECASE)
        quoted = re.findall(r"'([^']*)'", str(fault))
        spoken = [named[1] if named else "", *quoted, *(key for key, given in value.items() if given in quoted)]
        inner = next(((*keys, key) for key in spoken if key in value), keys)
        for line in str(fault).splitlines():
            faults.append(document.fault(inner, f"in '{dotted(keys)}': {line}" if keys else line))
        return None


def _described(value: Any) -> str:
    """Return a description of a value for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"text '{value if len(value) <= SHOWN else value[:57] + '...'}'"
    if isinstance(value, (int, float)):
        return f"number {shortened(value)}"
    return "a list" if isinstance(value, list) else "a section"


def _yaml_boolean(value: Any) -> str:
    return "YAML reads yes, no, on and off as true and false; write it in quotes" if isinstance(value, bool) else ""


def _number_mend(value: Any) -> str:
    """Return how to write a number that YAML 1.1 reads as text, since it requires a point and a signed exponent."""
    if not isinstance(value, str):
        return ""
    if match := _exponent(value):
        digits, point, sign, power = match.groups()
        mantissa = f"{digits}{point if point and point != '.' else '.0'}"
        return f"YAML reads {value} as text; write {mantissa}e{sign or '+'}{power}"
    return "remove the quotes" if re.fullmatch(r"[-+]?[0-9.]+", value) else ""


def _exponent(text: str) -> re.Match[str] | None:
    """Match a number with an exponent, as most programming languages write it."""
    return re.fullmatch(r"([-+]?[0-9]+)(\.[0-9]*)?[eE]([-+]?)([0-9]+)", text)


_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_SCALARS: Mapping[
    str, Callable[[yaml.ScalarNode], Any]
] = {  # a call of `construct_object` would keep every node for ever
    "bool": _CONSTRUCTOR.construct_yaml_bool,
    "int": _CONSTRUCTOR.construct_yaml_int,
    "float": _CONSTRUCTOR.construct_yaml_float,
}
