"""Merge an adapter into its base in 16 bits, and measure on what was written how far that is from what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from cai_lite.chat import bases
from cai_lite.chat.base import SystemMessage
from cai_lite.chat.local import LocalModel
from cai_lite.chat.modelfiles import opening, tokenizer_of_source
from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import Load, open_weights, resolve
from cai_lite.errors import ModelError
from cai_lite.records import Messages
from cai_lite.run.files import share
from cai_lite.serving.drift import Drift, check_rendering, drift, log_probs, rows_of
from cai_lite.serving.gguf import SENTENCEPIECE

Half = Literal["bfloat16", "float16"]
_STORED: Mapping[str, Half] = {"BF16": "bfloat16", "F16": "float16"}


def half_of(model: str) -> Half:
    """Return the 16-bit type in which most weights of a model are stored; bfloat16 where that is another one."""
    from safetensors import safe_open

    folder = bases.folder_of(resolve(model))
    counts: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")) if folder is not None else ():
        with safe_open(str(file), framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  (it is no mapping)
                kind = str(stored.get_slice(name).get_dtype())
                counts[kind] = counts.get(kind, 0) + 1
    return _STORED.get(max(counts, key=lambda kind: counts[kind]), "bfloat16") if counts else "bfloat16"


def merge(
    model: str,
    adapter: Path,
    out: Path,
    said: Sequence[tuple[Messages, str]],
    *,
    dtype: Half,
    sampled: bool = False,
    load: Load | None = None,
    template: Mapping[str, Any] | None = None,
    system: SystemMessage = "keep",
) -> Drift:
    """Write the merged model to `out`, with tokenizer, chat template and generation settings; return its drift.

    `said`: prompts with the answers of the trained student, on which it is compared. `sampled`: the run drew its
    answers, so the generation settings say so; without that, some servers take the most likely token whatever
    temperature they are asked for. `load`, `template`, `system`: how the run opened the student. The folder is written
    aside, opened again and compared before it gets its name.

    Raises:
        ModelError: the adapter cannot be merged, or what was written renders or computes something else.
    """
    measured = LocalModel(model, load=load, adapter=adapter, template=template, system=system)
    weights, tokenizer = measured.opened()
    turns = Turns.of_model(weights, tokenizer, template=measured.template, system=system)
    rows = rows_of(weights, tokenizer, turns, said)
    before = log_probs(weights, rows)
    measured.close()
    del weights
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    whole, tokenizer = open_weights(model, load=dtype, adapter=adapter)
    try:
        merged = whole.merge_and_unload(safe_merge=True)
    except ValueError as error:  # a weight that is not finite
        raise ModelError(f"{adapter} cannot be merged in {dtype}: {error}") from error
    if sampled:
        merged.generation_config.do_sample = True
    merged.save_pretrained(str(partial))
    del whole, merged
    own = (adapter / "tokenizer_config.json").is_file()  # with the chat template as it is to be served
    served = tokenizer_of_source(str(adapter), str(adapter), local=True) if own else tokenizer
    served.save_pretrained(str(partial))
    folder = bases.folder_of(resolve(model))
    if folder is not None and (folder / SENTENCEPIECE).is_file():  # llama.cpp reads its scores
        shutil.copyfile(folder / SENTENCEPIECE, partial / SENTENCEPIECE)
    share(partial)
    with opening(str(partial)):
        written, kept = open_weights(str(partial), load=cast(Load, dtype))
    check_rendering(kept, rows)
    found = drift(before, log_probs(written, rows), rows)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return found
