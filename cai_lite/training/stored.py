"""Rows of any number: examples are tokenized part by part, and many rows are kept in a file instead of in memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cai_lite.chat.rendering import TemplateRefusal
from cai_lite.chat.turns import Turns
from cai_lite.run import mapped
from cai_lite.run.mapped import Form, Mapped, Spill, Subset
from cai_lite.training.methods import Method
from cai_lite.training.tokens import NothingKept, Row, TokenReport, percentiles, refused


def rows_of(
    method: Method, turns: Turns, data: Sequence[Any], config: Any, *, max_tokens: int, path: Path
) -> tuple[Sequence[Row], TokenReport]:
    """Return the rows of a method as `Method.rows` does; many of them are stored in the file `path`.

    Raises:
        PairError: no example is left. ModelError: as `Method.rows`.
    """
    if len(data) <= mapped.IN_MEMORY or not isinstance(data, (list, tuple, Mapped, Subset)):
        some = list(data) if isinstance(data, (Mapped, Subset)) else data
        return method.rows(turns, some, config, max_tokens=max_tokens)
    rows, lengths, dropped = Spill(path, FORM), array("I"), Counter[str]()
    reports: list[TokenReport] = []
    refusal: TemplateRefusal | None = None
    nothing: NothingKept | None = None
    for part in _parts(data):
        try:
            some, report = method.rows(turns, part, config, max_tokens=max_tokens)
        except NothingKept as error:
            nothing = error
            dropped.update(error.dropped)
        except TemplateRefusal as error:
            refusal = error
            dropped[refused(error)] += len(part)
        else:
            reports.append(report)
            dropped.update(report.dropped)
            rows.extend(some)
            lengths.extend(len(row.prompt_ids) + len(ids) for row in some for ids in row.completions)
    if not reports:
        if nothing is None or (refusal is not None and len(dropped) == 1):
            assert refusal is not None
            raise refusal
        raise NothingKept(dropped, len(data), nothing.unit, *nothing.limits)
    whole = replace(
        reports[0],
        pairs=len(data),
        kept=sum(report.kept for report in reports),
        cut=sum(report.cut for report in reports),
        boundary_mends=sum(report.boundary_mends for report in reports),
        dropped=dict(dropped),
        lengths=percentiles(lengths),
    )
    return rows.done(), whole


def _parts(data: Sequence[Any]) -> Iterator[list[Any]]:
    each = iter(data)
    while part := list(islice(each, mapped.IN_MEMORY)):
        yield part


def _features() -> Any:
    from datasets import Value  # type: ignore[import-untyped]

    whole, real = [Value("int32")], Value("float64")
    more = {"key": Value("string"), "preferences": [[real]]}
    return {"ids": whole, "lengths": whole, "p_chosen": real, "weight": real, **more}


def _pack(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {
        "ids": [[*row.prompt_ids, *(i for ids in row.completions for i in ids)] for row in rows],
        "lengths": [[len(row.prompt_ids), *map(len, row.completions)] for row in rows],
        "p_chosen": [row.p_chosen for row in rows],
        "weight": [row.weight for row in rows],
        "key": [row.key for row in rows],
        "preferences": [row.preferences for row in rows],
    }


def _unpack(table: Any) -> list[Row]:
    ids = table.column("ids").combine_chunks()
    starts, values = ids.offsets.to_numpy().tolist(), ids.values.to_numpy()
    columns = (table.column(name).to_pylist() for name in ("lengths", "p_chosen", "weight", "key", "preferences"))
    rows = []
    for start, lengths, p_chosen, weight, key, preferences in zip(starts, *columns, strict=False):  # and one more start
        prompt, *completions = lengths
        whole = values[start : start + sum(lengths)].tolist()
        parts, place = [], prompt
        for length in completions:
            parts.append(tuple(whole[place : place + length]))
            place += length
        rows.append(Row(tuple(whole[:prompt]), tuple(parts), p_chosen, weight, key, tuple(map(tuple, preferences))))
    return rows


FORM: Form[Row] = Form(_features, _pack, _unpack)
