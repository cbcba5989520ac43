"""A pytest plugin for `tests/soak.py`: how many cases each test tried, and how many of them were lost.

A test is one case, unless it says otherwise by `record_property("tried", n)` and `record_property("lost", n)`, or is a
test of hypothesis, whose examples are counted.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

_EXAMPLES = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Add the examples that hypothesis generated to the report of the test."""
    if said := getattr(item, "hypothesis_statistics", None):
        found = [(int(good), int(bad)) for good, bad in _EXAMPLES.findall(said)]
        item.user_properties.append(("tried", sum(good + bad for good, bad in found)))


class Counts:
    """Collects the reports of a session, of all its processes, and writes them as JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self.tests.setdefault(report.nodeid, {"failed": False, "skipped": False, "tried": 1})
        row["failed"] = row["failed"] or report.failed
        row["skipped"] = row["skipped"] or report.skipped
        if report.when == "teardown":
            row.update({name: value for name, value in report.user_properties if name in ("tried", "lost")})

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.tests))


def pytest_configure(config: pytest.Config) -> None:
    """Count in the first process alone: with pytest-xdist, it hears of every test."""
    if "SOAK_COUNTS" in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counts(Path(os.environ["SOAK_COUNTS"])))
