"""The calls of a batch API in OpenAI's form: upload, create, find, look at and fetch a batch, each until it succeeds.

A server that once answered is tried for as long as a lost connection is waited for; what it refuses ends the waiting,
with the batch noted in the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Any

from cai_lite.chat.batch_rows import ENDPOINT
from cai_lite.chat.bounded import Bound, Overrun
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.line import PATIENCE, backoff
from cai_lite.chat.statuses import meaning, pause_asked
from cai_lite.errors import ChatError, Stopped

MARK = "cai_lite"  # the name of a batch's mark in its metadata
_ATTEMPTS = 4  # at a server that never answered
_PAGES = 100  # of the server's list of batches
_SECONDS, _BYTES = 600.0, 1 << 24  # of the answer to a call
_FILE_SECONDS, _FILE_BYTES = 6 * 3600.0, 1 << 36  # of a file of results, which is read row by row
_LONGEST_ROW = 1 << 26  # bytes
_FAULTS = 120  # characters
_KNOWN = ("batch ", "the results ")  # what begins so was submitted already


class Attempt:
    """A context manager around one attempt: it takes a fault that another attempt may mend, and pauses."""

    def __init__(self, calls: BatchCalls, what: str, number: int, begun: float) -> None:
        self.number, self.succeeded = number, False
        self._calls, self._what, self._begun = calls, what, begun

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.succeeded = error is None
        if not isinstance(error, Exception):
            return False
        return self._calls.takes(error, self._what, self.number, self._begun)


class BatchCalls:
    """The calls about batches of one server.

    All of them but `attempts` and `state` raise what the openai client raises, so they belong inside of an attempt.
    """

    def __init__(self, endpoint: EndpointModel) -> None:
        self._endpoint = endpoint
        self._heard = False

    def attempts(self, what: str) -> Iterator[Attempt]:
        """Yield attempts until one of them succeeds. `what`: what is asked for, for messages.

        Raises:
            ChatError: the server refuses it, or never answered. Stopped: it answers no more for now.
        """
        begun, number = time.monotonic(), 0
        while True:
            number += 1
            attempt = Attempt(self, what, number, begun)
            yield attempt
            if attempt.succeeded:
                self._heard = True
                return

    def upload(self, name: str, file: IO[bytes]) -> str:
        """Upload a file of requests, in as many attempts as it takes, and return its id."""
        found = ""
        for attempt in self.attempts("an upload of requests"):
            with attempt:
                file.seek(0)
                made = self._client().files.create(file=(name, file, "application/jsonl"), purpose="batch")
                found = _id(getattr(made, "id", None))
        return found

    def create(self, mark: str, file: str) -> str:
        """Make a batch of an uploaded file, and return its id."""
        body = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h", "metadata": {MARK: mark}}
        return _id(_object(self._client().post("/batches", cast_to=object, body=body)).get("id"))

    def find(self, mark: str, file: str) -> str | None:
        """Return the id of the batch with this mark, or of this file, in the server's list; None if there is none."""
        query: dict[str, Any] = {"limit": 100}
        for _ in range(_PAGES):
            page = _object(self._client().get("/batches", cast_to=object, options={"params": query}))
            listed = [batch for batch in page.get("data") or () if isinstance(batch, Mapping)]
            for batch in listed:
                metadata = batch.get("metadata")
                marked = isinstance(metadata, Mapping) and metadata.get(MARK) == mark
                if marked or batch.get("input_file_id") == file:
                    return _id(batch.get("id"))
            if not listed or not page.get("has_more"):
                break
            query["after"] = _id(listed[-1].get("id"))
        return None

    def state(self, batch: str) -> dict[str, Any]:
        """Return what the server says of a batch, in as many attempts as it takes; its status in lower case."""
        found: dict[str, Any] = {}
        for attempt in self.attempts(f"batch {batch}"):
            with attempt:
                said = _object(self._client().get(f"/batches/{batch}", cast_to=object))
                found = {**said, "status": str(said.get("status")).lower()}
        return found

    def lines(self, file: str) -> Iterator[bytes]:
        """Yield the lines of a file of results while it arrives."""
        import openai

        client = self._endpoint.connection().client(Bound(time.monotonic() + _FILE_SECONDS, _FILE_BYTES))
        rest = b""
        try:
            with client.files.with_streaming_response.content(file) as response:
                for chunk in response.iter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from whole
                    if len(rest) > _LONGEST_ROW:
                        raise Overrun(f"body: a row of over {_LONGEST_ROW:,} bytes")
        except (openai.OpenAIError, Overrun):
            raise
        except Exception as error:  # the client raises what it meets between two chunks
            raise ValueError(type(error).__name__) from error
        yield rest

    def takes(self, error: Exception, what: str, number: int, begun: float) -> bool:
        """Pause and return True if another attempt may mend an error, and False if it is none of the server's.

        Raises:
            ChatError: the server refuses it, or never answered. Stopped: it answers no more for now.
        """
        import openai

        url, pause = self._endpoint.url, 0.0
        if isinstance(error, openai.APIStatusError):
            kind = meaning(error)
            if kind == "credit":
                raise Stopped(self._endpoint.refusal(error)) from error
            if kind not in ("busy", "passing"):
                raise ChatError(
                    f"{self._endpoint.refusal(error)}; this was {what}: {self._mend(kind, what)}"
                ) from error
            fault, pause = f"HTTP {error.status_code}", pause_asked(error.response.headers)
        elif isinstance(error, openai.OpenAIError | Overrun | ValueError):
            fault = f"{type(error).__name__}: {error}"[:_FAULTS]
        else:
            return False
        if not self._heard and number >= _ATTEMPTS:
            raise ChatError(
                f"{url} gives no {what}, the last attempt ended with '{fault}': check the URL (it ends in /v1), and "
                "that the server takes batches; 'batch: false' asks live"
            ) from error
        if time.monotonic() - begun + pause > PATIENCE:
            raise Stopped(f"{url} gives no {what}, the last attempt ended with '{fault}': run the same command again")
        self._endpoint.connection().pause(max(pause, backoff(number)))
        return True

    def _mend(self, kind: str, what: str) -> str:
        if what.startswith(_KNOWN) and kind in ("key", "address"):
            return "use the key that submitted it; 'batch: false' gives it up, and asks its calls live and anew"
        return "a server without a batch API takes 'batch: false'"

    def _client(self) -> Any:
        return self._endpoint.connection().client(Bound(time.monotonic() + _SECONDS, _BYTES))


def _object(body: object) -> Mapping[str, Any]:
    """Return the body of an answer, which should be an object.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(body, Mapping):
        raise ValueError("the answer is no JSON object")
    return body


def _id(found: object) -> str:
    """Return the id of a file or a batch.

    Raises:
        ValueError: there is none, or it could not stand in an address.
    """
    if not isinstance(found, str) or not found or not found.isprintable() or set(found) & set("/?#% "):
        raise ValueError("the answer holds no id")
    return found
