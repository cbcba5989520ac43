"""Make tests and training prompts of what failed in production, without leaking one into the other.

`write_failures` writes two prompts files: half of the families of failing prompts as a regression set ("held_out"), and
the others as seeds for the next round ("train"). The side of a family follows from its name, so prompts that fail later
move none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cai_lite.distill.leaks import HeldOut
from cai_lite.errors import InputError
from cai_lite.inputs.prompts import as_prompts, key_of, split_of
from cai_lite.pipeline.taken import seeds_path
from cai_lite.records import Prompt, dicts_of, messages_of
from cai_lite.run.files import read_records, write_lines
from cai_lite.serving.rates import Theme

FAILED = "failed:"
"""A prompt whose answer broke the principle ID has the tag `failed:ID`."""

SHARE = 0.5  # of the families, for the regression set
EXAMPLE = 200  # characters of a prompt that stands for its theme


class Written(NamedTuple):
    """The number of prompts in each of the two files. `leaks`: seeds left out because they resemble a test."""

    regression: int
    seeds: int
    leaks: int
    files: tuple[Path, Path]


def failing_prompts(path: Path, latest: int | None = None) -> list[Prompt]:
    """Return the distinct prompts of failing.jsonl, in the order in which they failed first, with `failed:` tags.

    Near copies are one family, unless the log named the families. `latest`: of so many conversations alone.

    Raises:
        InputError: the file is damaged.
    """
    rows: dict[str, dict[str, Any]] = {}
    for row in read_records(path)[-latest if latest else 0 :] if path.is_file() else []:
        key = key_of(messages_of(row["prompt"]))
        known = rows.setdefault(key, {"messages": row["prompt"], "family": row["family"], "tags": []})
        tags = [*known["tags"], *row["tags"], *(FAILED + principle for principle in row["principles"])]
        known["tags"] = list(dict.fromkeys(tags))
    return as_prompts(list(rows.values()), "train")


def write_failures(prompts: Sequence[Prompt], out: Path) -> Written:
    """Write the regression set to `out` and the seeds beside it, as prompts files.

    A seed that repeats a prompt of the regression set, also with a word changed, is left out; where the log itself
    named the families of both, only an equal one is.

    Raises:
        InputError: nothing failed.
    """
    if not prompts:
        raise InputError(f"{out}: nothing failed so far, so there is nothing to write")
    families = dict.fromkeys(prompt.family for prompt in prompts)
    held = {family for family in families if split_of(family, SHARE) == "held_out"} or {next(iter(families))}
    regression = [prompt for prompt in prompts if prompt.family in held]
    near = HeldOut(prompt.messages for prompt in regression)
    near_unnamed = HeldOut(prompt.messages for prompt in regression if not _named(prompt))
    equal = HeldOut((prompt.messages for prompt in regression), near=False)
    seeds, leaks = [], 0
    for prompt in prompts:
        if prompt.family in held:
            continue
        against = (near_unnamed, equal) if _named(prompt) else (near,)
        if any(one.matches(prompt.messages) for one in against):
            leaks += 1
        else:
            seeds.append(prompt)
    files = (out, seeds_path(out))
    for path, rows, split in ((files[0], regression, "held_out"), (files[1], seeds, "train")):
        write_lines(path, (json.dumps(_row(prompt, split), ensure_ascii=False) + "\n" for prompt in rows))
    return Written(len(regression), len(seeds), leaks, files)


def themes_of(prompts: Sequence[Prompt], most: int = 8) -> tuple[Theme, ...]:
    """Return the families of failing prompts with the most of them, where there are at least two."""
    found: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.family, []).append(prompt)
    largest = sorted(found.items(), key=lambda item: -len(item[1]))[:most]
    return tuple(
        Theme(
            family=family,
            n=len(own),
            principles=tuple(sorted({tag.removeprefix(FAILED) for tag in _tags(own) if tag.startswith(FAILED)})),
            example=own[0].text[:EXAMPLE],
        )
        for family, own in largest
        if len(own) > 1
    )


def _tags(prompts: Sequence[Prompt]) -> set[str]:
    return {tag for prompt in prompts for tag in prompt.tags}


def _named(prompt: Prompt) -> bool:
    """Return whether the log named the family, rather than we after its near copies."""
    return not prompt.family.startswith("near-")


def _row(prompt: Prompt, split: str) -> Mapping[str, Any]:
    messages = dicts_of(prompt.messages)
    return {"messages": messages, "family": prompt.family, "tags": list(prompt.tags), "split": split}
