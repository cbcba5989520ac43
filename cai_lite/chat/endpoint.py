"""A chat model on any OpenAI-compatible server, called from several threads at once.

HTTP 400, 401 and their like raise an error at once; 408, 409, 429, 5xx and broken connections are retried with jitter
until a deadline, respecting Retry-After. The API key is read from the environment and is only ever put into requests.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, Literal

from cai_lite.chat.window import Window
from cai_lite.errors import ChatError, without_secrets
from cai_lite.records import Reply, Request, dicts_of, digest

_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OVERLOADED = {429, 503, 529}
_FIRST_ATTEMPTS = 4  # attempts of a call before the server has answered any call: about three seconds
_FATAL = {400, 401, 403, 404, 405, 422}


class EndpointModel:
    """A chat model on an OpenAI-compatible server.

    `url`: the base URL, ending in /v1. `model`: its name on the server. `api_key_env`: the environment variable with
    the API key. `concurrency`: the largest number of simultaneous calls; it adapts to what the server accepts.
    `timeout`: of one attempt, in seconds. `deadline`: of one call with all its retries, in seconds. `prices`: the
    prices of a million prompt tokens and of a million reply tokens, in any currency.
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
    ) -> None:
        self.url, self.model, self.name = url.rstrip("/"), model, without_secrets(model)
        self.digest = digest("endpoint", without_secrets(self.url), self.name)  # a new password asks nothing anew
        self.wording: Literal["full", "short"] = "full"
        self.api_key_env, self._concurrency, self._prices = api_key_env, concurrency, prices
        self._timeout, self._deadline = timeout, deadline
        self._has_answered = False  # whether the server ever returned a completion

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Yield replies as they arrive, in any order. Only the running calls are kept, so memory use stays constant."""
        client = self.client()
        pool, window = ThreadPoolExecutor(self._concurrency), Window(self._concurrency)
        waiting = enumerate(requests)
        running: dict[Any, int] = {}
        try:
            while True:
                while len(running) < window.size and (following := next(waiting, None)) is not None:
                    position, request = following
                    running[pool.submit(self._ask, client, request, window)] = position
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                yield {running.pop(call): call.result() for call in done}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()

    def client(self) -> Any:
        """Return an openai client for this server, with its own retries switched off."""
        from openai import OpenAI

        key = os.environ.get(self.api_key_env) or "none"  # local servers require a key but ignore it
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=self._timeout)

    def _ask(self, client: Any, request: Request, window: Window) -> Reply:
        import openai

        started, attempts = time.monotonic(), 0
        while True:
            attempts, asked = attempts + 1, time.monotonic()
            try:
                reply = self._read(self._create(client, request), request, attempts, time.monotonic() - started)
                self._has_answered = True
                window.answered(time.monotonic() - asked, reply.tokens_out)
                return reply
            except openai.APIStatusError as error:
                fault, pause = f"HTTP {error.status_code}", _retry_after(error.response.headers)
                if error.status_code in _OVERLOADED:
                    window.refused()
                if error.status_code in _FATAL:
                    raise ChatError(
                        f"{self.url} answers HTTP {error.status_code} for model '{self.model}': "
                        f"{remedy(error.status_code, self.api_key_env)}"
                    ) from error
                if error.status_code not in _RETRIED:
                    return Reply(
                        text="", outcome="failed", fault=fault, attempts=attempts, seconds=time.monotonic() - started
                    )
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
            if time.monotonic() - started + pause > self._deadline:
                return Reply(
                    text="", outcome="failed", fault=fault, attempts=attempts, seconds=time.monotonic() - started
                )
            time.sleep(pause)

    def _give_up_if_never_answered(self, attempts: int, what: str, error: Exception) -> None:
        """Stop retrying if the server has never answered: then the URL is wrong or the server is not running.

        Raises:
            ChatError: the server has not answered any call, after several attempts.
        """
        if not self._has_answered and attempts >= _FIRST_ATTEMPTS:
            raise ChatError(
                f"{self.url} {what}: check the URL (it ends in /v1), and that the server is running"
            ) from error

    def _create(self, client: Any, request: Request) -> Any:
        sampling = request.sampling
        more: dict[str, Any] = {"logprobs": True, "top_logprobs": 20} if request.options else {}
        if sampling.temperature > 0:
            # Samples of one request differ in their seed; servers without seeds ignore it.
            more["seed"] = int(request.key(self.digest)[:7], 16)
        return client.chat.completions.create(
            model=self.model,
            messages=dicts_of(request.messages),
            top_p=sampling.top_p,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            **more,
        )

    def _read(self, answer: Any, request: Request, attempts: int, seconds: float) -> Reply:
        choices = getattr(answer, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise ValueError("no choices")
        choice, usage = choices[0], getattr(answer, "usage", None)
        tokens_in, tokens_out = (int(getattr(usage, name, 0) or 0) for name in ("prompt_tokens", "completion_tokens"))
        text = (choice.message.content or "").strip()
        ending = choice.finish_reason
        refused = ending == "content_filter" or bool(getattr(choice.message, "refusal", None))
        outcome: Literal["ok", "cut", "empty", "refused"] = (
            "refused"
            if refused
            else "cut"
            if ending == "length" and not request.options
            else "empty"
            if not text
            else "ok"
        )
        return Reply(
            text=text,
            outcome=outcome,
            fault="" if outcome == "ok" else f"finish_reason {ending}",
            log_probs=option_log_probs(choice, request.options) if request.options else None,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            attempts=attempts,
            seconds=seconds,
            cost=(tokens_in * self._prices[0] + tokens_out * self._prices[1]) / 1e6,
        )


def option_log_probs(choice: Any, options: tuple[str, ...]) -> dict[str, float] | None:
    """Return the log-probability of each option as the first word, in nats, or None.

    The result is None unless the server returns all of them; some servers accept `logprobs` with HTTP 200 and ignore
    it.
    """
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not content or not content[0].top_logprobs:
        return None
    found: dict[str, float] = {}
    for alternative in content[0].top_logprobs:
        word = alternative.token.strip().lower()
        for option in options:
            if word == option.lower():
                found[option] = max(found.get(option, alternative.logprob), alternative.logprob)
    return found if set(found) == set(options) else None


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
