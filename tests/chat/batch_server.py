"""A scripted server of the batch API in OpenAI's form, on this machine: files, batches, and live calls beside them."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conftest import completion


class BatchServer(ThreadingHTTPServer):
    """Work is done when a batch is looked at for the `looks`-th time, and `paid` counts it by what was asked.

    `answer`: returns (status, body) for the body of a request, or None if the batch expires before it. `created`:
    called when a batch was made and before its id is sent; a ConnectionError breaks the connection. `refused`: the code
    and the message of the fault for which batches are refused as a whole. `ending`: the status of a batch that is done.
    `broken`: how many downloads break off in their midst. `fetched`: called with the name of a file and the number of
    its download, before it is sent. `batches_taken`: False for a server that knows no batches.
    """

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: Counter[str] = Counter()
        self.live: list[str] = []
        self.seen: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.looks, self.ending, self.broken, self.batches_taken = 2, "completed", 0, True
        self.refused: tuple[str, str] | None = None
        self.answer: Callable[[dict[str, Any]], tuple[int, Any] | None] = lambda body: (
            200,
            completion(asked(body).upper()),
        )
        self.created: Callable[[dict[str, Any]], None] = lambda batch: None
        self.fetched: Callable[[str, int], None] = lambda name, number: None

    def rows(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def store(self, rows: list[dict[str, Any]]) -> str | None:
        """Keep rows as a file; None without any, as OpenAI has it."""
        if not rows:
            return None
        self.files[name := f"file-{len(self.files)}"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        return name

    def work(self, batch: dict[str, Any]) -> None:
        """Answer a batch, in the reverse order."""
        good, bad = [], []
        for row in reversed(self.rows(batch)):
            told = self.answer(row["body"])
            if told is None:
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                bad.append({"id": "r", "custom_id": row["custom_id"], "response": None, "error": error})
                continue
            self.paid[asked(row["body"])] += 1
            response = {"status_code": told[0], "request_id": "q", "body": told[1]}
            done = {"id": "r", "custom_id": row["custom_id"], "response": response, "error": None}
            (good if told[0] == 200 else bad).append(done)
        batch |= {"status": self.ending, "output_file_id": self.store(good), "error_file_id": self.store(bad)}
        batch |= {"request_counts": {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}}
        batch |= {"completed_at": batch["created_at"] + 10}


def asked(body: dict[str, Any]) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"])


class _Handler(BaseHTTPRequestHandler):
    server: BatchServer

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        server, place = self.server, self.path.removeprefix("/v1")
        with server.lock:
            server.seen[f"POST {place}"] += 1
            if place == "/chat/completions":
                body = json.loads(data)
                server.live.append(asked(body))
                server.paid[asked(body)] += 1
                return self._send(*(server.answer(body) or (503, {})))
            if not server.batches_taken:
                return self._send(404, {"error": {"message": "Not Found"}})
            if place == "/files":
                parts = data.split(b"--" + re.search(b"boundary=(.+)", self.headers["content-type"].encode())[1])
                part = next(part for part in parts if b'name="file"' in part)
                server.files[name := f"file-{len(server.files)}"] = part.partition(b"\r\n\r\n")[2].strip()
                return self._send(200, {"id": name, "object": "file", "purpose": "batch"})
            batch = {**json.loads(data), "id": f"batch_{len(server.batches)}", "object": "batch", "looks": 0}
            batch |= {"status": "validating", "created_at": 1000 + len(server.batches), "errors": None}
            if server.refused:
                code, message = server.refused
                batch |= {"status": "failed", "errors": {"data": [{"code": code, "message": message}]}}
            server.batches[batch["id"]] = batch
            try:
                server.created(batch)
            except ConnectionError:
                self.close_connection = True
                return None
            return self._send(200, batch)

    def do_GET(self) -> None:
        server, (place, _, query) = self.server, self.path.removeprefix("/v1").partition("?")
        with server.lock:
            server.seen["GET /batches" if place == "/batches" else f"GET {place}"] += 1
            if place == "/batches":
                listed = sorted(server.batches.values(), key=lambda batch: -batch["created_at"])
                after = re.search("after=(.+?)(&|$)", query)
                start = 1 + [batch["id"] for batch in listed].index(after[1]) if after else 0
                return self._send(200, {"data": listed[start : start + 1], "has_more": start + 1 < len(listed)})
            if place.endswith("/content"):
                server.fetched(place.split("/")[2], server.seen[f"GET {place}"])
                data = server.files[place.split("/")[2]]
                if server.broken:
                    server.broken -= 1
                    return self._send(200, data, cut=len(data) // 2)
                return self._send(200, data)
            batch = server.batches.get(place.removeprefix("/batches/"))
            if batch is None:
                return self._send(404, {"error": {"message": "No such batch"}})
            batch["looks"] += 1
            if batch["status"] in ("validating", "in_progress"):
                batch["status"] = "in_progress"
                if batch["looks"] >= server.looks:
                    server.work(batch)
            return self._send(200, batch)

    def _send(self, status: int, answer: Any, cut: int | None = None) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    """Serve while the context lasts."""
    server = BatchServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
