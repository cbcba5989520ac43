"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError, MissingPackageError

_INSTALL = "pip install 'cai-lite[ray]'"


def check_address(address: str) -> None:
    """Check the form of an address, and that ray is installed.

    Raises:
        InputError: it is neither "ray" nor `ray://HOST:PORT`. MissingPackageError: ray is not installed.
    """
    _, sharp, host = address.partition("ray://")
    if address != "ray" and not (sharp and host and address.startswith("ray://")):
        raise InputError(f"'{address}' should be 'ray', or the address of a Ray cluster, such as ray://HOST:10001")
    _ray()


def connect(address: str) -> Any:
    """Return the module ray, connected to a cluster; a process has one connection, which lasts until it ends.

    Raises:
        InputError: there is no cluster at this address. MissingPackageError: ray is not installed.
    """
    ray = _ray()
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the cluster
    in_main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    options: dict[str, Any] = {"include_dashboard": False} | _standing() if address == "ray" else {"address": address}
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is said below
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except ImportError as error:
        raise MissingPackageError(f"{address} needs a package ({first_line(error)}): {_INSTALL}") from error
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = address if address != "ray" else f"ray (RAY_ADDRESS={os.environ.get('RAY_ADDRESS', '')})"
        raise InputError(
            f"no Ray cluster can be used at {where}: {first_line(error)}. Is it up (`ray status` there), is the port "
            "that of its client server, 10001 by default, and does it ask for a token (then set RAY_AUTH_MODE=token "
            "and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)?"
        ) from error
    finally:
        for number, handler in kept.items() if in_main else ():
            signal.signal(number, handler)  # Ray puts its own in their place
    return ray


def _standing() -> dict[str, str]:
    """Return the argument for `ray.init` that keeps it from waiting, for minutes, for a cluster that is gone.

    Raises:
        InputError: that cluster is the one of $RAY_ADDRESS.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    left = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    address = named or (left.read_text(encoding="utf-8").strip() if left.is_file() else "")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return {}
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        if named:
            raise InputError(f"no Ray cluster answers at {named} (RAY_ADDRESS): {error}") from error
        return {"address": "local"}  # what a cluster left behind that was killed
    return {}


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"--on ray needs ray: {_INSTALL}") from error


def first_line(error: Exception) -> str:
    """Return what an error says, or its kind: the first line of it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def last_line(error: Exception) -> str:
    """Return the last line of it, which is the cause where a traceback is quoted."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:200]
