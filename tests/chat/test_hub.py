"""A hub that is silent, gone or answers."""

import socket
import time

import pytest
from huggingface_hub import constants

from cai_lite.chat import hub
from cai_lite.chat.weights import open_weights
from cai_lite.errors import ModelError


@pytest.fixture
def silent(monkeypatch):
    """A hub that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield


def test_a_silent_hub_is_given_up_soon(silent, monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.2)
    begun = time.monotonic()
    assert "cannot be reached: timed out" in hub.unreachable("some/model")
    with pytest.raises(ModelError, match=r"some/model is not on this machine and cannot be downloaded \(.*timed out\)"):
        open_weights("some/model")
    assert time.monotonic() - begun < 10


def test_it_is_given_up_as_well_where_no_timeout_holds(silent, monkeypatch):
    """As where a name server is silent, or a byte comes now and then."""
    monkeypatch.setattr(hub, "LONGEST", 0.2)
    begun = time.monotonic()
    assert hub.unreachable("some/model").endswith("is silent")
    assert time.monotonic() - begun < 3 and hub.TIMEOUT <= 10


def test_offline_is_offline():
    assert hub.unreachable("some/model") == "HF_HUB_OFFLINE is set"
