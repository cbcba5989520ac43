"""Load a causal language model and its tokenizer from a folder, the Hugging Face hub, or the package itself.

torch and transformers are imported inside the functions, because they are not needed to call an endpoint.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from cai_lite.chat import bases, loaded
from cai_lite.chat.hub import unreachable
from cai_lite.chat.modelfiles import (
    check_folder,
    check_weight_names,
    config_of_source,
    first_line,
    opening,
    read_object,
    tokenizer_of_source,
)
from cai_lite.chat.soundness import check_finite, check_whole
from cai_lite.errors import MissingPackageError, ModelError, did_you_mean
from cai_lite.records import digest

Load = Literal["auto", "float32", "bfloat16", "float16", "nf4"]
LOADS = ("auto", "float32", "bfloat16", "float16", "nf4")
EMBEDDED = ("embedded:teacher", "embedded:student")


def resolve(model: str) -> str:
    """Return the folder of an embedded or local model; a hub id is returned unchanged.

    For a model that the caller loaded, this is what it was loaded from.

    Raises:
        ModelError: the folder does not exist or holds no model, or there is no such embedded model.
    """
    if model.startswith(loaded.PREFIX):
        return loaded.find(model).source
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
    if model.startswith(loaded.PREFIX):
        return loaded.find(model).digest
    folder = Path(resolve(model))
    return folder_digest(folder) if folder.is_dir() else digest("hub", model)


def check_opens(model: str) -> None:
    """Check, without reading any weights, that a model's configuration, tokenizer and chat template can be read.

    Nothing is fetched: a model of the hub that is not on this machine yet is not checked. Neither is an embedded one,
    which travels with the package: a run that asks servers alone would import transformers, in seconds, for nothing.

    Raises:
        ModelError: one of them is missing or cannot be read.
    """
    if model in EMBEDDED:
        return
    if model.startswith(loaded.PREFIX):
        tokenizer = loaded.find(model).tokenizer
    else:
        source = resolve(model)
        try:
            config_of_source(model, source, local=True)
            tokenizer = tokenizer_of_source(model, source, local=True)
        except ModelError:
            if not Path(source).is_dir():
                return
            raise
        if Path(source).is_dir():
            check_weight_names(Path(source))
    if not tokenizer.chat_template:
        raise ModelError(f"{model}: its tokenizer has no chat template; give an instruct model")


def adapter_folder(path: str | Path) -> Path:
    """Return the folder of a peft adapter.

    Raises:
        ModelError: the folder holds no adapter.
    """
    folder = Path(path)
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder} is not a peft adapter (adapter_config.json not found)")
    check_folder(folder)
    return folder


def folder_digest(folder: Path) -> str:
    """Return a digest of a folder with a model or an adapter.

    Configuration and tokenizer files are digested in full; a weight file by its size, its first megabyte and its last
    megabyte, because reading 15 GB takes a minute and two trainings never agree in the last megabyte.
    """
    check_folder(folder)
    return digest("weights", _file_parts(folder))


def _file_parts(folder: Path, without: str = "") -> list[tuple[str | int, ...]]:
    parts: list[tuple[str | int, ...]] = []
    for file in sorted(folder.iterdir()):
        if file.name == without:
            continue
        if file.suffix in (".json", ".jinja", ".model"):
            parts.append((file.name, hashlib.sha256(file.read_bytes()).hexdigest()))
        elif file.suffix == ".safetensors":
            with file.open("rb") as stream:
                head = stream.read(1 << 20)
                stream.seek(max(0, file.stat().st_size - (1 << 20)))
                parts.append((file.name, file.stat().st_size, hashlib.sha256(head + stream.read()).hexdigest()))
    return parts


def adapter_digest(folder: Path) -> str:
    """Return a digest of a folder with an adapter that is equal for equal adapters.

    In peft's configuration, lists such as `target_modules` stand in the order of a set, which changes from process to
    process; they are sorted. The base model's path and peft's version are left out.
    """
    check_folder(folder)
    settings = read_object(folder / "adapter_config.json")
    kept = {
        name: sorted(map(str, value)) if isinstance(value, list) else value
        for name, value in sorted(settings.items())
        if name not in ("base_model_name_or_path", "peft_version")
    }
    return digest("adapter", kept, _file_parts(folder, without="adapter_config.json"))


def open_weights(
    model: str, *, load: Load | None = None, adapter: str | Path | None = None, host: bool = False
) -> tuple[Any, Any]:
    """Return (transformers model, tokenizer), in evaluation mode, on the GPU if there is one.

    `load`: the dtype of the weights; "auto" (or None) is that of `auto_dtype`. `adapter`: the folder of a peft adapter
    to add. `host`: leave the weights in host memory. Code that a model folder brings along is never run.

    Raises:
        ModelError: the model does not exist, has no safetensors, or cannot be loaded; or the adapter does not fit it.
        MissingPackageError: `nf4` is asked for, and bitsandbytes is not installed; or the tokenizer needs a package.
    """
    with random_state_kept():  # layers are drawn before they are read, and a new adapter before its weights come
        weights, tokenizer = (
            loaded.find(model).opened() if model.startswith(loaded.PREFIX) else _read(model, load, host)
        )
        keep_packed(weights)
        check_finite(weights, model)
        if adapter is not None:
            weights = load_peft(weights, adapter, base=base_record(model, weights.config, tokenizer))
    return weights.eval(), tokenizer


def random_state_kept() -> AbstractContextManager[None]:
    """Return a context manager after which torch's random state is what it was before."""
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    return torch.random.fork_rng(devices=devices)


