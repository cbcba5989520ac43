"""Write a first constitution from a few answers: `cai-lite constitution new`. No model is needed.

Five principles come of it: what the assistant always does, what it never does, what it says when it cannot help, what
it does with other subjects, and how a reply is written. Each has the example that was given for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from cai_lite.errors import ConstitutionError, InputError, did_you_mean
from cai_lite.inputs.importing.leads import ended, lowered
from cai_lite.inputs.importing.sentences import is_request
from cai_lite.inputs.textfile import RowFault, check_writable
from cai_lite.inputs.yamlfile import read_document

Ask = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about a principle. `lead`: begins its text where the answer is no sentence of its own."""

    id: str
    asks: str
    lead: str


PURPOSE = "What is the assistant for, and for whom? (such as: booking rooms, for guests of our hotel)"
QUESTIONS = (
    Question(id="always", asks="What must it always do?", lead="Always"),
    Question(id="never", asks="What must it never do?", lead="Never"),
    Question(
        id="cannot-help",
        asks="What should it say or do when it does not know, or cannot help?",
        lead="When the answer is not known or the assistant cannot help,",
    ),
    Question(
        id="other-subjects",
        asks="What should it do when somebody asks about something else?",
        lead="When a request is about something else,",
    ),
    Question(
        id="form", asks="How should a reply be written? (such as: in at most five sentences)", lead="Write replies"
    ),
)
IDS = tuple(question.id for question in QUESTIONS)
FIRST = f"Where two of these clash, which wins? Name them, the strongest first, from: {', '.join(IDS)} [never, always]"
_PARTS = {
    "prompt": "  An example of a request where this matters (Enter for none):",
    "good": "  A good reply to it:",
    "bad": "  A bad reply to it:",
}
_MODAL = re.compile(r"\b(?:must|should|shall|has to|needs to|replies|reply|answers?|the assistant)\b", re.IGNORECASE)


def interview(ask: Ask, *, again: bool) -> dict[str, Any]:
    """Return the answers, as an answers file holds them.

    `ask`: put a question and return the answer, one line. `again`: an empty answer that is needed is asked for again,
    as at a terminal, and is an error otherwise.

    Raises:
        InputError: an answer is missing.
    """
    answers: dict[str, Any] = {"purpose": _needed(ask, PURPOSE, again)}
    for question in QUESTIONS:
        entry = {"text": _needed(ask, question.asks, again)}
        if prompt := ask(_PARTS["prompt"]).strip():
            entry |= {"prompt": prompt, **{part: _needed(ask, _PARTS[part], again) for part in ("good", "bad")}}
        answers[question.id] = entry
    while True:
        answers["first"] = ask(FIRST).strip()
        try:
            _order(answers["first"])
        except InputError:
            if not again:
                raise
        else:
            return answers


def read_answers(path: Path) -> dict[str, Any]:
    """Return the answers of a YAML file: purpose, first, and for each question a text or {text, prompt, good, bad}.

    Raises:
        ConstitutionError: the file is invalid, has an unknown key or lacks an answer.
    """
    document = read_document(path, ConstitutionError)
    known = ("purpose", "first", *IDS)
    answers: dict[str, Any] = {"first": ""}
    for key, value in document.data.items():
        if key not in known:
            raise ConstitutionError(document.fault((key,), f"unknown key '{key}'{did_you_mean(str(key), known)}"))
        if key in IDS:
            value = {"text": value} if isinstance(value, str) else value
            if not isinstance(value, Mapping) or not all(isinstance(part, str) for part in value.values()):
                raise ConstitutionError(
                    document.fault((key,), f"'{key}' should be a text or have text, prompt, good, bad")
                )
            if unknown := set(value) - {"text", *_PARTS}:
                raise ConstitutionError(document.fault((key,), f"'{key}' has the unknown key '{min(unknown)}'"))
            if value.get("prompt") and not value.get("good"):
                raise ConstitutionError(document.fault((key,), f"the example of '{key}' lacks 'good', a good reply"))
        elif isinstance(value, list) and key == "first":
            value = ", ".join(map(str, value))
        answers[key] = value
    for key in ("purpose", *IDS):
        text = answers.get(key) if key == "purpose" else answers.get(key, {}).get("text")
        if not isinstance(text, str) or not text.strip():
            raise ConstitutionError(f"{path}: no answer for '{key}': {_asked(key)}")
    return answers


def written(answers: Mapping[str, Any], name: str) -> str:
    """Return the YAML text of the constitution with this name.

    Raises:
        InputError: an answer contains a character that no file can hold, or `first` names no principle.
    """
    order = _order(answers["first"])
    principles = []
    for question in QUESTIONS:
        given = answers[question.id]
        entry: dict[str, Any] = {"id": question.id, "text": _sentence(question, given["text"])}
        entry["priority"] = order.index(question.id) + 1
        if given.get("prompt"):
            entry["examples"] = [{part: given[part].strip() for part in _PARTS if given.get(part)}]
        principles.append({**entry, "source": "The answers given to `cai-lite constitution new`."})
    named = _named(answers["first"]) or ["never", "always"]
    document: dict[str, Any] = {
        "name": name,
        "version": "0.1.0",
        "description": ended(f"An assistant for this: {answers['purpose'].strip()}"),
        "principles": principles,
        "conflicts": [{"between": [a, b], "prefer": a} for a, b in pairwise(named)],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    try:
        check_writable(text, "an answer")
    except RowFault as fault:
        raise InputError(str(fault)) from None
    return text


def file_and_name(given: str) -> tuple[Path, str]:
    """Return the file to write and the name of the constitution, for a file or a name.

    Raises:
        InputError: there is such a file already, or no name can be made of it.
    """
    path = Path(given) if given.endswith((".yaml", ".yml")) else Path(f"{given}.yaml")
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    if not name:
        raise InputError(f"'{given}' is no name; use letters and digits, such as hotel-assistant")
    if path.exists():
        raise InputError(f"{path} exists already; give another name")
    return path, name


def _needed(ask: Ask, question: str, again: bool) -> str:
    while not (answer := ask(question).strip()):
        if not again:
            raise InputError(f"no answer to: {question.strip()}")
    return answer


def _asked(key: str) -> str:
    return PURPOSE if key == "purpose" else next(question.asks for question in QUESTIONS if question.id == key)


def _sentence(question: Question, answer: str) -> str:
    """Return the answer as a whole sentence: itself, if it is one, or after the lead of its question."""
    said = " ".join(answer.split())
    begun = said.lower().startswith(("always ", "never ", "do not ", "don't ", "if ", "when "))
    whole = begun or _MODAL.search(said) is not None or (question.id == "form" and is_request(said))
    return ended(said[0].upper() + said[1:] if whole else f"{question.lead} {lowered(said, '')}")


def _named(first: str) -> list[str]:
    return [word for word in re.split(r"[\s,>]+", first.lower()) if word and word != "over"]


def _order(first: str) -> list[str]:
    """Return all ids, those that were named first."""
    named = _named(first) or ["never", "always"]
    for word in named:
        if word not in IDS:
            raise InputError(f"'{word}' is none of {', '.join(IDS)}{did_you_mean(word, IDS)}")
    return [*dict.fromkeys(named), *(id_ for id_ in IDS if id_ not in named)]
