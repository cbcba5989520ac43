"""Evil replies of a server: a table of them, a server on this machine that sends them, and a trial of one.

A trial passes if the call ends with a typed outcome or a typed error, and the next call is answered.
"""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from cai_lite.chat.asking import ask
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.errors import CaiError
from cai_lite.records import Message, Reply, Request, Sampling
from cai_lite.run.ledger import Run
from tests.conftest import completion

Send = Callable[[Callable[[bytes], None]], None]
OTHER_HOST = "http://user:hunter2@192.0.2.1/v1/chat/completions?api_key=hunter2"


class Case(NamedTuple):
    """An evil reply. `ends`: the outcomes that are right for it, or the names of errors that stop the run."""

    name: str
    send: Send
    ends: tuple[str, ...]


def _http(status: int | str, body: bytes | str, *headers: str, kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    named = {line.partition(":")[0].lower() for line in headers}
    lines = [f"HTTP/1.1 {status} X", *headers]
    if kind:
        lines.append(f"content-type: {kind}")
    if not {"content-length", "transfer-encoding"} & named:
        lines.append(f"content-length: {len(data)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def _whole(data: bytes) -> Send:
    return lambda send: send(data)


def _endless(head: bytes, piece: bytes, pause: float = 0.0) -> Send:
    def send_on(send: Callable[[bytes], None]) -> None:
        send(head)
        begun = time.monotonic()
        while time.monotonic() - begun < 20:
            send(piece)
            time.sleep(pause)

    return send_on


def _choice(content: Any = "fine", **more: Any) -> dict[str, Any]:
    body = completion(content)
    body["choices"][0].update(more)
    return body


def _message(**more: Any) -> dict[str, Any]:
    body = completion("fine")
    body["choices"][0]["message"].update(more)
    return body


def _scores(value: Any, **more: Any) -> dict[str, Any]:
    first = {"token": "A", "logprob": value, "top_logprobs": [{"token": "A", "logprob": value}], **more}
    return _choice("A", logprobs={"content": [first]})


def _nested(depth: int, begin: str, end: str) -> str:
    return begin * depth + end * depth


def _thoughts(depth: int) -> Any:
    part: Any = "deep"
    for _ in range(depth):
        part = [{"type": "thinking", "thinking": part}]
    return part


GOOD = json.dumps(completion("fine"))
_BODIES: dict[str, tuple[Any, str]] = {  # 200 with JSON
    "null": (None, "failed"),
    "a list": ([], "failed"),
    "a text": ("fine", "failed"),
    "a number": (7, "failed"),
    "an empty object": ({}, "failed"),
    "choices null": ({"choices": None}, "failed"),
    "choices an object": ({"choices": {}}, "failed"),
    "no choices": ({"choices": []}, "failed"),
    "a choice null": ({"choices": [None]}, "failed"),
    "a choice a list": ({"choices": [[]]}, "failed"),
    "no message": ({"choices": [{}]}, "failed"),
    "message null": ({"choices": [{"message": None}]}, "failed"),
    "message a list": ({"choices": [{"message": []}]}, "failed"),
    "message a text": ({"choices": [{"message": "fine"}]}, "failed"),
    "content null": (_choice(None), "empty"),
    "content a number": (_choice(3), "failed"),
    "content an object": (_choice({"text": "x"}), "failed"),
    "content true": (_choice(True), "failed"),
    "content of numbers": (_choice([1, None, 2.5]), "empty"),
    "content of parts": (_choice([{"text": "fine"}]), "ok"),
    "content of images": (_choice([{"type": "image_url", "image_url": {}}]), "empty"),
    "content of lists": (_choice([[["fine"]]]), "empty"),
    "content of odd texts": (_choice([{"text": 3}]), "empty"),
    "thoughts within thoughts": (_choice(_thoughts(60)), "empty failed"),
    "half a surrogate": (_choice("a\ud800b"), "ok"),
    "NUL": (_choice("a\0b"), "ok"),
    "terminal escapes": (_choice("\x1b]0;x\x07\x1b[2J"), "ok"),
    "only spaces": (_choice(" \n\t"), "empty"),
    "ten thousand thoughts": (_choice("<think>" * 10_000), "ok cut empty"),
    "usage null": ({**completion("fine"), "usage": None}, "ok"),
    "usage a list": ({**completion("fine"), "usage": []}, "ok"),
    "usage infinite": ({**completion("fine"), "usage": {"prompt_tokens": float("inf")}}, "ok"),
    "usage NaN": ({**completion("fine"), "usage": {"completion_tokens": float("nan")}}, "ok"),
    "usage negative": ({**completion("fine"), "usage": {"prompt_tokens": -5}}, "ok"),
    "usage of words": ({**completion("fine"), "usage": {"prompt_tokens": "many"}}, "ok"),
    "usage of objects": ({**completion("fine"), "usage": {"prompt_tokens": {}, "completion_tokens": [1]}}, "ok"),
    "usage huge": ({**completion("fine"), "usage": {"prompt_tokens": 10**30}}, "ok"),
    "log-prob null": (_scores(None), "ok"),
    "log-prob NaN": (_scores(float("nan")), "ok"),
    "log-prob infinite": (_scores(float("inf")), "ok"),
    "log-prob minus infinite": (_scores(float("-inf")), "ok"),
    "log-prob 900": (_scores(900.0), "ok"),
    "log-prob a word": (_scores("-0.1"), "ok"),
    "log-prob a bool": (_scores(True), "ok"),
    "log-prob huge": (_scores(10**40), "ok"),
    "alternatives an object": (_scores(-0.1, top_logprobs={"A": -0.1}), "ok"),
    "alternatives null": (_scores(-0.1, top_logprobs=[None, [], 3]), "ok"),
    "token a list": (_scores(-0.1, token=["A"]), "ok"),
    "token an object": (_scores(-0.1, top_logprobs=[{"token": {}}]), "ok"),
    "logprobs a list": (_choice("A", logprobs=[]), "ok"),
    "logprobs content null": (_choice("A", logprobs={"content": [None]}), "ok"),
    "choices twice": ({"choices": completion("fine")["choices"] * 2}, "ok"),
    "finish_reason an object": (_choice("", finish_reason={"a": 1}), "empty"),
    "finish_reason a megabyte": (_choice("", finish_reason="x" * 10**6), "empty"),
    "filtered": (_choice("", finish_reason="content_filter"), "refused"),
    "reasoning an object": (_message(reasoning_content={"a": []}), "ok"),
    "refusal an object": (_message(refusal={"a": 1}), "refused"),
    "an error as 200": ({"error": {"code": 500, "message": "no"}}, "failed"),
}
_RAW: dict[str, tuple[bytes, str]] = {  # 200, and other bytes than its headers say
    "a 5,000-digit number": (_http(200, GOOD[:-1] + ', "n": ' + "9" * 5000 + "}"), "failed"),
    "100,000 lists deep": (_http(200, _nested(100_000, "[", "]")), "failed"),
    "100,000 objects deep": (_http(200, _nested(100_000, '{"a":', "}")), "failed"),
    "a name twice": (_http(200, GOOD[:-1] + ', "choices": 3}'), "failed"),
    "a trailing comma": (_http(200, GOOD[:-1] + ",}"), "failed"),
    "half of the JSON": (_http(200, GOOD[:60]), "failed"),
    "two documents": (_http(200, GOOD + GOOD), "failed"),
    "a byte order mark": (_http(200, b"\xef\xbb\xbf" + GOOD.encode()), "ok failed"),
    "UTF-16": (_http(200, GOOD.encode("utf-16")), "ok failed"),
    "no UTF-8": (_http(200, b'{"a": "\xff\xfe"}'), "failed"),
    "an empty body": (_http(200, ""), "failed"),
    "spaces": (_http(200, " " * 5000), "failed"),
    "HTML": (_http(200, "<html>log in</html>", kind="text/html"), "failed"),
    "HTML as JSON": (_http(200, "<html>log in</html>"), "failed"),
    "a stream of events": (_http(200, f"data: {GOOD}\n\ndata: [DONE]\n\n", kind="text/event-stream"), "failed"),
    "JSON lines": (_http(200, f"{GOOD}\n{GOOD}\n"), "failed"),
    "JSON as text": (_http(200, GOOD, kind="text/plain"), "ok"),
    "no content type": (_http(200, GOOD, kind=""), "ok"),
    "bytes": (_http(200, GOOD, kind="application/octet-stream"), "ok"),
    "charset hex": (_http(200, GOOD, kind="text/html; charset=hex"), "failed"),
    "charset unknown": (_http(200, GOOD, kind="text/html; charset=klingon"), "ok failed"),
    "content-length too long": (_http(200, GOOD, "content-length: 99999"), "failed"),
    "content-length too short": (_http(200, GOOD, "content-length: 40"), "failed"),
    "content-length negative": (_http(200, GOOD, "content-length: -4"), "failed"),
    "content-length a word": (_http(200, GOOD, "content-length: many"), "failed"),
    "content-length twice": (_http(200, GOOD, "content-length: 4", "content-length: 40"), "failed"),
    "a truncated chunk": (_http(200, b"fff\r\n{}", "transfer-encoding: chunked"), "failed"),
    "a chunk of size zz": (_http(200, b"zz\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"), "failed"),
    "a chunk of 2^64": (_http(200, b"ffffffffffffffff\r\n{}", "transfer-encoding: chunked"), "failed"),
    "no answer": (b"", "failed"),
    "half a status line": (b"HTTP/1.", "failed"),
    "no HTTP": (b"\x00\x01\x02hello\r\n\r\n", "failed"),
    "HTTP/0.9": (b"fine\r\n", "failed"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "failed"),
    "status 99": (_http("099", GOOD), "failed"),
    "status 999": (_http(999, "{}"), "failed"),
    "status a word": (_http("OK", GOOD), "failed"),
    "a header without colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n{}", "failed"),
    "a header of 300 KB": (_http(200, GOOD, "x-big: " + "x" * 300_000), "failed"),
    "20,000 headers": (_http(200, GOOD, *(f"x-{i}: y" for i in range(20_000))), "failed"),
    "a control sign in a header": (b"HTTP/1.1 200 OK\r\nx: \x00\x1b\r\ncontent-length: 2\r\n\r\n{}", "failed"),
    "fifty times 100": (b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + _http(200, GOOD), "ok"),
    "status 101": (b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "failed"),
    "status 204": (b"HTTP/1.1 204 None\r\n\r\n", "failed"),
    "status 206": (_http(206, GOOD[:40]), "failed"),
    "gzip": (_http(200, gzip.compress(GOOD.encode()), "content-encoding: gzip"), "ok"),
    "deflate": (_http(200, zlib.compress(GOOD.encode()), "content-encoding: deflate"), "ok"),
    "bare deflate": (_http(200, zlib.compress(GOOD.encode(), wbits=-15), "content-encoding: deflate"), "ok"),
    "half a gzip": (_http(200, gzip.compress(GOOD.encode())[:50], "content-encoding: gzip"), "failed"),
    "gzip that is none": (_http(200, GOOD, "content-encoding: gzip"), "failed"),
    "gzip twice": (_http(200, gzip.compress(gzip.compress(GOOD.encode())), "content-encoding: gzip, gzip"), "failed"),
    "brotli": (_http(200, b"\x0b\x02\x80abc\x03", "content-encoding: br"), "failed"),
    "an unknown encoding": (_http(200, GOOD, "content-encoding: rot13"), "failed"),
    "a bomb of gzip": (_http(200, gzip.compress(b" " * 50_000_000), "content-encoding: gzip"), "failed"),
    "10 MB to 8 tokens": (_http(200, json.dumps(completion("x" * 10_000_000))), "failed"),
}
_STATUSES: dict[str, tuple[bytes, str]] = {
    **{
        f"a redirect {status}": (_http(status, "", f"location: {OTHER_HOST}"), "failed")
        for status in (301, 302, 303, 307, 308)
    },
    "a redirect to nowhere": (_http(302, ""), "failed"),
    "a redirect to a file": (_http(302, "", "location: file:///etc/passwd"), "failed"),
    **{
        f"status {status}": (_http(status, '{"error": {"message": "no"}}'), "failed")
        for status in (
            400,
            401,
            403,
            404,
            405,
            408,
            409,
            413,
            418,
            422,
            425,
            429,
            431,
            500,
            501,
            502,
            503,
            504,
            520,
            529,
            599,
        )
    },
    "status 451": (_http(451, "{}"), "refused"),
    "400 filtered": (
        _http(400, '{"error": {"code": "content_filter", "message": "The response was filtered"}}'),
        "refused",
    ),
    "403 flagged": (_http(403, '{"error": {"message": "your input was flagged", "code": 403}}'), "refused"),
    "400 deep": (_http(400, _nested(50_000, "[", "]")), "failed"),
    "400 with 10 MB": (_http(400, "x" * 10_000_000), "failed"),
    "400 of odd types": (_http(400, '{"error": {"message": [1], "code": {"a": 1}, "type": 3}}'), "failed"),
    "500 in HTML": (_http(500, "<html>" * 1000, kind="text/html; charset=hex"), "failed"),
    "402": (_http(402, "{}"), "Stopped"),
    "429 without quota": (
        _http(429, '{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}'),
        "Stopped",
    ),
    "400 without credit": (_http(400, '{"error": {"message": "Your credit balance is too low"}}'), "Stopped"),
    "a pause of an hour": (_http(429, "{}", "retry-after: 3600"), "Stopped"),
    **{
        f"a pause of {told}": (_http(503, "{}", f"retry-after: {told}"), "failed")
        for told in (
            "0",
            "-1",
            "nan",
            "inf",
            "1e999",
            "soon",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "9" * 400,
        )
    },
}
_HEAD = _http(200, "", "transfer-encoding: chunked")
_ENDLESS: dict[str, Send] = {
    "silence": _endless(b"", b"", 0.05),
    "a drip of bytes": _endless(_HEAD, b"1\r\n \r\n", 0.02),
    "a drip of headers": _endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", 0.02),
    "endless 100": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "endless spaces": _endless(_HEAD, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "an endless error": _endless(_HEAD.replace(b"200", b"500"), b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "an endless header": _endless(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 65536),
}

CASES: list[Case] = [
    *(Case(name, _whole(_http(200, json.dumps(body))), tuple(ends.split())) for name, (body, ends) in _BODIES.items()),
    *(Case(name, _whole(data), tuple(ends.split())) for name, (data, ends) in (_RAW | _STATUSES).items()),
    *(Case(name, send, ("failed",)) for name, send in _ENDLESS.items()),
    Case("a reset", lambda send: send(b"RESET"), ("failed",)),
]


@contextmanager
def evil_server(port: int = 0) -> Iterator[str]:
    """Serve the cases at the URL that this yields: the user's text is the name of a case, and any other is answered.

    Afterwards nothing listens on the port, and every connection is broken.
    """
    open_ones: set[socket.socket] = set()
    cases = {case.name: case for case in CASES}
    listener = socket.create_server(("127.0.0.1", port), backlog=128)

    def serve(connection: socket.socket) -> None:
        open_ones.add(connection)
        with connection, suppress(OSError, ValueError):
            incoming = connection.makefile("rb")
            while request := _request(incoming):
                case = cases.get(request["messages"][-1]["content"])
                if case is None:
                    connection.sendall(_http(200, GOOD))
                    continue
                case.send(lambda data: _send(connection, data))
                return

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(open_ones):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _request(incoming: Any) -> dict[str, Any] | None:
    length = 0
    for line in iter(incoming.readline, b"\r\n"):
        if not line:
            return None
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    read: dict[str, Any] = json.loads(incoming.read(length))
    return read


def _send(connection: socket.socket, data: bytes) -> None:
    if data == b"RESET":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        connection.sendall(data)


_asked = itertools.count()


def _one(model: EndpointModel, text: str, deadline: float) -> Reply:
    """Return the reply to one request of a judge, within a deadline; it is stored as in a run, and read again."""
    model._deadline = deadline
    request = Request(messages=(Message("user", text),), sampling=Sampling(max_tokens=8), options=("A", "B"))
    with Run() as run:
        return ask(model, [request], run=run, stage="trial")[0]


def trial(model: EndpointModel, case: Case) -> str:
    """Ask for one evil reply, then for a good one; return "" if both end as they should, else what went wrong."""
    try:
        reply = _one(model, case.name, 0.05 if case.ends == ("failed",) else 20.0)
        end, said = reply.outcome, reply.fault
    except CaiError as error:
        end, said = type(error).__name__, str(error)
    except Exception as error:
        return f"{case.name}: {type(error).__name__}: {error}"
    else:
        if any(not -100 < value <= 0 for value in (reply.log_probs or {}).values()):
            return f"{case.name}: believes the log-probabilities {reply.log_probs}"
    if end not in case.ends:
        return f"{case.name}: ends as '{end}' ({said[:200]}), not as {case.ends}"
    if end not in ("ok",) and not said:
        return f"{case.name}: ends as '{end}' without a reason"
    if "hunter2" in said or len(said) > 1000:
        return f"{case.name}: says {said[:300]}"
    after = _one(model, f"good {next(_asked)}", 20.0)
    return "" if after.outcome == "ok" else f"{case.name}: the next call ends as '{after.outcome}' ({after.fault})"
