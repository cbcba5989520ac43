"""Import policies written by others: convert them to a constitution in their own words, and name what was left out.

Markdown, plain text as pasted from a word processor, JSON and YAML are read. Every line of the file is in a principle,
in a lead-in that was joined with one, in a heading, or in the list of what was not taken, with the reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cai_lite.errors import ConstitutionError
from cai_lite.inputs.importing.documents import read_document
from cai_lite.inputs.importing.entries import KEPT, read_entries
from cai_lite.inputs.importing.parts import Left, Policy, Taken
from cai_lite.inputs.textfile import LARGEST_DOCUMENT, RowFault, check_writable, path_of, read_text

__all__ = ["Left", "Policy", "Taken", "import_constitution", "list_left", "read_policy", "to_yaml"]

_ID_WORDS = 6
_SHOWN = 100  # characters of a line that was left out
_BINARY = {".docx", ".doc", ".odt", ".rtf", ".pdf", ".html", ".htm"}


def import_constitution(path: str | Path, lead_in: str = "") -> str:
    """Return the YAML text of a constitution with the principles of a file, and what was left out as comments.

    `lead_in`: begins each entry of JSON or YAML that is no sentence, such as "The reply contains no".

    Raises:
        ConstitutionError: the file cannot be read, or contains no principle.
    """
    return to_yaml(read_policy(path, lead_in), path)


def read_policy(path: str | Path, lead_in: str = "") -> Policy:
    """Return the principles of a file, its headings and lead-ins, and what became no principle, with the reasons.

    Raises:
        ConstitutionError: the file cannot be read, or contains no principle.
    """
    path = path_of(path, ConstitutionError)
    ending = path.suffix.lower()
    if ending in _BINARY and path.is_file():
        raise ConstitutionError(f"{path}: is not plain text; save it as Markdown or text, or convert it with pandoc")
    text = read_text(path, ConstitutionError, LARGEST_DOCUMENT)
    policy = Policy()
    if ending in (".json", ".jsonl", ".yaml", ".yml"):
        read_entries(path, text, policy, lead_in)
    else:
        read_document(text, policy, plain=ending == ".txt")
    if not policy.taken:
        found = "".join(f"\n  {line}" for line in list_left(policy)[:5])
        raise ConstitutionError(
            f"{path}: contains no principle, that is no sentence that asks something of an assistant; give Markdown, "
            f"JSON, YAML, or plain text with one sentence per line{found}"
        )
    return policy


def to_yaml(policy: Policy, path: str | Path) -> str:
    """Return the YAML text of an imported policy; `path` names its file.

    Raises:
        ConstitutionError: a text contains a character that no file can hold.
    """
    path = Path(path)
    taken: dict[str, int] = {}
    principles = []
    for row in policy.taken:
        source = _source(path, row)
        try:
            for part in (row.text, row.critique, row.revise, source):
                check_writable(part, "the text")
        except RowFault as fault:
            raise ConstitutionError(f"{path}: {source!r}: {fault}") from None
        principle = {"id": _id(row.name or row.text, taken), "text": row.text}
        requests = {"critique": row.critique, "revise": row.revise}
        principles.append({**principle, **{name: said for name, said in requests.items() if said}, "source": source})
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "imported"
    ours = f" The words '{KEPT}' are the importer's." if any(row.text.startswith(KEPT) for row in policy.taken) else ""
    document: dict[str, Any] = {
        "name": name,
        "version": "0.1.0",
        "description": f"Imported from {path.name}, word for word: give each one a priority and an example.{ours}",
        "principles": principles,
    }
    written = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return written + _comments(policy)


def list_left(policy: Policy) -> list[str]:
    """Return one line of text for each part of the policy that became no principle, in the order of the file."""
    return [
        f"line {left.line}: {left.reason}: {_short(left.text)}"
        for left in sorted(policy.left, key=lambda left: left.line)
    ]


def _comments(policy: Policy) -> str:
    headings = [f"line {line}: {' '.join(text.split())}" for line, text in sorted(policy.headings.items())]
    leads = [f"line {line}: {' '.join(text.split())}" for line, text in sorted(policy.leads.items())]
    parts = [
        ("Not taken as principles; if one is a rule, write it as a whole sentence:", list_left(policy)),
        ("Lead-ins, which stand before the items of their lists or in their sources:", leads),
        ("Headings:", headings),
    ]
    shown = [f"# {title}\n" + "".join(f"#   {_commented(line)}\n" for line in lines) for title, lines in parts if lines]
    return "\n" + "#\n".join(shown) if shown else ""


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 3]}..."


def _commented(line: str) -> str:
    """Return a line that a YAML comment can hold."""
    return "".join(mark if mark.isprintable() else " " for mark in line)


def _source(path: Path, row: Taken) -> str:
    first, last = row.lines[0], row.lines[-1]
    where = f"line {first}" if first == last else f"lines {', '.join(map(str, row.lines))}"
    if len(row.lines) > 2 and row.lines == tuple(range(first, last + 1)):
        where = f"lines {first}-{last}"
    under = f", under '{' / '.join(row.under)}'" if row.under else ""
    entry = f"entry {row.entry}, " if row.entry else ""
    return f"{path.name}, {entry}{where}{under}"


def _id(text: str, taken: dict[str, int]) -> str:
    """Return an id of the first words that is not yet a key of `taken`, and add it; its values are the next numbers."""
    words = re.findall(r"[a-z0-9]+", text.removeprefix(KEPT).lower())[:_ID_WORDS]
    name = "-".join(words)[:48].strip("-") or "principle"
    id_ = name
    while id_ in taken:
        taken[name] = max(taken[name], 1) + 1
        id_ = f"{name}-{taken[name]}"
    taken[id_] = 1
    return id_
