"""The two files of a batch, in OpenAI's form: JSONL of requests that is uploaded, JSONL of results that comes back.

Results come in any order, in an output file and in an error file. A row without an answer is a reply with a typed
outcome, as a call that failed would be; a request that was never worked on has none. A fault of the server that another
attempt may mend, which a live call would repeat, is told apart.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import IO, Any, NamedTuple

from cai_lite.chat.completions import plainly, read_completion
from cai_lite.chat.statuses import meaning, server_words
from cai_lite.records import Reply, Request

HALF = 0.5  # of the price of a live call, which those who offer batches ask for one
ENDPOINT = "/v1/chat/completions"
FILE_BYTES = 200_000_000  # of a file of requests at most
_UNANSWERED = ("batch_expired", "batch_cancelled")  # codes of requests that were never worked on
_MENDED = ("busy", "passing", "credit")  # by another attempt, which says so itself if the account has no credit


class RequestFile(NamedTuple):
    """A file of requests, ready to be uploaded, and the keys of its requests."""

    file: IO[bytes]
    keys: tuple[str, ...]


def request_files(
    wanted: Mapping[str, Request],
    body: Callable[[Request], dict[str, Any]],
    *,
    limit: int,
    size: int = FILE_BYTES,
) -> Iterator[RequestFile]:
    """Yield the requests in files of at most `limit` requests and `size` bytes; each is closed when the next is asked.

    `wanted`: the requests by their keys, which become the `custom_id` of their rows. `body`: returns the JSON body of a
    request, the same as that of a live call.
    """
    file, keys = tempfile.TemporaryFile(), list[str]()  # noqa: SIM115  (closed below)
    try:
        for key, request in wanted.items():
            row = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body(request)}
            line = json.dumps(row).encode("ascii") + b"\n"
            if keys and (len(keys) >= limit or file.tell() + len(line) > size):
                yield _rewound(file, keys)
                file.close()
                file, keys = tempfile.TemporaryFile(), []  # noqa: SIM115
            file.write(line)
            keys.append(key)
        if keys:
            yield _rewound(file, keys)
    finally:
        file.close()


class Answered(NamedTuple):
    """The reply in a row. `again`: it is a fault of the server's that another attempt may mend; nothing is paid yet."""

    key: str
    reply: Reply
    again: bool


def replies_in(
    lines: Iterable[bytes],
    asked: Mapping[str, Request],
    *,
    prices: tuple[float, float],
    seconds: float,
    least: int = 0,
) -> Iterator[Answered]:
    """Yield the reply in each row that answers one of the requests `asked`, once for each of them.

    Requests that were never worked on, rows of others and lines that cannot be read are left out. `prices`: of a
    million tokens read and written in a live call. `seconds`: the time that each reply is said to have taken. `least`:
    how many requests should have a row.

    Raises:
        ValueError: fewer have one, so the file was cut; the replies before the cut were yielded.
    """
    seen, given = set[str](), set[str]()
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        key = row.get("custom_id") if isinstance(row, Mapping) else None
        if not isinstance(key, str):
            continue
        seen.add(key)
        if key not in asked or key in given:
            continue
        found = _reply(row, asked[key], (prices[0] * HALF, prices[1] * HALF), seconds)
        if found is not None:
            given.add(key)
            yield Answered(key, *found)
    if len(seen) < least:
        raise ValueError(f"the file has rows of {len(seen):,} requests, and {least:,} were answered")


def _reply(
    row: Mapping[str, Any], request: Request, prices: tuple[float, float], seconds: float
) -> tuple[Reply, bool] | None:
    """Return the reply in a row, and whether to ask again; None for a request that was never worked on."""
    response, error = row.get("response"), row.get("error")
    if isinstance(response, Mapping):
        status, body = response.get("status_code", 200), response.get("body")
        if status == 200:
            try:
                return read_completion(body, request, prices=prices, seconds=seconds), False
            except (ValueError, RecursionError) as fault:
                return _failed(f"body: {plainly(str(fault), 80)}", seconds), False
        if isinstance(status, int):
            said = SimpleNamespace(status_code=status, body=body, response=SimpleNamespace(headers={}))
            words, kind = f"HTTP {status}: {plainly(server_words(said), 120)}".removesuffix(": "), meaning(said)
            return _failed(words, seconds, refused=kind == "filtered"), kind in _MENDED
    code = error.get("code") if isinstance(error, Mapping) else None
    if code in _UNANSWERED:
        return None
    message = error.get("message") if isinstance(error, Mapping) else error
    return _failed(plainly(f"{code or 'no response'}: {message or ''}", 120).removesuffix(":"), seconds), False


def _failed(fault: str, seconds: float, *, refused: bool = False) -> Reply:
    return Reply(text="", outcome="refused" if refused else "failed", fault=fault, seconds=seconds)


def _rewound(file: IO[bytes], keys: list[str]) -> RequestFile:
    file.seek(0)
    return RequestFile(file, tuple(keys))
