"""A chat model on any OpenAI-compatible server, called from several threads at once.

HTTP 400, 401 and their like raise an error at once; 408, 409, 429, 5xx and broken connections are retried with jitter
until a deadline, respecting Retry-After. The API key is read from the environment and is only ever put into requests.
"""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Literal

from cai_lite.chat.base import SystemMessage, settings_digest
from cai_lite.chat.completions import plainly, read_completion
from cai_lite.chat.connection import Connection
from cai_lite.chat.rendering import merged_system
from cai_lite.chat.window import Window
from cai_lite.errors import ChatError, ModelError, without_secrets
from cai_lite.records import Reply, Request, dicts_of, digest

_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OVERLOADED = {429, 503, 529}
_FIRST_ATTEMPTS = 4  # attempts of a call before the server has answered any call: about three seconds
_FATAL = {400, 401, 403, 404, 405, 422}
# What every request sets itself: another value in `extra_body` would make the recipe say something else.
_OWN = ("model", "messages", "temperature", "top_p", "max_tokens", "seed", "logprobs", "top_logprobs", "n", "stream")


class EndpointModel:
    """A chat model on an OpenAI-compatible server.

    `url`: the base URL, ending in /v1. `model`: its name on the server. `api_key_env`: the environment variable with
    the API key. `concurrency`: the largest number of simultaneous calls; it adapts to what the server accepts.
    `timeout`: of one attempt, in seconds. `deadline`: of one call with all its retries, in seconds. `prices`: the
    prices of a million prompt tokens and of a million reply tokens, in any currency. `template`: variables of the
    model's chat template, such as `{"enable_thinking": False}`, sent as `chat_template_kwargs`. `extra_body`: further
    fields of every request. `system`: "merge" puts the system message in front of the first user turn.

    The connection and the number of simultaneous calls are kept until `close`; the next call opens them again.

    Raises:
        ModelError: `extra_body` holds a field that every request sets itself.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 64,
        timeout: float = 120.0,
        deadline: float = 600.0,
        prices: tuple[float, float] = (0.0, 0.0),
        template: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        system: SystemMessage = "keep",
    ) -> None:
        self.url, self.model, self.name = url.rstrip("/"), model, without_secrets(model)
        self.template, self.extra_body = dict(template or {}), dict(extra_body or {})
        self.system: SystemMessage = system
        if problem := own_field(self.extra_body):
            raise ModelError(f"{url}: {problem}")
        self.digest = digest(  # a new password asks nothing anew
            "endpoint",
            without_secrets(self.url),
            self.name,
            *settings_digest(template=self.template, extra_body=self.extra_body, system=system),
        )
        self.wording: Literal["full", "short"] = "full"
        self.api_key_env, self._concurrency, self._prices = api_key_env, concurrency, prices
        self._timeout, self._deadline = timeout, deadline
        self._has_answered = False  # whether the server ever returned a completion
        self._window = Window(concurrency)  # what the server accepts is learnt once, not once per stage
        self._connection: Connection | None = None

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Yield replies as they arrive, in any order. Only the running calls are kept, so memory use stays constant.

        If an error or the caller ends it early, the connection is closed, so that no call goes on unseen.
        """
        connection, window = self.connection(), self._window
        waiting = enumerate(requests)
        running: dict[Future[Reply], int] = {}
        done: SimpleQueue[Future[Reply]] = SimpleQueue()
        try:
            while True:
                while len(running) < window.size and (following := next(waiting, None)) is not None:
                    position, request = following
                    call = connection.pool.submit(self._ask, connection, request)
                    running[call] = position
                    call.add_done_callback(done.put)
                if not running:
                    return
                finished = [done.get()]
                while not done.empty():
                    finished.append(done.get())
                yield {running.pop(call): call.result() for call in finished}
        finally:
            if running:
                self.close()

    def connection(self) -> Connection:
        """Return the open connection to the server, opening it at the first call and after `close`."""
        if self._connection is None or self._connection.closed:
            self._connection = Connection(self._client(), self._concurrency)
            weakref.finalize(self, self._connection.close)  # also for a model that nobody closes
        return self._connection

    def close(self) -> None:
        """Close the connection. The model stays usable: the next call opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON body that asks for one reply."""
        sampling = request.sampling
        messages = merged_system(request.messages) if self.system == "merge" else request.messages
        body: dict[str, Any] = {
            "model": self.model,
            "messages": dicts_of(messages),
            "top_p": sampling.top_p,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }
        if request.options:
            body |= {"logprobs": True, "top_logprobs": 20}
        if sampling.temperature > 0:
            # Samples of one request differ in their seed; servers without seeds ignore it.
            body["seed"] = int(request.key(self.digest)[:7], 16)
        return body | self.fields()

    def fields(self) -> dict[str, Any]:
        """Return the fields that `template` and `extra_body` add to every request."""
        if not self.template:
            return dict(self.extra_body)
        variables = {**(self.extra_body.get("chat_template_kwargs") or {}), **self.template}
        return {**self.extra_body, "chat_template_kwargs": variables}

    def refusal(self, error: Any, request: Request | None = None) -> str:
        """Return a message for an HTTP error that no second attempt would mend, with the server's own words."""
        status = error.status_code
        words = server_words(error).replace(self._key(), "***")
        said = f' ("{words}")' if words else ""
        mend = remedy(status, self.api_key_env)
        if (
            self.system == "keep"
            and status in (400, 422, 500)
            and "system" in words.lower()
            and (request is None or any(m.role == "system" for m in request.messages))
        ):
            mend = "if its chat template has no system message, set 'system: merge' for this model"
        return f"{self.url} answers HTTP {status} for model '{self.model}'{said}: {mend}"

    def _client(self) -> Any:
        """Return an openai client for this server, with its own retries switched off."""
        from openai import OpenAI

        return OpenAI(base_url=self.url, api_key=self._key(), max_retries=0, timeout=self._timeout)

    def _key(self) -> str:
        return os.environ.get(self.api_key_env) or "none"  # local servers require a key but ignore it

    def _ask(self, connection: Connection, request: Request) -> Reply:
        import openai

        started, attempts = time.monotonic(), 0
        body = self.body(request)
        failed = partial(Reply, text="", outcome="failed")
        while True:
            attempts, asked = attempts + 1, time.monotonic()
            try:
                answer, seconds = connection.post(body), time.monotonic() - started
                reply = read_completion(answer, request, prices=self._prices, attempts=attempts, seconds=seconds)
                self._has_answered = True
                self._window.answered(time.monotonic() - asked, reply.tokens_out)
                return reply
            except openai.APIStatusError as error:
                fault, pause = f"HTTP {error.status_code}", _retry_after(error.response.headers)
                if error.status_code in _OVERLOADED:
                    self._window.refused()
                if error.status_code in _FATAL:
                    raise ChatError(self.refusal(error, request)) from error
                if error.status_code not in _RETRIED:
                    return failed(fault=fault, attempts=attempts, seconds=time.monotonic() - started)
            except openai.APITimeoutError:
                fault, pause = "timeout", None
            except openai.APIConnectionError as error:
                fault, pause = "connection", None
                self._give_up_if_never_answered(attempts, "cannot be reached", error)
            except (openai.OpenAIError, ValueError) as error:  # the body is not a completion: HTML, truncated JSON
                fault, pause = f"body: {type(error).__name__}", None
                self._give_up_if_never_answered(attempts, "answers, but returns no chat completion", error)
            if pause is None:
                pause = min(30.0, 0.5 * 2 ** (attempts - 1)) * random.uniform(0.5, 1.0)
            if connection.closed or time.monotonic() - started + pause > self._deadline:
                return failed(fault=fault, attempts=attempts, seconds=time.monotonic() - started)
            connection.pause(pause)

    def _give_up_if_never_answered(self, attempts: int, what: str, error: Exception) -> None:
        """Stop retrying if the server has never answered: then the URL is wrong or the server is not running.

        Raises:
            ChatError: the server has not answered any call, after several attempts.
        """
        if not self._has_answered and attempts >= _FIRST_ATTEMPTS:
            raise ChatError(
                f"{self.url} {what}: check the URL (it ends in /v1), and that the server is running"
            ) from error


def own_field(extra_body: Mapping[str, Any]) -> str:
    """Return what is wrong with the names in `extra_body`, or ""."""
    for name in extra_body:
        if name in _OWN:
            return f"'extra_body': '{name}' is set by every request itself; use the setting of the recipe"
    return ""


def server_words(error: Any) -> str:
    """Return the message in the body of an HTTP error, shortened and without control characters; "" for none."""
    body = getattr(error, "body", None)
    for _ in range(2):
        if isinstance(body, Mapping):
            body = next((body[name] for name in ("message", "error", "detail") if body.get(name)), "")
    if isinstance(body, list):
        body = str(body)
    return plainly(body) if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def _retry_after(headers: Any) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after")))
    except (TypeError, ValueError):
        return None


def remedy(status: int, api_key_env: str) -> str:
    """Return what the user can do about an HTTP status."""
    if status in (401, 403):
        return f"check the key in ${api_key_env}"
    if status == 404:
        return "check the URL (it ends in /v1) and the model name"
    if status >= 500:
        return "the server failed; see its log"
    return "the server rejects this request; check the model name and its context length"
