"""The model that an adapter was trained on: recorded beside the adapter, and compared when it is put on a model.

An adapter on another model of the same shapes gives gibberish without any error, so the record holds more than names:
the sizes of the architecture, a digest of the vocabulary, and a digest of the beginning of every weight, which takes
under a second for 15 GB. Values are compared as bfloat16, so that the same model in other files or another dtype fits.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cai_lite.errors import ModelError, shortened
from cai_lite.records import digest
from cai_lite.run.files import write_text

RECORD = "base_model.json"  # its name in the folder of an adapter
HEAD = 64  # values of each weight that enter the digest
SIZES = (
    *("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "num_experts", "num_local_experts"),
)
_LOG = logging.getLogger(__name__)


def record_of(name: str, config: Any, tokenizer: Any, *, folder: Path | None) -> dict[str, Any]:
    """Return the record of a model.

    `config`: as transformers has it. `folder`: where its weights are, None where they were made in memory; then the
    digest of the weights is absent.
    """
    text = config.get_text_config()
    sizes = {size: getattr(text, size) for size in SIZES if isinstance(getattr(text, size, None), (str, int))}
    vocabulary = digest("vocabulary", sorted(tokenizer.get_vocab().items()))
    # Not the whole path: equal adapters should have equal files wherever they were trained.
    record = {"name": Path(name).name if Path(name).exists() else name, "sizes": sizes, "vocabulary": vocabulary}
    weights = _weights_digest(folder) if folder is not None else None
    return record if weights is None else {**record, "weights": weights}


def folder_of(source: str) -> Path | None:
    """Return the folder of a model, also of one that was fetched from the hub; None if there is none."""
    if (Path(source) / "config.json").is_file():
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(source, "config.json")
    except ValueError:  # no name of a model
        return None
    return Path(found).parent if isinstance(found, str) else None


def write_record(adapter: Path, record: Mapping[str, Any]) -> None:
    """Write the record of the base model into the folder of an adapter."""
    write_text(adapter / RECORD, json.dumps(record, indent=1) + "\n")


def check_base(adapter: Path, base: Mapping[str, Any]) -> None:
    """Check that an adapter was trained on the model with the record `base`.

    An adapter without a record, which another program trained, is compared with the model that its configuration
    names, if that is on this machine; if it is not, a warning is logged where the names differ.

    Raises:
        ModelError: it was trained on another model.
    """
    file = adapter / RECORD
    if file.is_file():
        mend = f"give that model, or delete {file} to use the adapter on this one all the same"
        _compare(adapter, _read(file), base, mend)
        return
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    named = str(settings.get("base_model_name_or_path") or "")
    folder = folder_of(named) if named else None
    if folder is None and named and _short(named) != _short(base["name"]):
        _LOG.warning(
            "the adapter %s names the base model %s and is put on %s, which has another name; if that is another "
            "model, its answers mean nothing",
            adapter,
            shortened(named),
            base["name"],
        )
    if folder is None:
        return
    mend = "give that model, or mend 'base_model_name_or_path' in the adapter's adapter_config.json"
    _compare(adapter, _record_in(folder, named), base, mend)


def _compare(adapter: Path, trained: Mapping[str, Any], base: Mapping[str, Any], mend: str) -> None:
    sizes, here = trained.get("sizes", {}), base["sizes"]
    apart = [f"{name} {sizes[name]}, not {here[name]}" for name in sizes if name in here and sizes[name] != here[name]]
    if apart:
        what = f"of other sizes ({', '.join(apart)})"
    elif trained.get("vocabulary", base["vocabulary"]) != base["vocabulary"]:
        what = "with another vocabulary"
    elif trained.get("weights", base.get("weights")) != base.get("weights", trained.get("weights")):
        what = "with the same sizes and other weights"
    else:
        return
    raise ModelError(
        f"the adapter {adapter} does not fit {base['name']}: it was trained on another model, "
        f"{trained.get('name') or 'unnamed'}, {what}; {mend}"
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{file} cannot be read; put back a copy, or delete it to skip its check") from error


def _record_in(folder: Path, name: str) -> dict[str, Any]:
    """Return the record of a model in a folder, as far as it can be read."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        return record_of(
            name,
            config,
            AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False),
            folder=folder,
        )
    except (OSError, ValueError, KeyError, ImportError):
        return {"name": name}


def _weights_digest(folder: Path) -> str | None:
    """Return a digest of names, shapes and first values of all weights; None where there are none to compare.

    Weights that were quantised before they were saved are not compared, since their values are packed.
    """
    heads = sorted(_heads(folder))
    return digest("weights", heads) if heads and not any(dtype in _PACKED for *_, dtype in heads) else None


_PACKED = ("uint8", "int8")


def _heads(folder: Path) -> Iterator[tuple[str, list[int], str, str]]:
    """Yield name, shape, digest of the first values and, only for packed weights, the dtype of every weight."""
    import torch
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        if file.name.startswith("adapter_"):
            continue
        with safe_open(str(file), framework="pt") as stored:
            for name in list(stored.keys()):
                weight = stored.get_slice(name)
                shape = list(weight.get_shape())
                first = weight[(*(slice(0, 1) for _ in shape[:-1]), slice(0, HEAD))] if shape else None
                if first is None or not first.is_floating_point():
                    packed = "" if first is None else str(first.dtype).removeprefix("torch.")
                    yield name, shape, "", packed if packed in _PACKED else ""
                    continue
                values = first.to(torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes()
                yield name, shape, hashlib.sha256(values).hexdigest(), ""


def _short(name: str) -> str:
    """Return the last part of a model's name or path, in lower case."""
    return name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1].lower()
