"""What every test stands on: no network, few threads, and the material that lies beside a checkout, where it does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# Set before anything imports torch or the hub's client, which read them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tiny models grow slower with more, and `pytest -n 2` has two processes already, which inherit this from the first one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Public data and numbers made with other people's code, no part of the project: a test without them is skipped."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"{path} is not here; it holds public data that the project does not copy")
    return path


def completion(text, finish="stop", logprobs=None):
    """The body of a server's answer."""
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "logprobs": logprobs,
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers by `behave(text, attempt) -> (status, headers, body)`; `seen` counts attempts per text."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            owner.bodies.append(body)
            owner.keys.add(self.headers.get("authorization"))
            text = body["messages"][-1]["content"]
            with owner.lock:
                owner.seen[text] = owner.seen.get(text, 0) + 1
            status, headers, answer = owner.behave(text, owner.seen[text]) if owner.reply is None else owner.reply(body)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # who asked may have stopped waiting
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # with 5, the default, a burst of calls waits a second for its connections

    owner = Server(("127.0.0.1", 0), Handler)
    owner.lock, owner.seen, owner.bodies, owner.keys = threading.Lock(), {}, [], set()
    owner.url = f"http://127.0.0.1:{owner.server_port}/v1"
    owner.reply = None  # in place of `behave`, where the whole request decides
    owner.behave = lambda text, attempt: (200, {}, completion(text.upper()))
    # `shutdown` waits for the next look, half a second by default: as long as a whole test.
    thread = threading.Thread(target=owner.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield owner
    owner.shutdown()
    owner.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that asks an endpoint sets its own address and key."""
    for name in ("OPENAI_API_KEY", "TEACHER_URL"):
        monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped without one."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
