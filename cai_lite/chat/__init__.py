"""Chat models: `open_model` opens a server's model, a local one or an embedded one.

To add a backend, write a class with the methods of `ChatModel` in a file of this folder, and name a function that opens
it in `BACKENDS`, under the prefix that its addresses begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cai_lite.chat.base import ChatModel, SystemMessage
from cai_lite.chat.batch import Batch, BatchModel
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.loaded import hold, is_transformers_model, named
from cai_lite.chat.local import LocalModel
from cai_lite.chat.preference import is_preference_adapter, open_preference_model
from cai_lite.chat.weights import Load
from cai_lite.errors import ModelError, shortened

__all__ = ["BACKENDS", "ChatModel", "open_model"]

TAKEN = (
    "a model folder, a hub id, embedded:teacher or embedded:student, the URL of a server, (model, tokenizer), or what "
    "open_model returned"
)


def open_model(
    where: Any,
    *,
    model: str | None = None,
    load: Load | None = None,
    adapter: str | Path | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    concurrency: int = 64,
    prices: tuple[float, float] = (0.0, 0.0),
    template: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    system: SystemMessage = "keep",
    batch: bool | Batch = False,
) -> ChatModel:
    """Open a model to be asked. Nothing is loaded or connected before the first question.

    `where`: the URL of an OpenAI-compatible server (then `model` is its name there; `URL#NAME` says both), a model
    folder, a hub id, `embedded:teacher` / `embedded:student`, or a transformers model with its tokenizer,
    `(model, tokenizer)`. A model folder may be followed by `#ADAPTER_FOLDER`; with the adapter of a preference model it
    is a judge, and nothing else. What is a `ChatModel` already is
    returned as it is. `load` and `adapter` are for local models, `concurrency` (the highest number of calls under way
    at once), `prices` (of a million tokens read and written) and `extra_body` (further fields of every request) for
    servers. `template`: variables of the chat template, such as `{"enable_thinking": False}` for a model that thinks.
    `system`: "merge" puts the system message in front of the first user turn, for chat templates that refuse one.
    `batch`: leave many requests at once to the server's batch API, at half the price and within a day.

    Raises:
        ModelError: no such folder, or options that do not go together.
    """
    if isinstance(where, ChatModel):
        return where
    if is_transformers_model(where) or isinstance(where, tuple):
        return _loaded(where, model=model, load=load, adapter=adapter, template=template, system=system)
    if not isinstance(where, (str, Path)):
        raise ModelError(f"a model should be {TAKEN}, got {shortened(where)}")
    where, sharp, rest = (str(where), "", "") if Path(where).exists() else str(where).partition("#")
    prefix = where.partition(":")[0]
    if sharp:
        if (model if prefix in BACKENDS else adapter) is not None:
            raise ModelError(f"'{where}#{rest}': what follows the # is given twice; keep one")
        model, adapter = (rest, adapter) if prefix in BACKENDS else (model, rest)
    given = {
        "model": model,
        "load": load,
        "adapter": adapter,
        "template": template,
        "extra_body": extra_body,
        "system": system if system != "keep" else None,
        "batch": (Batch() if batch is True else batch) or None,
    }
    if prefix in BACKENDS:
        server = {"api_key_env": api_key_env, "concurrency": concurrency, "prices": prices}
        return BACKENDS[prefix](where, **{name: value for name, value in given.items() if value is not None}, **server)
    if model is not None:
        raise ModelError(f"'{where}' is a local model, so 'model' says nothing; to ask a server give its URL")
    if extra_body:
        raise ModelError(f"'{where}' is a local model: 'extra_body' is for servers; 'template' works for both")
    if batch:
        raise ModelError(f"'{where}' is a local model: 'batch' is for servers with a batch API")
    if adapter is not None and is_preference_adapter(adapter):
        return open_preference_model(where, adapter, load=load, template=template, system=system)
    return LocalModel(
        where,
        load=load,
        adapter=adapter,
        wording="short" if where == "embedded:teacher" else "full",
        template=template,
        system=system,
    )


def _loaded(
    given: Any,
    *,
    model: str | None,
    load: Load | None,
    adapter: str | Path | None,
    template: Mapping[str, Any] | None,
    system: SystemMessage,
) -> LocalModel:
    """Open a transformers model of the caller's, given as (model, tokenizer)."""
    weights, tokenizer = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not is_transformers_model(weights):
        raise ModelError(f"a model should be {TAKEN}, got {shortened(given)}")
    if model is not None or load is not None:
        raise ModelError("'model' and 'load' say nothing about a loaded model; it is used as it is")
    loaded = named(weights, tokenizer)
    handle = LocalModel(loaded.name, adapter=adapter, template=template, system=system)
    hold(handle, loaded)
    return handle


def _endpoint(
    where: str,
    *,
    model: str | None = None,
    load: Load | None = None,
    adapter: str | Path | None = None,
    api_key_env: str,
    concurrency: int,
    prices: tuple[float, float],
    template: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    system: SystemMessage = "keep",
    batch: Batch | None = None,
) -> EndpointModel:
    if model is None:
        raise ModelError(f"{where}: which model? open_model(url, model='Qwen/Qwen3-32B')")
    if load is not None or adapter is not None:
        raise ModelError(f"{where}: 'load' and 'adapter' are for local models; the server decides how it loads its own")
    settings: dict[str, Any] = {
        "model": model,
        "api_key_env": api_key_env,
        "concurrency": concurrency,
        "prices": prices,
        "template": template,
        "extra_body": extra_body,
        "system": system,
    }
    return EndpointModel(where, **settings) if batch is None else BatchModel(where, batch=batch, **settings)


BACKENDS: dict[str, Callable[..., ChatModel]] = {"http": _endpoint, "https": _endpoint}
"""Who opens an address, by what stands before its colon; any other address is a local model."""
