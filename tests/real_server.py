"""A real server, in a process of its own, for tests of what is served."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def serving(command: Sequence[str], log: Path) -> Iterator[str]:
    """Start a server on a free port, "PORT" in the command, and give its address; end it at the end.

    Skips the test where the server does not start. `log`: the file for what it says.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    words = [str(port) if word == "PORT" else word for word in command]
    with log.open("w") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, env=environment)
    try:
        for _ in range(480):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    break
            except OSError:
                if process.poll() is not None:
                    pytest.skip(f"{command[0]} does not start here: {log.read_text()[-300:]}")
                time.sleep(0.25)
        else:
            pytest.skip(f"{command[0]} is not up after two minutes: {log.read_text()[-300:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
