"""Load a causal language model and its tokenizer from a folder, the Hugging Face hub, or the package itself.

torch and transformers are imported inside the functions, because they are not needed to call an endpoint.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from cai_lite.errors import MissingPackageError, ModelError, did_you_mean
from cai_lite.records import digest

Load = Literal["auto", "float32", "bfloat16", "float16", "nf4"]
LOADS = ("auto", "float32", "bfloat16", "float16", "nf4")
EMBEDDED = ("embedded:teacher", "embedded:student")


def resolve(model: str) -> str:
    """Return the folder of an embedded or local model; a hub id is returned unchanged.

    Raises:
        ModelError: the folder does not exist or holds no model, or there is no such embedded model.
    """
    if model.startswith("embedded:"):
        if model not in EMBEDDED:
            raise ModelError(f"no embedded model '{model}'{did_you_mean(model, EMBEDDED)}")
        return str(resources.files("cai_lite.embedded") / model.removeprefix("embedded:"))
    path = Path(model).expanduser()
    if path.exists():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{model} is not a model folder (no config.json in it); it needs config, tokenizer and *.safetensors"
            )
        return str(path)
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model:
        raise ModelError(
            f"{model}: no such folder; give a model folder, a hub id such as Qwen/Qwen2.5-7B-Instruct, or {EMBEDDED[1]}"
        )
    return model


def checked_load(load: str | None) -> Load | None:
    """Return `load` after checking that this machine supports it.

    Raises:
        ModelError: the value is unknown, or bitsandbytes does not work here.
        MissingPackageError: `nf4` is asked for, and bitsandbytes is not installed.
    """
    if load is not None and load not in LOADS:
        raise ModelError(f"unknown load '{load}'{did_you_mean(load, LOADS)}")
    if load == "nf4":
        _bitsandbytes()
    return cast(Load | None, load)


def weights_digest(model: str) -> str:
    """Return a digest of a model's files, without reading the weights in full (see `folder_digest`).

    A hub id is digested as its name.
    """
    folder = Path(resolve(model))
    return folder_digest(folder) if folder.is_dir() else digest("hub", model)


def adapter_folder(path: str | Path) -> Path:
    """Return the folder of a peft adapter.

    Raises:
        ModelError: the folder holds no adapter.
    """
    folder = Path(path)
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder} is not a peft adapter (adapter_config.json not found)")
    return folder


def folder_digest(folder: Path) -> str:
    """Return a digest of a folder with a model or an adapter.

    Configuration and tokenizer files are digested in full; a weight file by its size, its first megabyte and its last
    megabyte, because reading 15 GB takes a minute and two trainings never agree in the last megabyte.
    """
    parts: list[tuple[str | int, ...]] = []
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".jinja", ".model"):
            parts.append((file.name, hashlib.sha256(file.read_bytes()).hexdigest()))
        elif file.suffix == ".safetensors":
            with file.open("rb") as stream:
                head = stream.read(1 << 20)
                stream.seek(max(0, file.stat().st_size - (1 << 20)))
                parts.append((file.name, file.stat().st_size, hashlib.sha256(head + stream.read()).hexdigest()))
    return digest("weights", parts)


def open_weights(model: str, *, load: Load | None = None, adapter: str | Path | None = None) -> tuple[Any, Any]:
    """Return (transformers model, tokenizer), in evaluation mode, on the GPU if there is one.

    `load`: the dtype of the weights; "auto" (or None) is bfloat16 on a GPU and float32 on a CPU, where bfloat16 is
    three times slower. `adapter`: the folder of a peft adapter to add.

    Raises:
        ModelError: the model does not exist, has no safetensors, or cannot be loaded.
        MissingPackageError: `nf4` is asked for, and bitsandbytes is not installed.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checked_load(load)
    source = resolve(model)
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    options: dict[str, Any] = {"dtype": dtype}
    if load == "nf4":
        options["quantization_config"] = _nf4(dtype)
    elif load not in (None, "auto"):
        options["dtype"] = getattr(torch, str(load))
    if cuda:
        options["device_map"] = {"": 0}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        weights: Any = AutoModelForCausalLM.from_pretrained(source, use_safetensors=True, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{model}: cannot be opened: {_first_line(error)}") from error
    keep_packed(weights)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if adapter is not None:
        from peft import PeftModel

        with quiet_peft():
            weights = PeftModel.from_pretrained(weights, str(adapter))
    return weights.eval(), tokenizer


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence warnings of peft 0.21.

    It reads a property of transformers 5.23 by its deprecated name, and looks for experts among the layers of a mixture
    of experts whose experts have no adapter.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The following .*_pattern keys did not match", category=RuntimeWarning
        )
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def keep_packed(model: Any) -> None:
    """Prevent bitsandbytes 0.50 from repacking NF4 weights in the first eval pass on CPUs with AVX512-BF16.

    Repacking fails for some widths, and no gradient flows through repacked weights, so training would continue with
    wrong gradients.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _nf4(compute_dtype: Any) -> Any:
    """Return the configuration of NF4 with double quantisation.

    Source: Dettmers et al. 2023, arXiv:2305.14314.
    """
    from transformers import BitsAndBytesConfig

    config: Any = BitsAndBytesConfig
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def _bitsandbytes() -> None:
    """Check that bitsandbytes is installed and can be imported; on some systems it is installed but does not load."""
    if find_spec("bitsandbytes") is None:
        raise MissingPackageError("load: nf4 needs bitsandbytes: pip install bitsandbytes")
    try:
        import bitsandbytes  # noqa: F401
    except Exception as error:
        raise ModelError(
            f"load: nf4 does not work here, because bitsandbytes cannot be imported: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
