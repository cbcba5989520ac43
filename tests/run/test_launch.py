"""What a process knows of its place among others."""

from __future__ import annotations

from cai_lite.run.launch import Launch, launch

PLACE = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def test_the_place_is_the_one_that_torchrun_sets(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    assert launch() == Launch(rank=5, world_size=8, local_rank=1, local_world_size=4)


def test_a_world_size_that_a_scheduler_set_is_not_waited_for(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert launch() == Launch(0, 1, 0, 1)
