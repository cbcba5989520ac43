"""Read the principles of a policy in JSON or YAML: lists, objects, nested categories, critique and revision requests.

The keys are those that published files use: Anthropic's ("prompt", "edit_request"), llm-swarm's ("critic", "revision"),
and those of guard projects ("name", "description", "should_not").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cai_lite.errors import ConstitutionError
from cai_lite.inputs.importing.documents import read_document
from cai_lite.inputs.importing.leads import ended, is_polar, joined, lowered
from cai_lite.inputs.importing.parts import Left, Policy, Taken
from cai_lite.inputs.importing.sentences import bare, negated, why_not
from cai_lite.inputs.textfile import RowFault, read_json, read_rows

CRITIQUES = ("prompt", "critique_request", "critic", "critique")
REVISIONS = ("edit_request", "revision_request", "revision", "revise", "edit")
NAMED_RULES = (
    "text",
    "principle",
    "rule",
    "constitution",
    "guideline",
    "statement",
    "policy",
    "instruction",
    "requirement",
)
DESCRIPTIONS = ("description", "content", "definition", "value", "message", "risk_definition", "body")
NAMES = ("id", "name", "title", "category", "label", "code", "risk_name", "risk", "key")
KEPT = "A reply should need no change when this is asked"
"""Our lead-in for entries that consist of requests alone; the request to revise follows, word for word."""

_EXAMPLES = re.compile(
    r"^(?:few_?shots?|examples?|samples?|system_chat|conversations?|messages|demonstrations?|tests?)$", re.I
)
_MARKS = re.compile(r"^\s*(CritiqueRequest|RevisionRequest):\s*|\s*\b(Critique|Revision|Options):\s*$")
_TURN = re.compile(r"(?:^|\n)\s*(?:Human|User|Assistant|H|A): ", re.I)
_SENTENCE_LIST = re.compile(r"\n\s*(?:[-*•]|\d+[.)])\s+\S")
_DEPTH = 60


class Said(str):
    """A text with the line of the file that it begins in."""

    line: int = 0


def read_entries(path: Path, text: str, policy: Policy, lead_in: str = "") -> None:
    """Add the principles of a JSON, JSONL or YAML file to the policy, with what was left out.

    `lead_in`: begins each entry that is no sentence, such as the definition of a risk.

    Raises:
        ConstitutionError: the file is no valid JSON or YAML, or holds neither a list nor an object.
    """
    content = _yaml(path, text) if path.suffix.lower() in (".yaml", ".yml") else _json(path, text)
    if content is None:
        return
    if not isinstance(content, (Mapping, Sequence)) or isinstance(content, str):
        kind = type(content).__name__ if not isinstance(content, str) else "str"
        raise ConstitutionError(f"{path}: should contain a list or an object of principles, got {kind}")
    _Entries(text, policy, lead_in).read(content, (), "")


class _Entries:
    def __init__(self, text: str, policy: Policy, lead_in: str) -> None:
        self.text, self.policy, self.lead_in = text, policy, lead_in
        self.line, self.entry = 1, ""

    def read(self, value: Any, under: tuple[str, ...], key: str) -> None:
        if len(under) > _DEPTH:
            raise ConstitutionError("nested too deeply")
        if isinstance(value, str):
            self._text(value, under, key)
        elif isinstance(value, Mapping):
            self._object(value, under, key)
        elif isinstance(value, Sequence):
            self._list(value, under, key)
        elif value is not None:
            self._leave(str(value), f"the field '{key}', which holds no text" if key else "not a text")

    def _list(self, values: Sequence[Any], under: tuple[str, ...], key: str) -> None:
        title = _words(key)
        for number, value in enumerate(values, 1):
            self.entry = str(number) if not under else self.entry
            if isinstance(value, str) and title and is_polar(title):
                self._polar(value, under, title)
            else:
                self.read(value, under, key)

    def _polar(self, value: str, under: tuple[str, ...], title: str) -> None:
        combined = joined(title[:1].upper() + title[1:], value, self.text, title=True)
        if why_not(combined) and not negated(title):
            self._leave(value, why_not(combined))
        else:
            self._take(combined, value, under)

    def _object(self, entry: Mapping[str, Any], under: tuple[str, ...], key: str) -> None:
        if {"role", "content"} <= entry.keys():
            self._leave_all(entry, "an example conversation")
            return
        name = _first(entry, NAMES)
        if not name and under and under[-1] == _words(key):
            name, under = Said(_words(key)), under[:-1]
        title = next(
            (
                entry[one]
                for one in ("name", "title", "category", "label", "risk_name", "risk")
                if _is_text(entry.get(one))
            ),
            name,
        )
        critiques, revision = _texts(entry, CRITIQUES), _first(entry, REVISIONS)
        used = {one for one in NAMES if _is_text(entry.get(one))}
        own = _first(entry, NAMED_RULES)
        if own or (critiques and revision):
            used |= {
                one
                for one in (*CRITIQUES, *REVISIONS, *NAMED_RULES)
                if one in entry and (_is_text(entry[one]) or one in CRITIQUES)
            }
            self._requests(own, critiques, revision, (*under, title) if title and own else under, name)
        else:
            if revision or (critiques and "prompt" not in entry):
                used |= {one for one in (*CRITIQUES, *REVISIONS) if one in entry}
                self._requests("", critiques, revision, under, name)
            told = _first(entry, DESCRIPTIONS)
            if told:
                used |= {one for one in DESCRIPTIONS if entry.get(one) is told}
                self._text(told, (*under, title) if title else under, "description", name=name)
            elif name and not any(isinstance(value, (Mapping, list)) for value in entry.values()) and not why_not(name):
                self._text(name, under, "name")
        inner = (*under, str(title)) if title else under
        for field, value in entry.items():
            if field in used or value is None:
                continue
            if _EXAMPLES.match(str(field)):
                self._leave_all(value, "an example")
            elif _is_text(value) and (title or own or critiques) and not is_polar(_words(field)):
                self._leave(value, f"the field '{field}', which is not read as a principle")
            elif _is_text(value):
                self._text(value, (*inner, _words(field)), str(field))
            elif isinstance(value, (Mapping, list)):
                self.policy.headings.setdefault(_line_in(value) or self.line, _words(field))
                grouped = field in ("principles", "constitutions", "rules", "categories", "policies", "items", "data")
                polar = is_polar(_words(field))
                self.read(value, inner if grouped or polar else (*inner, _words(field)), str(field))
            elif not isinstance(value, bool) or field not in ("always", "enabled"):
                self._leave(str(value), f"the field '{field}', which is not read as a principle")

    def _requests(self, own: str, critiques: Sequence[str], revision: str, under: tuple[str, ...], name: str) -> None:
        """Take an entry with requests; without a text of its own, the request to revise says what a reply needs."""
        for critique in critiques or [""]:
            asked, revise = self._unmarked(critique), self._unmarked(revision)
            text = self._unmarked(own) if own else (ended(f"{KEPT}: {revise}") if revise else asked)
            at = next((said for said in (own, critique, revision) if said), "")
            self._take(text, at, under, critique=asked, revise=revise, name=str(name))

    def _text(self, value: str, under: tuple[str, ...], key: str, name: str = "") -> None:
        if _TURN.search(value) and "\n" in value.strip():
            self._leave(value, "an example conversation")
            return
        if _SENTENCE_LIST.search(value.strip()):
            read_document(value.strip(), self.policy, first=_line(value) or self.line, under=under)
            return
        text = self._unmarked(value)
        explicit = key in NAMED_RULES
        reason = why_not(text, scrap=explicit)
        if reason and self.lead_in and not negated(text):
            text, reason = ended(f"{self.lead_in} {lowered(bare(text), self.text)}"), ""
        if reason:
            self._leave(value, reason)
        else:
            self._take(text, value, under, name=str(name))

    def _unmarked(self, value: str) -> str:
        """Return a request without the marks of the transcript that it was cut from, which are named as left out."""
        text = value.strip()
        while mark := _MARKS.search(text):
            note = f"'{mark[0].strip()}'"
            if not any(left.text == note for left in self.policy.left):
                self.policy.left.append(Left(_line(value) or self.line, note, "a mark of a transcript, here and below"))
            text = (text[: mark.start()] + text[mark.end() :]).strip()
        return text

    def _take(
        self, text: str, at: str, under: tuple[str, ...], *, critique: str = "", revise: str = "", name: str = ""
    ) -> None:
        self.line = _line(at) or self.line
        self.policy.taken.append(
            Taken(
                text=text,
                lines=(self.line,),
                under=tuple(map(str, under)),
                critique=critique,
                revise=revise,
                name=name,
                entry=name or self.entry,
            )
        )

    def _leave(self, text: str, reason: str) -> None:
        self.line = _line(text) or self.line
        self.policy.left.append(Left(self.line, str(text), reason))

    def _leave_all(self, value: Any, reason: str) -> None:
        for text in _all_texts(value):
            self._leave(text, reason)


def _json(path: Path, text: str) -> Any:
    content: Any
    if path.suffix.lower() == ".jsonl":
        content = []
        for number, row in read_rows(path, ConstitutionError):
            if isinstance(row, RowFault):
                raise ConstitutionError(f"{path}:{number}: {row}")
            content.append(row)
    elif text.strip():
        content = read_json(path, ConstitutionError)
    else:
        return None
    return _Placed(text).placed(content)


class _Placed:
    """Give each text of a JSON document its line; they are found in the order of the file."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.counted, self.line = text, 0, 0, 1

    def placed(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._said(value)
        if isinstance(value, dict):
            return {self._said(key): self.placed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.placed(inner) for inner in value]
        return value

    def _said(self, value: str) -> Said:
        said = Said(value)
        forms = (json.dumps(value, ensure_ascii=False), json.dumps(value))
        found = [place for form in forms if (place := self.text.find(form, self.place)) >= 0]
        if found:
            place = min(found)
            self.line += self.text.count("\n", self.counted, place)
            self.counted, self.place = place, place + 1
        said.line = self.line
        return said


def _yaml(path: Path, text: str) -> Any:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _value(node, 0)
    except yaml.YAMLError as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", 0) + 1
        raise ConstitutionError.at(path, line, f"not valid YAML: {getattr(fault, 'problem', fault)}") from None
    except (RecursionError, RowFault):
        raise ConstitutionError(f"{path}: nested too deeply") from None


def _value(node: yaml.Node, depth: int) -> Any:
    if depth > _DEPTH:
        raise RowFault("nested too deeply", "nested too deeply")
    if isinstance(node, yaml.MappingNode):
        return {_said(key): _value(value, depth + 1) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_value(value, depth + 1) for value in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else _said(node)


def _said(node: yaml.Node) -> Said:
    said = Said(node.value)
    said.line = node.start_mark.line + (2 if getattr(node, "style", None) in ("|", ">") else 1)
    return said


def _first(entry: Mapping[str, Any], keys: Sequence[str]) -> str:
    return next((entry[key] for key in keys if _is_text(entry.get(key))), "")


def _texts(entry: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return the texts of the first of these keys that has any; Anthropic's files hold them in a list."""
    for key in keys:
        value = entry.get(key)
        given: list[Any] = value if isinstance(value, list) else [value]
        found = [one for one in given if _is_text(one)]
        if found and (key != "prompt" or isinstance(value, list) or _first(entry, REVISIONS)):
            return found
    return []


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _all_texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _all_texts(inner)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _line_in(value: Any) -> int:
    return next((_line(text) for text in _all_texts(value)), 0)


def _line(text: str) -> int:
    return text.line if isinstance(text, Said) else 0


def _words(key: Any) -> str:
    return re.sub(r"[_-]+", " ", str(key)).strip()
