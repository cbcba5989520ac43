"""Look at a model's folder before a library opens it: it may be damaged, huge, or made to do harm.

The libraries that read models trust their files: a pipe in place of a file blocks them for ever, a configuration with a
billion layers fills the memory, and what they raise at the rest has hundreds of forms. Nothing here reads weights.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cai_lite.chat.completions import plainly
from cai_lite.errors import CaiError, MissingPackageError, ModelError

_FILES = 20_000  # in a folder
_CONFIGURATION, _JSON = 1 << 24, 1 << 28  # bytes of a configuration; of vocabularies and indices
_VOCABULARIES = ("tokenizer.json", "vocab.json", "model.safetensors.index.json")
_WIDTH, _PARTS = 1 << 24, 1 << 12  # the largest width, and number of layers, heads and experts
_RANK = 1 << 12
_NESTED = re.compile(r"\([^()]*(?:[*+]|\{\d+,)[^()]*\)\s*(?:[*+]|\{\d+,)")  # a repeated group that repeats inside
_PATTERNS = ("target_modules", "exclude_modules", "layers_pattern")  # peft takes a text there for a regular expression


def check_folder(folder: Path) -> None:
    """Check the files of a folder with a model or an adapter, without reading weights.

    Raises:
        ModelError: one is no regular file, is too large, or is a configuration that no model has.
    """
    try:
        places = [folder, *(place for place in [folder / "additional_chat_templates"] if place.is_dir())]
        files = [file for place in places for file in place.iterdir()]
        if len(files) > _FILES:
            raise ModelError(f"{folder} has {len(files):,} files; a model folder has a few")
        for file in files:
            _check_file(file)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}") from error


def _check_file(file: Path) -> None:
    try:
        found = file.stat()
    except OSError as error:
        raise ModelError(
            f"{file} cannot be read: {error.strerror or error}; remove it, or copy the model anew"
        ) from error
    if stat.S_ISDIR(found.st_mode) and file.suffix not in (".json", ".jinja", ".safetensors"):
        return
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{file} is not a regular file (but a pipe, socket, device or folder); remove it")
    if file.suffix not in (".json", ".jinja"):
        return
    limit = _JSON if file.name in _VOCABULARIES else _CONFIGURATION
    if found.st_size > limit:
        raise ModelError(f"{file} has {found.st_size:,} bytes, which no model needs (at most {limit:,})")
    if file.name in ("config.json", "adapter_config.json"):
        settings = read_object(file)
        _check_settings(file, settings)


def read_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ModelError: the file cannot be read, or is no JSON object.
    """
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else plainly(str(error), 120)
        raise ModelError(f"{file} is not JSON: {why}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} should hold an object, such as {{...}}")
    return found


def _check_settings(file: Path, settings: Mapping[str, Any], prefix: str = "", depth: int = 0) -> None:
    """Check the sizes in a configuration; a model has a few levels of them, one for each tower."""
    if depth > 16:
        raise ModelError(f"{file}: it is nested too deep")
    for name, value in settings.items():
        where = f"{prefix}{plainly(str(name), 60)}"
        if isinstance(value, dict):
            _check_settings(file, value, f"{where}.", depth + 1)
        elif isinstance(value, int) and not isinstance(value, bool):
            limit = _limit(name)
            if not -(1 << 40) < value < 1 << 40 or (limit and not 0 <= value <= limit):
                number = f"{value:,}" if abs(value) < 1 << 60 else "a huge number"
                raise ModelError(f"{file}: '{where}' should be from 0 to {limit or 1 << 40:,}, got {number}")
        if name in _PATTERNS or name in ("rank_pattern", "alpha_pattern"):
            for pattern in value if isinstance(value, dict) else [value]:
                if isinstance(pattern, str) and (
                    _NESTED.search(pattern) or len(re.findall(r"[*+]", pattern)) > 8 or len(pattern) > 5000
                ):
                    raise ModelError(f"{file}: '{where}' is a slow regular expression: {plainly(pattern, 60)}")


def _limit(name: str) -> int:
    """Return the largest plausible value of a setting, 0 if it may be anything."""
    if name == "r":
        return _RANK
    if name.startswith(("num_", "n_")) or name.endswith(("_layers", "_heads")):
        return _PARTS if name != "num_embeddings" else _WIDTH
    return _WIDTH if name.endswith(("_size", "_dim", "_rank", "_width")) else 0


def check_weight_names(folder: Path) -> None:
    """Check that the weight files of a folder can hold as many layers as its configuration names.

    Raises:
        ModelError: they cannot, or one of them cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    names = 0
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as stored:
                names += len(stored.keys())
        except (OSError, SafetensorError, ValueError) as error:
            raise ModelError(f"{file} is damaged: {plainly(str(error), 160)}; copy the model anew") from error
    settings = read_object(folder / "config.json")
    text = settings.get("text_config")
    layers = [part.get("num_hidden_layers") for part in (settings, text) if isinstance(part, dict)]
    named = max((n for n in layers if isinstance(n, int)), default=0)
    if files and named > names:
        raise ModelError(f"{folder}: config.json names {named:,} layers, the weight files hold {names:,} weights")


def config_of_source(model: str, source: str, *, local: bool = False) -> Any:
    """Return the transformers configuration of a folder or hub id; `model` is its name in messages.

    `local`: nothing is fetched.

    Raises:
        ModelError: it cannot be read.
    """
    from transformers import AutoConfig

    if Path(source).is_dir():
        check_folder(Path(source))
    with opening(model):
        return AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)


def tokenizer_of_source(model: str, source: str, *, local: bool = False) -> Any:
    """Return the tokenizer of a folder or hub id; see `config_of_source`."""
    from transformers import AutoTokenizer

    with opening(model):
        return AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)


@contextmanager
def opening(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads the files of `what` into a `ModelError`.

    Raises:
        ModelError: with the library's own words. MissingPackageError: a package is missing.
    """
    try:
        yield
    except (CaiError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise MissingPackageError(
            f"{what}: a package that it needs is missing: {first_line(error)} (pip install sentencepiece protobuf "
            "covers most tokenizers)"
        ) from error
    except BaseException as error:  # tokenizers panics with an exception that is no Exception
        if type(error).__name__ == "OutOfMemoryError":  # of torch, which is not imported here
            raise ModelError(
                f"{what}: does not fit this GPU ({first_line(error)}); load: nf4 makes it smaller, and with `torchrun "
                "... train`, train.shard: true splits it over the GPUs, each of which holds the whole model otherwise"
            ) from error
        raise ModelError(f"{what}: cannot be opened: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type, for use in a message."""
    if "ignore_mismatched_sizes" in str(error):  # advice for who wants random weights
        return "its weight files hold weights of other shapes than config.json names"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return plainly(lines[0], 400) if lines else type(error).__name__
