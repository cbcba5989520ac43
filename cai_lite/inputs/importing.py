"""Import policies written by others: convert them to a constitution, sentence by sentence, with their sources.

Four forms are read: plain text with one sentence per line; JSON with critique and revision requests ("Constitutional
AI", Bai et al. 2022); a JSON list of sentences or of questions that compare two replies; and a Markdown policy. No
sentence is changed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cai_lite.errors import ConstitutionError
from cai_lite.inputs.textfile import (
    LARGEST_DOCUMENT,
    RowFault,
    check_writable,
    path_of,
    read_json,
    read_rows,
    read_text,
)

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*)$")
_BULLET = re.compile(r"^(\s*)(?:[-*+]|\d+[.)])\s+(.*)$")
_RULE = re.compile(r"^\s*(?:[-*_]\s*){3,}$")
_UNDERLINE = re.compile(r"^\s*(?:=+|-+)\s*$")
_ID_WORDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One imported principle: `text` is verbatim, `source` names the file, the line and the heading."""

    text: str
    source: str
    critique: str = ""
    revise: str = ""
    name: str = ""


def import_constitution(path: str | Path) -> str:
    """Return the YAML text of a constitution that contains every principle of the file, verbatim.

    Raises:
        ConstitutionError: the file cannot be read, or contains no principle.
    """
    path = path_of(path, ConstitutionError)
    text = read_text(path, ConstitutionError, LARGEST_DOCUMENT)
    rows = _json(path, text) if path.suffix.lower() in (".json", ".jsonl") else _lines(path, text)
    if not rows:
        raise ConstitutionError(
            f"{path}: contains no principle; give Markdown, JSON, or plain text with one sentence per line"
        )
    taken: dict[str, int] = {}
    principles = []
    for row in rows:
        try:
            for part in (row.text, row.critique, row.revise, row.source):
                check_writable(part, "the text")
        except RowFault as fault:
            raise ConstitutionError(f"{path}: {row.source!r}: {fault}") from None
        id_ = _id(row.name or row.text, taken)
        principles.append(
            {
                "id": id_,
                "text": row.text,
                **({"critique": row.critique} if row.critique else {}),
                **({"revise": row.revise} if row.revise else {}),
                "source": row.source,
            }
        )
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "imported"
    document = {
        "name": name,
        "version": "0.1.0",
        "description": f"Imported from {path.name}, word for word: give every principle a priority and an example.",
        "principles": principles,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _json(path: Path, text: str) -> list[Imported]:
    content: Any = None
    if path.suffix.lower() == ".jsonl":
        content = []
        for number, row in read_rows(path, ConstitutionError):
            if isinstance(row, RowFault):
                raise ConstitutionError(f"{path}:{number}: {row}")
            content.append(row)
    elif text.strip():
        content = read_json(path, ConstitutionError)
    else:
        return []
    if not isinstance(content, (dict, list)):
        raise ConstitutionError(
            f"{path}: should contain a list or an object of principles, got {type(content).__name__}"
        )
    if isinstance(content, dict) and isinstance(content.get("principles"), list):
        content = content["principles"]
    entries = list(content.items()) if isinstance(content, dict) else [("", entry) for entry in content]
    rows = []
    for number, (name, entry) in enumerate(entries, 1):
        where = f"{path.name}, entry {name or number}"
        line = _line_of(text, entry)
        rows.append(_entry(f"{where}, line {line}" if line else where, str(name), entry, path))
    return rows


def _entry(source: str, name: str, entry: Any, path: Path) -> Imported:
    if isinstance(entry, str) and entry.strip():
        return Imported(text=entry, source=source, name=name)
    if isinstance(entry, dict):
        texts = {key: value for key, value in entry.items() if isinstance(value, str) and value.strip()}
        critique = texts.get("prompt") or texts.get("critique_request") or texts.get("critic") or texts.get("critique")
        revise = texts.get("edit_request") or texts.get("revision_request") or texts.get("revision") or ""
        text = texts.get("text") or texts.get("principle") or critique
        if text:
            return Imported(
                text=text, source=source, critique=critique or "", revise=revise, name=name or texts.get("id", "")
            )
    found = json.dumps(entry, ensure_ascii=False)[:60]
    raise ConstitutionError(
        f"{path}: {source}: should be a sentence, or an object with 'text', with 'prompt' and 'edit_request', "
        f"or with 'critique' and 'revision', got {found}"
    )


def _line_of(text: str, entry: Any) -> int:
    """Return the line of an entry's first text in the file, or 0 if it is not found."""
    first = entry if isinstance(entry, str) else next(iter(entry.values()), "") if isinstance(entry, dict) else ""
    place = text.find(json.dumps(first, ensure_ascii=False)[1:-1][:80]) if isinstance(first, str) and first else -1
    if place < 0 and isinstance(first, str) and first:
        place = text.find(json.dumps(first)[1:-1][:80])
    return text.count("\n", 0, place) + 1 if place >= 0 else 0


def _lines(path: Path, text: str) -> list[Imported]:
    """Read Markdown or plain text: a bullet point with its continuation lines is a principle, and so is a paragraph."""
    markdown = path.suffix.lower() in (".md", ".markdown") or any(_HEADING.match(line) for line in text.splitlines())
    rows: list[Imported] = []
    heading, begun, kept = "", 0, list[str]()

    def close() -> None:
        if kept:
            under = f", under '{heading}'" if heading else ""
            rows.append(Imported(text=" ".join(kept), source=f"{path.name}, line {begun}{under}"))
            kept.clear()

    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if markdown and line.lstrip().startswith("```"):
            fenced = not fenced
        if markdown and not fenced and len(kept) == 1 and begun == number - 1 and _UNDERLINE.match(line):
            heading = kept.pop()  # the line above is a heading
            continue
        if not line.strip() or (markdown and not fenced and _RULE.match(line)):
            close()
            continue
        if markdown and not fenced and (title := _HEADING.match(line)):
            close()
            heading = title[1].rstrip().rstrip("#").rstrip()
            continue
        bullet = _BULLET.match(line) if not fenced else None
        if bullet or not markdown:
            close()
        if not kept:
            begun = number
        kept.append((bullet[2] if bullet else line).strip())
    close()
    return rows


def _id(text: str, taken: dict[str, int]) -> str:
    """Return an id of the first words that is not yet a key of `taken`, and add it; its values are the next numbers."""
    words = re.findall(r"[a-z0-9]+", text.lower())[:_ID_WORDS]
    name = "-".join(words)[:48].strip("-") or "principle"
    id_ = name
    while id_ in taken:
        taken[name] = max(taken[name], 1) + 1
        id_ = f"{name}-{taken[name]}"
    taken[id_] = 1
    return id_
