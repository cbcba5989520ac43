"""Convert an adapter and a merged model to GGUF by llama.cpp's own converters, where they are installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cai_lite.chat.modelfiles import read_object
from cai_lite.errors import InputError
from cai_lite.run.files import write_text

PLACE = "LLAMA_CPP"  # the environment variable with llama.cpp's folder
LORA, MODEL = "convert_lora_to_gguf.py", "convert_hf_to_gguf.py"
SENTENCEPIECE = "tokenizer.model"
_TYPES: Mapping[str, str] = {"bfloat16": "bf16", "float16": "f16"}
# What a converter says, and what it means: known failures by model family. Its requirements file pins another
# transformers, so the one package that is missing is named.
KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"No module named '?(\w+)",
        r"the converters need the package \1: pip install \1, or 'cai-lite[export]' for all that they usually need",
    ),
    (
        r"pre-tokenizer was not recognized|get_vocab_base_pre",
        "llama.cpp does not know this tokenizer: it recognises those of released models by their digest, so one that "
        "was changed or newly made fails; the base must be one that llama.cpp lists",
    ),
    (
        r"lm_head is present in adapter",
        "the base ties its output layer to its embeddings, and the adapter changes it; export with --merge",
    ),
    (r"Not a lora_A or lora_B tensor", "the adapter holds more than A and B of LoRA; export with --merge"),
    (
        r"NotImplementedError",
        "the converter reorders weights of this architecture in a way that it cannot do for LoRA (recurrent layers "
        "such as Qwen3-Next's, some fused projections); export with --merge --gguf",
    ),
    (r"is not supported", "llama.cpp does not know this architecture"),
)


class Conversion(NamedTuple):
    """One conversion: the file that it makes, and the command. `problem`: why it failed or was not run, or ""."""

    file: Path
    command: tuple[str, ...]
    problem: str = ""

    @property
    def text(self) -> str:
        """The command as it is typed; a shell puts the folder of llama.cpp in where it is not known here."""
        return re.sub(rf"'\${PLACE}/(\S+)'", rf'"${PLACE}"/\1', shlex.join(self.command))


def find_converters(given: Path | None = None) -> Path | None:
    """Return the folder of llama.cpp's converters: `given`, that of the environment variable, or one on PATH.

    Raises:
        InputError: the folder that was named does not hold them.
    """
    named = given or (Path(os.environ[PLACE]) if os.environ.get(PLACE) else None)
    if named is not None:
        missing = [name for name in (LORA, MODEL) if not (named / name).is_file()]
        if missing:
            raise InputError(f"{named}: no {missing[0]} there; give llama.cpp's folder as --llama-cpp or {PLACE}")
        return named
    found = shutil.which(LORA)
    return Path(found).parent if found and (Path(found).parent / MODEL).is_file() else None


def adapter_conversion(converters: Path | None, base: str, adapter: Path, out: Path) -> Conversion:
    """Return the conversion of an adapter. `base`: the folder of its base, of which only settings are read, or hub id.

    The adapter stays in 32 bits: it is small, and llama.cpp adds it to a base of any precision.
    """
    of = ("--base", base) if Path(base).is_dir() else ("--base-model-id", base)
    return Conversion(out, (*_script(converters, LORA), str(adapter), *of, "--outfile", str(out), "--outtype", "f32"))


def model_conversion(converters: Path | None, folder: str, out: Path, dtype: str = "auto") -> Conversion:
    """Return the conversion of a model folder; `dtype`: as torch names it."""
    kind = _TYPES.get(dtype, "auto")
    return Conversion(out, (*_script(converters, MODEL), folder, "--outfile", str(out), "--outtype", kind))


def tokenizer_problem(converters: Path, folder: str, out: Path) -> str:
    """Return why no GGUF can be made of the model in `folder`, as far as its tokenizer decides, or "".

    The converter reads no weights for that. `out`: where the GGUF would stand; the words of a failure stand beside it.
    """
    tried = model_conversion(converters, folder, out.with_name(f"{out.stem}-tokenizer.gguf"))
    done = convert(tried._replace(command=(*tried.command, "--vocab-only")), converters)
    done.file.unlink(missing_ok=True)
    return done.problem


def lost_in_tokenizer(folder: Path) -> str:
    """Return what a GGUF of the model in `folder` loses of its tokenizer, or "".

    llama.cpp splits text of SentencePiece's tokenizers by scores, which tokenizer.json does not hold: without
    tokenizer.model the converter gives all tokens the same, and "User" may become "U", "se", "r" in place of "U", "s",
    "er".
    """
    file = folder / "tokenizer.json"
    if (folder / SENTENCEPIECE).is_file() or not file.is_file():
        return ""
    model = read_object(file).get("model")
    if not isinstance(model, dict) or not model.get("byte_fallback"):
        return ""
    return (
        f"{folder} has a SentencePiece tokenizer and no {SENTENCEPIECE}, so a GGUF may split text into other tokens "
        f"than the run did; put the {SENTENCEPIECE} of the base there, and examine what is served"
    )


def convert(asked: Conversion, converters: Path | None) -> Conversion:
    """Run a conversion, and return it with its problem, if it has one; its words stand in FILE.log then.

    The file of an earlier conversion is gone then, too: it may be of another adapter.
    """
    asked.file.unlink(missing_ok=True)
    if converters is None:
        return asked._replace(problem="llama.cpp's converters are not installed here")
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    partial = asked.file.with_name(f".{asked.file.name}.partial")
    command = [str(partial) if word == str(asked.file) else word for word in asked.command]
    partial.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    good = done.returncode == 0 and partial.is_file() and _is_gguf(partial)
    log = asked.file.with_suffix(".log")
    if good:
        partial.replace(asked.file)
        log.unlink(missing_ok=True)
        return asked
    partial.unlink(missing_ok=True)
    write_text(log, said)
    return asked._replace(problem=f"{_why(said, done.returncode)}; see {log}")


def _script(converters: Path | None, name: str) -> tuple[str, str]:
    return (sys.executable, str(converters / name)) if converters is not None else ("python", f"${PLACE}/{name}")


def _why(said: str, status: int) -> str:
    for pattern, meaning in KNOWN:
        if found := re.search(pattern, said):
            return found.expand(meaning)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"the converter ended with status {status}: {lines[-1][:200] if lines else 'it said nothing'}"


def _is_gguf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"GGUF"
