"""Bound the time and the bytes of a server's answer, whatever it sends.

The timeout of an HTTP client is one of silence: a server that drips a byte every few seconds, or sends without end,
never meets it. So each answer is read through a stream that counts, decompressing it here as far as it may go.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from cai_lite.records import Request

ERROR_BYTES = 1 << 16  # of the body of an HTTP error; the rest is not read
_SLACK = 1 << 20  # bytes of an answer to no token at all: a thought that is not counted, fields of the server's own
_TOKEN, _SCORED_TOKEN = 1 << 10, 1 << 13  # bytes of a token at most; with 20 alternatives and their log-probabilities
_ENCODINGS = ("gzip", "x-gzip", "deflate")


class Bound(NamedTuple):
    """The limits of one answer: `until`, as `time.monotonic` counts, and `size`, in bytes after decompression."""

    until: float
    size: int


class Overrun(Exception):
    """An answer goes beyond its bound, or its size cannot be known; the message says which."""


def answer_size(request: Request) -> int:
    """Return the largest plausible size of an answer in bytes, which follows from its `max_tokens`."""
    return _SLACK + request.sampling.max_tokens * (_SCORED_TOKEN if request.options else _TOKEN)


def bind(response: Any, bound: Bound) -> None:
    """Let a response that is not read yet be read within the bound; of an HTTP error, the beginning is enough.

    Raises:
        Overrun: the answer is compressed in a way that was not asked for, so it cannot be bounded.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (*_ENCODINGS, "identity", ""):
        raise Overrun("body: compressed in another way than asked for")
    if encoding in _ENCODINGS:
        del response.headers["content-encoding"]  # it is decoded here, where the result is bounded
    if not response.is_success:
        bound = Bound(bound.until, ERROR_BYTES)
    kind = next(base for base in type(response.stream).__mro__ if base.__name__ == "SyncByteStream")
    response.stream = _stream_class(kind)(response.stream, bound, encoding in _ENCODINGS, response.is_success)


@lru_cache
def _stream_class(kind: type) -> Any:
    """Return `_Counted` as a stream of the HTTP library in use: openai 3 brings httpx2, earlier ones httpx."""
    return type("Counted", (_Counted, kind), {})


class _Counted:
    """The chunks of a stream, up to a bound. `strict`: going beyond it is an error, and not merely the end."""

    def __init__(self, stream: Any, bound: Bound, compressed: bool, strict: bool) -> None:
        self._stream, self._bound, self._compressed, self._strict = stream, bound, compressed, strict

    def __iter__(self) -> Iterator[bytes]:
        left = self._bound.size
        inflate = _Inflate() if self._compressed else None
        for chunk in self._stream:
            plain = chunk if inflate is None else inflate(chunk, left + 1)
            late = time.monotonic() > self._bound.until
            if late or len(plain) > left:
                if self._strict:
                    raise Overrun("timeout: the reply drips" if late else f"body: over {self._bound.size:,} bytes")
                yield plain[:left]
                return
            left -= len(plain)
            yield plain
        if inflate is not None and self._strict:
            inflate.close()

    def close(self) -> None:
        self._stream.close()


class _Inflate:
    """Decompress gzip, zlib and bare deflate, never more than asked for."""

    def __init__(self) -> None:
        self._object: Any = None

    def __call__(self, data: bytes, limit: int) -> bytes:
        try:
            if self._object is None:
                self._object = zlib.decompressobj(32 + zlib.MAX_WBITS)
                try:
                    return self._object.decompress(data, limit)  # type: ignore[no-any-return]
                except zlib.error:
                    self._object = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._object.decompress(data, limit)  # type: ignore[no-any-return]
        except zlib.error as error:
            raise Overrun("body: broken compression") from error

    def close(self) -> None:
        """Check that the compressed data is whole."""
        if self._object is not None and not self._object.eof:
            raise Overrun("body: truncated compression")
