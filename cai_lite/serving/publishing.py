"""Publish what a run made: its pairs as Parquet with card and Croissant metadata, and folders on the hub."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cai_lite.errors import InputError, ModelError, Stopped, plain, without_secrets
from cai_lite.inputs.pairs import load_pairs, to_dataset
from cai_lite.run.files import sha256, write_text

PARQUET, CARD, CROISSANT = "data/train-00000-of-00001.parquet", "README.md", "croissant.json"
_SPLIT = {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
_TYPES = {"string": "sc:Text", "large_string": "sc:Text", "double": "sc:Float", "float64": "sc:Float"}
_ABOUT = {
    "prompt": "The conversation that is answered, as messages.",
    "chosen": "The better answer, as messages.",
    "rejected": "The worse answer, as messages.",
    "key": "A digest of all that decided the pair.",
    "principle": "The principle of the constitution by which the answers were compared.",
    "p_chosen": "The probability that the chosen answer is the better one.",
    "margin": "How far the judge preferred it, from 0 to 1.",
    "rule": "How the pair was made.",
    "family": "The family of prompts that the prompt belongs to.",
    "parents": "Keys of the rows that the pair was made from.",
    "evidence": "The verdicts behind the pair, as JSON.",
    "weight": "The weight of the pair in training.",
}
# The terms of Croissant 1.0; anything else is schema.org's.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{
        name: f"cr:{name}"
        for name in ("column", "extract", "field", "fileObject", "recordSet", "repeated", "source", "subField")
    },
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}


def write_dataset(run: Path, out: Path, *, license: str | None = None) -> int:
    """Write the pairs of a run to `out` as a data set of the hub: Parquet, card, croissant.json; return their number.

    `license`: an SPDX identifier. Written aside, then renamed.

    Raises:
        InputError: the run has no pairs.
    """
    file = run / "pairs.jsonl"
    if not file.is_file():
        raise InputError(f"{run} has no pairs.jsonl, so there is no data set to export")
    dataset = to_dataset(load_pairs(file, max_bad=0))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / PARQUET).parent.mkdir(parents=True)
    dataset.to_parquet(str(partial / PARQUET))
    card = run / "dataset_card.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# Preference pairs of {run.resolve().name}\n"
    write_text(partial / CARD, with_metadata(text, {"license": license, "configs": [_SPLIT]}))
    title = re.search(r"^# (.+)$", text, re.M)
    about = croissant(
        dataset,
        partial / PARQUET,
        name=run.resolve().name,
        description=title[1] if title else "Preference pairs",
        license=license,
    )
    write_text(partial / CROISSANT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return len(dataset)


def with_metadata(card: str, more: Mapping[str, Any]) -> str:
    """Return a card with more fields in its YAML head, which it gets where it has none; None is left out."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in more.items() if value is not None]
    head, rest = "", card
    if card.startswith("---\n"):
        head, _, rest = card.removeprefix("---\n").partition("---\n")
    kept = [line for line in head.splitlines() if line.partition(":")[0] not in more]
    return "\n".join(["---", *kept, *lines, "---", ""]) + rest


def croissant(dataset: Any, file: Path, *, name: str, description: str, license: str | None = None) -> dict[str, Any]:
    """Return the Croissant description of a data set in one Parquet file.

    Source: the Croissant format specification 1.0 of MLCommons.
    """
    source = {"fileObject": {"@id": "pairs.parquet"}}
    fields = [
        _field(f"pairs/{column}", column, kind, {**source, "extract": {"column": column}}, _ABOUT.get(column, column))
        for column, kind in zip(dataset.column_names, dataset.data.schema.types, strict=True)
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": re.sub(r"[^\w-]+", "-", name),
        "description": description,
        **({"license": f"https://spdx.org/licenses/{license}.html"} if license else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "pairs.parquet",
                "name": "pairs.parquet",
                "contentUrl": PARQUET,
                "contentSize": f"{file.stat().st_size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": sha256(file),
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "pairs", "name": "pairs", "field": fields}],
    }


def _field(id_: str, name: str, kind: Any, source: Mapping[str, Any], about: str) -> dict[str, Any]:
    """Return a field of a record set from the Arrow type of its column; of messages, one field for each part."""
    field: dict[str, Any] = {"@type": "cr:Field", "@id": id_, "name": name, "description": about}
    if hasattr(kind, "value_type"):
        field["repeated"], kind = True, kind.value_type
    if getattr(kind, "num_fields", 0):
        parts = [kind.field(place) for place in range(kind.num_fields)]
        field["source"] = source
        field["subField"] = [_field(f"{id_}/{p.name}", p.name, p.type, source, p.name) for p in parts]
        return field
    return {**field, "dataType": _TYPES.get(str(kind), "sc:Text"), "source": source}


def check_push(name: str) -> None:
    """Check, before anything is written, that a folder can be pushed under this name.

    Raises:
        InputError: it is no name of a repository, or there is no token.
    """
    from huggingface_hub import get_token

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
        raise InputError(f"--push {name}: a repository is named OWNER/NAME")
    if not get_token():
        raise InputError("--push needs a token of the hub: set HF_TOKEN, or log in with `hf auth login`")


def push(folder: Path, name: str, kind: Literal["model", "dataset"], *, public: bool = False) -> str:
    """Upload a folder to the hub as one commit, and return its address. The repository is private unless `public`.

    Raises:
        InputError: the folder has no card. Stopped: the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    if not (folder / CARD).is_file():
        raise InputError(f"{folder} has no {CARD}: a model without a card is not published; evaluate the run first")
    hub = HfApi()
    try:
        hub.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
        done = hub.upload_folder(
            folder_path=str(folder), repo_id=name, repo_type=kind, commit_message="Exported by cai_lite"
        )
    except (OSError, ValueError) as error:  # the hub's own errors are of these kinds
        why = without_secrets(plain(str(error))).strip().splitlines()
        raise Stopped(f"{name} could not be pushed: {why[0][:300] if why else type(error).__name__}") from error
    return str(getattr(done, "commit_url", done))


def check_base_public(base: str) -> None:
    """Check that others can get the base of an adapter that is to be pushed.

    Raises:
        ModelError: it is a folder of this machine, or a model of this package.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", base, re.ASCII) or Path(base).exists():
        raise ModelError(
            f"the base {base} is not on the hub, so nobody else could use the adapter alone; push the merged model: "
            "--merge --push NAME"
        )
