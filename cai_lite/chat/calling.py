"""Make one call of a server: attempt after attempt, until there is a reply or a fault with a name.

Passing faults are retried with jitter until a deadline, at the pace that the server asks for. A request that a server
refuses fails alone, once the server has answered others. An account without credit, or a pause beyond the deadline,
stops the run, which can be resumed; a wrong key or address ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cai_lite.chat.bounded import Bound, Overrun, answer_size
from cai_lite.chat.completions import plainly, read_completion
from cai_lite.chat.connection import Connection
from cai_lite.chat.line import Line, backoff
from cai_lite.chat.statuses import is_starting, meaning, pause_asked
from cai_lite.chat.window import Window
from cai_lite.errors import ChatError, Stopped
from cai_lite.records import Outcome, Reply, Request

_FIRST_ATTEMPTS = 4  # attempts of a call before the server has answered any call: about three seconds
_BODY_ATTEMPTS = 8  # attempts of a call whose replies cannot be read; each of them may be paid for


class _Fault(NamedTuple):
    """What became of an attempt.

    `again`: another attempt may mend it, after at least `pause` seconds. `kind`: "lost" without a connection, "body" if
    the reply could not be read. `outcome`: of the call, if no attempt mends it.
    """

    words: str
    again: bool = True
    pause: float = 0.0
    kind: Literal["", "lost", "body"] = ""
    outcome: Outcome = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How one server is called, and what its threads know together.

    `body`: returns the JSON body of a request. `explain`: returns what an HTTP error means for a user,
    `words` what the server says of it. `timeout`, `deadline`, `prices`: as in `EndpointModel`.
    """

    url: str
    body: Callable[[Request], dict[str, Any]]
    explain: Callable[[Any, Request], str]
    words: Callable[[Any], str]
    line: Line
    window: Window
    prices: tuple[float, float]
    timeout: float
    deadline: float

    def ask(self, connection: Connection, request: Request) -> Reply:
        """Return the reply to one request, after as many attempts as it takes and the deadline allows.

        Raises:
            ChatError: the server cannot be asked at all. Stopped: it answers no more for now.
        """
        begun, down, attempts, unread = time.monotonic(), 0.0, 0, 0  # `down`: seconds without a connection
        body, size = self.body(request), answer_size(request)
        while True:
            try:
                down += self.line.wait(connection)
            except Stopped as error:
                raise Stopped(f"{self.url} {error}: run the same command again once it is back") from error
            attempts, asked = attempts + 1, time.monotonic()
            left = max(0.01, self.deadline - (asked - begun - down))
            try:
                answer = connection.post(body, Bound(asked + left, size), left if left < self.timeout else None)
                seconds = time.monotonic() - begun
                reply = read_completion(answer, request, prices=self.prices, attempts=attempts, seconds=seconds)
                self.line.answered()
                self.window.answered(time.monotonic() - asked, reply.tokens_out)
                return reply
            except Exception as error:
                fault = self._fault(error, request, attempts)
            if fault.kind == "lost":
                down += time.monotonic() - asked
            unread += fault.kind == "body"
            spent, pause = time.monotonic() - begun - down, max(fault.pause, backoff(attempts))
            over = spent + pause > self.deadline or unread >= _BODY_ATTEMPTS
            if connection.closed or not fault.again or (over and fault.kind != "lost"):
                return self._failed(fault, attempts, time.monotonic() - begun, over)
            if fault.kind != "lost" or not self.line.heard:  # otherwise the line says when it is this call's turn
                connection.pause(pause)

    def _failed(self, fault: _Fault, attempts: int, seconds: float, over: bool) -> Reply:
        """Return the reply that says that a call failed.

        Raises:
            ChatError: the server never answered any call. Stopped: it has long answered nothing.
        """
        if over and not self.line.heard and attempts >= _FIRST_ATTEMPTS:
            raise ChatError(f"{self.url} has answered no call yet, the last with '{fault.words}': see the server's log")
        if over:
            try:
                self.line.check()
            except Stopped as error:
                raise Stopped(f"{self.url} {error}, the last is '{fault.words}': run the same command again") from error
        return Reply(text="", outcome=fault.outcome, fault=fault.words, attempts=attempts, seconds=seconds)

    def _fault(self, error: Exception, request: Request, attempts: int) -> _Fault:
        """Return what became of an attempt that raised `error`.

        Raises:
            ChatError: the server cannot be asked at all. Stopped: it answers no more for now.
        """
        import openai

        if isinstance(error, openai.APIStatusError):
            self.line.reached()
            return self._refused(error, request, attempts)
        cause = type(error.__cause__).__name__
        if isinstance(error, openai.APIConnectionError) and cause in ("ConnectError", "ConnectTimeout", "ProxyError"):
            self.line.lost()
            self._give_up_if_never_answered(attempts, "cannot be reached", error)
            return _Fault("connection", kind="lost")
        self.line.reached()
        if isinstance(error, openai.APITimeoutError):
            return _Fault("timeout")
        if isinstance(error, openai.APIConnectionError):
            self._give_up_if_never_answered(attempts, "breaks every connection", error)
            return _Fault("connection")
        if isinstance(error, (openai.OpenAIError, Overrun, ValueError, RecursionError)):
            self._give_up_if_never_answered(attempts, "answers, but returns no chat completion", error)
            words = str(error) if isinstance(error, Overrun) else f"body: {plainly(str(error), 80)}"
            return _Fault(words, kind="body")
        raise error

    def _refused(self, error: Any, request: Request, attempts: int) -> _Fault:
        """Return what becomes of a call that was answered with an HTTP error.

        Raises:
            ChatError, Stopped: as in `_fault`.
        """
        kind, pause, heard = meaning(error), pause_asked(error.response.headers), self.line.heard
        fault = f"HTTP {error.status_code}"
        if kind == "credit":
            raise Stopped(self.explain(error, request)) from error
        if kind in ("busy", "passing"):
            if kind == "busy":
                self.window.refused()
            if pause > self.deadline:
                raise Stopped(
                    f"{self.url} answers HTTP {error.status_code} and asks for a pause of {pause / 60:,.0f} minutes: "
                    "run the same command again after it"
                ) from error
            if not is_starting(error):
                self._give_up_if_never_answered(attempts, f"answers every call with {fault}", error)
            return _Fault(fault, pause=pause)
        said = f"{fault}: {plainly(self.words(error), 120)}".removesuffix(": ")
        if kind == "filtered":
            return _Fault(said, again=False, outcome="refused")
        lasting = kind in ("key", "address", "redirect") and self.line.struck()
        if lasting or not heard:
            raise ChatError(self.explain(error, request)) from error
        return _Fault(said, again=False)

    def _give_up_if_never_answered(self, attempts: int, what: str, error: Exception) -> None:
        """Stop retrying if the server has never answered: then the URL is wrong or the server is not running.

        Raises:
            ChatError: the server has not answered any call, after several attempts.
        """
        if not self.line.heard and attempts >= _FIRST_ATTEMPTS:
            raise ChatError(
                f"{self.url} {what}: check the URL (it ends in /v1), and that the server is running"
            ) from error
