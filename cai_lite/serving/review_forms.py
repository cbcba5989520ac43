"""Decisions to and from other tools: plain JSONL, Argilla's records, Label Studio's tasks.

Each form holds the same for every item: its key, the texts as fields, and for each person the answers to a few
questions. Texts to choose from bear letters that a toss of a coin decides. What the judge said is left out, so that it
leads nobody there, either.

| question | answer |
| --- | --- |
| `decision` | a, b or tie; keeps or breaks; of candidates to rank a list of ranks; skip, flag |
| `confidence` | 0, a guess, to 10, sure |
| `edit_a`, `edit_b`, ... | the text as this person would have written it |
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from cai_lite.errors import InputError, LabelError, did_you_mean, shortened
from cai_lite.inputs.human import iso
from cai_lite.inputs.labels import seconds
from cai_lite.inputs.textfile import RowFault, read_rows
from cai_lite.run.files import write_lines
from cai_lite.serving.review_items import Item
from cai_lite.serving.reviewing import ASIDE, CHOICES, Decision, Review, coin

LETTERS = "abcdefghi"
_NAMED_OTHERWISE = {"first", "second", "ranks"}

Answers = dict[str, Any]
"""The answers of one person by question, with `at` where the form keeps times."""


class Record(NamedTuple):
    """An item in any form: key, texts by field, and answers by person."""

    key: str
    fields: Mapping[str, str]
    answers: Mapping[str, Answers]


def export_review(review: Review, path: Path, form: str) -> int:
    """Write the items of a review with all decisions on them; return how many items.

    Raises:
        InputError: the form is unknown, or has no place for rankings. DiskError: the file cannot be written.
    """
    _check_form(review, form)
    by_item: dict[str, list[Decision]] = defaultdict(list)
    for (key, _), decision in review.decisions.items():
        if decision.choice or decision.edit:
            by_item[key].append(decision)

    def records() -> Iterable[Record]:
        for place, key in enumerate(review.keys):
            item = review.item(place)
            yield Record(key, _fields(item), {one.by: _answers(item, one) for one in by_item[key]})

    if form == "jsonl":
        write_lines(path, (json.dumps(_plain(record), ensure_ascii=False) + "\n" for record in records()))
    else:
        made = _FORMS[form]
        rows = (json.dumps(made(place, record), ensure_ascii=False) for place, record in enumerate(records(), 1))
        write_lines(path, _listed(rows))
    return len(review.keys)


def import_review(review: Review, path: Path, form: str) -> int:
    """Take the decisions of a file, and return how many are new; one that is known already changes nothing.

    Nothing is taken if a record is invalid.

    Raises:
        InputError: the form is unknown. LabelError: the file cannot be read, or a record is invalid, with its line.
    """
    _check_form(review, form)
    names = {str(_user_id(by)): by for _, by in review.decisions}
    found: list[Decision] = []
    for line, row in read_rows(path, LabelError):
        try:
            if isinstance(row, RowFault):
                raise row
            key, answers = _READERS[form](row)
            if key not in review.places:
                raise RowFault("unknown item", f"{shortened(key)} is no item of this review ({review.mode})")
            item = review.item(review.places[key])
            for by, given in answers.items():
                decision = _decided(item, names.get(by, by), given, review)
                review.check(item, decision)
                found.append(decision)
        except (RowFault, InputError) as fault:
            raise LabelError.at(path, line, str(fault)) from None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise LabelError.at(path, line, f"is not a record of the form {form}: {shortened(row)}") from None
    new = 0
    for decision in found:
        known = review.of(decision.item, decision.by)
        if replace(decision, at=0, seconds=0, hinted=False) != replace(known, at=0, seconds=0, hinted=False):
            review.decide(decision)
            new += 1
    return new


def _listed(rows: Iterable[str]) -> Iterator[str]:
    """Yield the parts of one JSON list."""
    yield "["
    for place, row in enumerate(rows):
        yield ",\n" if place else "\n"
        yield row
    yield "\n]\n"


def _check_form(review: Review, form: str) -> None:
    if form not in _READERS:
        raise InputError(f"there is no form '{form}'{did_you_mean(form, _READERS)}")
    if review.mode == "ranks" and form != "jsonl":
        raise InputError(f"rankings are written as jsonl, not as {form}")


def _order(item: Item) -> list[int]:
    """Return which text bears the letters a, b, ..."""
    return [1, 0] if len(item.texts) == 2 and coin(item.key) else [*range(len(item.texts))]


def _fields(item: Item) -> dict[str, str]:
    asked = (
        item.prompt[0].content if len(item.prompt) == 1 else "\n\n".join(f"{m.role}: {m.content}" for m in item.prompt)
    )
    fields = {"prompt": asked}
    if len(item.texts) == 1:
        fields["principle"] = ": ".join(item.principles[0])
    return fields | {f"response_{LETTERS[i]}": item.texts[place] for i, place in enumerate(_order(item))}


def _answers(item: Item, decision: Decision) -> Answers:
    order = _order(item)
    found: Answers = {"at": iso(decision.at)}
    if decision.choice == "ranks":
        found["decision"] = list(decision.ranks)
    elif decision.choice in ("first", "second"):
        found["decision"] = LETTERS[order.index(int(decision.choice == "second"))]
    elif decision.choice:
        found["decision"] = decision.choice
    if decision.choice and decision.choice not in ASIDE:
        found["confidence"] = round(10 * decision.confidence)
    if decision.edit is not None:
        found[f"edit_{LETTERS[order.index(decision.edit[0])]}"] = decision.edit[1]
    return found


def _decided(item: Item, by: str, given: Mapping[str, Any], review: Review) -> Decision:
    order, said = _order(item), given.get("decision", "")
    ranks: tuple[int, ...] = ()
    if isinstance(said, list):
        said, ranks = "ranks", tuple(int(rank) for rank in said)
    elif said in ("a", "b") and len(order) == 2:
        said = CHOICES["pairs"][order[LETTERS.index(said)]]
    elif said not in {"", *ASIDE, *CHOICES[review.mode]} - _NAMED_OTHERWISE:
        raise RowFault("wrong type", f"'decision' cannot be {shortened(said)}")
    edits = [(order[i], str(given[name])) for i in range(len(order)) if given.get(name := f"edit_{LETTERS[i]}")]
    confidence = given.get("confidence", 10)
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or not 0 <= confidence <= 10:
        raise RowFault("wrong type", f"'confidence' should be from 0 to 10, got {shortened(confidence)}")
    edit = edits[0] if edits else None
    decided = Decision(item=item.key, by=by, choice=said, confidence=confidence / 10, ranks=ranks, edit=edit)
    return replace(decided, at=seconds(given["at"])) if "at" in given else decided


def _plain(record: Record) -> dict[str, Any]:
    return {"id": record.key, "fields": record.fields, "answers": record.answers}


def _of_plain(row: Mapping[str, Any]) -> tuple[str, dict[str, Answers]]:
    return row["id"], {str(by): dict(answers) for by, answers in row["answers"].items()}


def _argilla(_: int, record: Record) -> dict[str, Any]:
    """Return a record as `Dataset.records.to_json` of Argilla 2 writes it; users are told apart by UUIDs there."""
    responses: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for by, answers in record.answers.items():
        for question, value in answers.items():
            if question != "at":
                responses[question].append({"value": value, "user_id": str(_user_id(by))})
    more: dict[str, Any] = {"metadata": {}, "suggestions": {}, "responses": responses, "vectors": {}}
    return {"id": record.key, "fields": dict(record.fields), **more}


def _of_argilla(row: Mapping[str, Any]) -> tuple[str, dict[str, Answers]]:
    found: dict[str, Answers] = defaultdict(dict)
    for question, responses in row["responses"].items():
        for response in responses:
            if response["value"] is not None:
                found[str(response["user_id"])][question] = response["value"]
    return row["id"], dict(found)


def _label_studio(place: int, record: Record) -> dict[str, Any]:
    """Return a task of Label Studio, whose own ids are numbers, with the key among its data."""
    annotations = []
    for by, answers in record.answers.items():
        result = []
        for question, value in answers.items():
            if question != "at":
                kind = "choices" if question == "decision" else "rating" if question == "confidence" else "textarea"
                held = value if kind == "rating" else [value]
                to = f"response_{question[-1]}" if kind == "textarea" else "prompt"
                name = "text" if kind == "textarea" else kind
                result.append({"type": kind, "value": {name: held}, "from_name": question, "to_name": to})
        annotations.append({"completed_by": {"email": by}, "created_at": answers["at"], "result": result})
    return {"id": place, "data": {"key": record.key, **record.fields}, "annotations": annotations}


def _of_label_studio(row: Mapping[str, Any]) -> tuple[str, dict[str, Answers]]:
    found: dict[str, Answers] = {}
    for annotation in row["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        who = annotation["completed_by"]
        answers: Answers = {"at": annotation["created_at"]} if "created_at" in annotation else {}
        for part in annotation["result"]:
            (value,) = part["value"].values()
            answers[part["from_name"]] = value[0] if isinstance(value, list) else value
        found[str(who["email"] if isinstance(who, Mapping) else who)] = answers
    return row["data"]["key"], found


def _user_id(by: str) -> Any:
    return uuid5(NAMESPACE_URL, f"cai_lite:{by}")


_FORMS: Mapping[str, Callable[[int, Record], dict[str, Any]]] = {"argilla": _argilla, "label-studio": _label_studio}
_READERS: Mapping[str, Callable[[Any], tuple[str, dict[str, Answers]]]] = {
    "jsonl": _of_plain,
    "argilla": _of_argilla,
    "label-studio": _of_label_studio,
}
FORMS = tuple(_READERS)
