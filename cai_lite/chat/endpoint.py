"""A chat model on any OpenAI-compatible server, called from several threads at once.

What becomes of a call that the server does not answer as asked stands in `calling`. The API key is read from the
environment and is only ever put into requests.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Literal

from cai_lite.chat.base import SystemMessage, settings_digest
from cai_lite.chat.bounded import Bound, Overrun, answer_size
from cai_lite.chat.calling import Calls
from cai_lite.chat.completions import read_completion
from cai_lite.chat.connection import CONNECT, Connection
from cai_lite.chat.line import Line
from cai_lite.chat.rendering import merged_system
from cai_lite.chat.statuses import remedy, server_words
from cai_lite.chat.window import Window
from cai_lite.errors import ModelError, without_secrets
from cai_lite.records import Reply, Request, dicts_of, digest

_LOOK = 5.0  # seconds between two looks at calls that are overdue
_FINISHING = 60.0  # seconds that calls under way are given when the run stops: they are paid for
# What every request sets itself: another value in `extra_body` would make the recipe say something else.
_OWN = ("model", "messages", "temperature", "top_p", "max_tokens", "seed", "logprobs", "top_logprobs", "n", "stream")


class EndpointModel:
    """A chat model on an OpenAI-compatible server.

    `url`: the base URL, ending in /v1. `model`: its name on the server. `api_key_env`: the environment variable with
    the API key. `concurrency`: the largest number of simultaneous calls; it adapts to what the server accepts.
    `timeout`: the longest silence of the server in one attempt, in seconds. `deadline`: of one call with all its
    retries, in seconds, without the time in which the server cannot be reached at all (see `Line`). `prices`: the
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
        self.api_key_env, self.concurrency, self._prices = api_key_env, concurrency, prices
        self._timeout, self._deadline = timeout, deadline
        self._line = Line()
        self._window = Window(concurrency)  # what the server accepts is learnt once, not once per stage
        self._connection: Connection | None = None

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Yield replies as they arrive, in any order. Only the running calls are kept, so memory use stays constant.

        If an error ends it, the calls under way are waited for and yielded first, since they are paid for. If the
        caller ends it early, the connection is closed, so that no call goes on unseen.
        """
        connection, window = self.connection(), self._window
        calls = Calls(
            url=self.url,
            body=self.body,
            explain=self.refusal,
            words=self._words,
            line=self._line,
            window=window,
            prices=self._prices,
            timeout=self._timeout,
            deadline=self._deadline,
        )
        waiting = enumerate(requests)
        running: dict[Future[Reply], int] = {}
        done: SimpleQueue[Future[Reply]] = SimpleQueue()
        problem: Exception | None = None
        until = float("inf")
        try:
            while True:
                while problem is None and len(running) < window.size and (following := next(waiting, None)) is not None:
                    position, request = following
                    call = connection.pool.submit(calls.ask, connection, request)
                    running[call] = position
                    call.add_done_callback(done.put)
                if not running or time.monotonic() > until:
                    break
                arrived: dict[int, Reply] = {}
                for call in _finished(done):
                    position = running.pop(call)
                    if call.cancelled():
                        continue
                    error = call.exception()
                    if error is None and (problem is None or call.result().outcome != "failed"):
                        arrived[position] = call.result()
                    elif isinstance(error, Exception) and problem is None:
                        problem = error
                        connection.finish()
                        until = time.monotonic() + (_FINISHING if self._line.heard else 0.0)
                if arrived:
                    yield arrived
                connection.end_overdue()
            if problem is not None:
                raise problem
        finally:
            if running or problem is not None:
                self.close()

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Yield the reply piece by piece, and last as a whole; see `streaming`. A broken stream yields no reply."""
        import openai

        started, parts, ending = (
            time.monotonic(),
            dict.fromkeys(("content", "reasoning_content", "reasoning"), ""),
            None,
        )
        bound = Bound(started + self._deadline, answer_size(request) * 100)  # each token comes in an event of its own
        try:
            for event in self.connection().events(self.body(request), bound):
                choice = (event.get("choices") or [{}])[0]
                delta = choice.get("delta") or {}
                for name in parts:
                    parts[name] += delta.get(name) or ""
                ending = choice.get("finish_reason") or ending
                if delta.get("content"):
                    yield delta["content"]
        except (openai.OpenAIError, Overrun, ValueError, TypeError, AttributeError):
            return  # asked again as a whole, where each fault has its name
        body = {"choices": [{"message": parts, "finish_reason": ending}]}
        if ending is not None:
            yield read_completion(body, request, prices=self._prices, seconds=time.monotonic() - started)

    def answered_before(self) -> None:
        """Take note that the server answered requests like these in an earlier session of a run."""
        self._line.answered()

    def connection(self) -> Connection:
        """Return the open connection to the server, opening it at the first call and after `close`."""
        if self._connection is None or self._connection.closed:
            self._connection = Connection(self._client, self.concurrency)
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
        words = self._words(error)
        said = f' ("{words}")' if words else ""
        mend = remedy(error, self.api_key_env)
        if (
            self.system == "keep"
            and status in (400, 422, 500)
            and "system" in words.lower()
            and (request is None or any(m.role == "system" for m in request.messages))
        ):
            mend = "if its chat template has no system message, set 'system: merge' for this model"
        return f"{self.url} answers HTTP {status} for model '{self.model}'{said}: {mend}"

    def _words(self, error: Any) -> str:
        """Return what the server says about an HTTP error, without the key."""
        return without_secrets(server_words(error).replace(self._key(), "***"))

    def _client(self, hooks: Any) -> Any:
        """Return an openai client for this server, which retries nothing and follows no redirect."""
        import openai

        timeout = openai.Timeout(self._timeout, connect=min(self._timeout, CONNECT))
        return openai.OpenAI(
            base_url=self.url,
            api_key=self._key(),
            max_retries=0,
            timeout=timeout,
            # What is compressed in other ways could not be bounded while it is read.
            default_headers={"Accept-Encoding": "gzip, deflate"},
            http_client=openai.DefaultHttpxClient(timeout=timeout, follow_redirects=False, event_hooks=hooks),
        )

    def _key(self) -> str:
        return os.environ.get(self.api_key_env) or "none"  # local servers require a key but ignore it


def _finished(done: SimpleQueue[Future[Reply]]) -> list[Future[Reply]]:
    """Return the calls that are finished, waiting for the first of them, but not for long; dropped ones are none."""
    try:
        finished = [done.get(timeout=_LOOK)]
        while not done.empty():
            finished.append(done.get())
    except Empty:
        return []
    return finished


def own_field(extra_body: Mapping[str, Any]) -> str:
    """Return what is wrong with the names in `extra_body`, or ""."""
    for name in extra_body:
        if name in _OWN:
            return f"'extra_body': '{name}' is set by every request itself; use the setting of the recipe"
    return ""