def _read(model: str, load: Load | None, host: bool) -> tuple[Any, Any]:
    """Return (transformers model, tokenizer) from a folder or the hub."""
    import torch

    checked_load(load)
    source = resolve(model)
    device = device_of(load)
    options: dict[str, Any] = {"dtype": auto_dtype(device)}
    if load == "nf4":
        options["quantization_config"] = _nf4(options["dtype"])
    elif load not in (None, "auto"):
        options["dtype"] = getattr(torch, str(load))
    if device != "cpu" and not host:
        options["device_map"] = {"": torch.cuda.current_device() if device == "cuda" else device}
    local = Path(source).is_dir() or _only_here(model, source)
    config = config_of_source(model, source, local=local)
    if Path(source).is_dir():
        check_weight_names(Path(source))
    tokenizer = tokenizer_of_source(model, source, local=local)
    with opening(model):
        weights, info = _auto_class(config).from_pretrained(
            source,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local,
            output_loading_info=True,
            **options,
        )
    check_whole(model, info)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return weights, tokenizer


def _only_here(model: str, source: str) -> bool:
    """Return whether a hub id is to be read from this machine alone, since the hub cannot be asked.

    Raises:
        ModelError: it cannot be asked, and the model is not on this machine.
    """
    why = unreachable(source)
    if why:
        try:
            config_of_source(model, source, local=True)
        except ModelError as error:
            raise ModelError(
                f"{model} is not on this machine and cannot be downloaded ({why}); give a folder"
            ) from error
    return bool(why)


def device_of(load: Load | None = None) -> Literal["cuda", "mps", "cpu"]:
    """Return where weights are put: an NVIDIA or AMD GPU, else Apple's unless they are quantised, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and load != "nf4" else "cpu"


def auto_dtype(device: str) -> Any:
    """Return the dtype of weights where none is asked for.

    It is bfloat16 on a GPU, float16 on one that only emulates bfloat16 (NVIDIA's before Ampere, such as the T4), and
    float32 elsewhere: on a CPU, bfloat16 is three times slower; on Apple's GPUs, not every system supports it, and many
    models overflow in float16.
    """
    import torch

    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _auto_class(config: Any) -> Any:
    """Return the class of transformers that opens the model; some models with vision are not listed as text models."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
    )

    kind = type(config)
    text: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    vision: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return AutoModelForImageTextToText if kind in vision and kind not in text else AutoModelForCausalLM


def base_record(model: str, config: Any, tokenizer: Any) -> dict[str, Any]:
    """Return the record of a model that adapters on it are compared with; see `bases.record_of`.

    `config`: as transformers has it. The weights of a model that the caller loaded are not part of it.
    """
    folder = None if model.startswith(loaded.PREFIX) else bases.folder_of(resolve(model))
    return bases.record_of(model, config, tokenizer, folder=folder)


def load_peft(
    weights: Any, adapter: str | Path, *, base: Mapping[str, Any] | None = None, trainable: bool = False
) -> Any:
    """Return the model with the adapter of this folder added. `base`: the `base_record` of the model.

    Raises:
        ModelError: the folder holds no adapter, or the adapter does not fit the model: it was trained on another one,
            its weights have other shapes, or there are more or fewer of them; or some of them are not finite.
    """
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict
    from safetensors import safe_open

    folder = adapter_folder(adapter)
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise ModelError(f"{folder} is not a whole peft adapter (adapter_model.safetensors not found)")
    unfit = f"the adapter {folder} does not fit {getattr(weights.config, 'name_or_path', '') or 'this model'}"
    try:
        if base is not None:
            bases.check_base(folder, base)
        with safe_open(str(file), framework="pt") as stored:
            found = set(stored.keys())
            broken = sorted(name for name in found if not stored.get_tensor(name).float().isfinite().all())
        if broken:
            raise ModelError(
                f"{file}: {len(broken)} of {len(found)} weights hold NaN or infinity, such as {broken[0]}; put back a "
                "whole copy, or train again"
            )
        with quiet_peft():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # an error below
            model: Any = PeftModel.from_pretrained(weights, str(folder), is_trainable=trainable)
            wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    except RuntimeError as error:  # torch lists one line per weight of another shape
        shapes = next((line.strip() for line in str(error).splitlines() if "size mismatch" in line), first_line(error))
        raise ModelError(f"{unfit}, it was trained on another one: {shapes}") from error
    except ModelError:
        raise
    except Exception as error:  # peft checks little of what it reads
        raise ModelError(f"{unfit}: {first_line(error)}") from error
    for names, what in ((wanted - found, "has no weight"), (found - wanted, "has a weight that the model lacks:")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{unfit}: it {what} {min(names)}{more}")
    return model


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
            f"load: nf4 does not work here, because bitsandbytes cannot be imported: {first_line(error)}"
        ) from error
