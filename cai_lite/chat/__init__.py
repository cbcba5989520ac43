"""Chat models: `open_model` opens a server's model, a local one or an embedded one.

To add a backend, write a class with the methods of `ChatModel` in a file of this folder, and name a function that opens
it in `BACKENDS`, under the prefix that its addresses begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cai_lite.chat.base import ChatModel, SystemMessage
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import Load
from cai_lite.errors import ModelError

__all__ = ["BACKENDS", "ChatModel", "open_model"]


def open_model(
    where: str,
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
) -> ChatModel:
    """Open a model to be asked. Nothing is loaded or connected before the first question.

    `where`: the URL of an OpenAI-compatible server (then `model` is its name there), a model folder, a hub id, or
    `embedded:teacher` / `embedded:student`. `load` and `adapter` are for local models, `concurrency` (the highest
    number of calls under way at once), `prices` (of a million tokens read and written) and `extra_body` (further
    fields of every request) for servers. `template`: variables of the chat template, such as
    `{"enable_thinking": False}` for a model that thinks. `system`: "merge" puts the system message in front of the
    first user turn, for chat templates that refuse one.

    Raises:
        ModelError: no such folder, or options that do not go together.
    """
    prefix = where.partition(":")[0]
    given = {
        "model": model,
        "load": load,
        "adapter": adapter,
        "template": template,
        "extra_body": extra_body,
        "system": system if system != "keep" else None,
    }
    if prefix in BACKENDS:
        server = {"api_key_env": api_key_env, "concurrency": concurrency, "prices": prices}
        return BACKENDS[prefix](where, **{name: value for name, value in given.items() if value is not None}, **server)
    if model is not None:
        raise ModelError(f"'{where}' is a local model, so 'model' says nothing; to ask a server give its URL")
    if extra_body:
        raise ModelError(f"'{where}' is a local model: 'extra_body' is for servers; 'template' works for both")
    return LocalModel(
        where,
        load=load,
        adapter=adapter,
        wording="short" if where == "embedded:teacher" else "full",
        template=template,
        system=system,
    )


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
) -> EndpointModel:
    if model is None:
        raise ModelError(f"{where}: which model? open_model(url, model='Qwen/Qwen3-32B')")
    if load is not None or adapter is not None:
        raise ModelError(f"{where}: 'load' and 'adapter' are for local models; the server decides how it loads its own")
    return EndpointModel(
        where,
        model=model,
        api_key_env=api_key_env,
        concurrency=concurrency,
        prices=prices,
        template=template,
        extra_body=extra_body,
        system=system,
    )


BACKENDS: dict[str, Callable[..., ChatModel]] = {"http": _endpoint, "https": _endpoint}
"""Who opens an address, by what stands before its colon; any other address is a local model."""
