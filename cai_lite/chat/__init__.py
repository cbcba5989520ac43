"""Whom we ask: `open_model` gives a ChatModel for an endpoint, a local model or an embedded one."""

from __future__ import annotations

from pathlib import Path

from cai_lite.chat.base import ChatModel
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import Load
from cai_lite.errors import ModelError

__all__ = ["ChatModel", "open_model"]


def open_model(
    where: str,
    *,
    model: str | None = None,
    load: Load | None = None,
    adapter: str | Path | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    concurrency: int = 64,
    prices: tuple[float, float] = (0.0, 0.0),
) -> EndpointModel | LocalModel:
    """Open a model to be asked. Nothing is loaded or connected before the first question.

    `where`: the URL of an OpenAI-compatible server (then `model` is its name there), a model folder, a hub id, or
    `embedded:teacher` / `embedded:student`. `load` and `adapter` are for local models, `concurrency` (most calls
    under way at once) and `prices` (of a million tokens read and written) for servers.

    Raises:
        ModelError: no such folder, or options that do not go together.
    """
    if where.startswith(("http://", "https://")):
        if model is None:
            raise ModelError(f"{where}: which model? open_model(url, model='Qwen/Qwen3-32B')")
        if load is not None or adapter is not None:
            raise ModelError(
                f"{where}: 'load' and 'adapter' are for local models; the server decides how it loads its own"
            )
        return EndpointModel(where, model=model, api_key_env=api_key_env, concurrency=concurrency, prices=prices)
    if model is not None:
        raise ModelError(f"'{where}' is a local model, so 'model' says nothing; to ask a server give its URL")
    return LocalModel(where, load=load, adapter=adapter, wording="short" if where == "embedded:teacher" else "full")
