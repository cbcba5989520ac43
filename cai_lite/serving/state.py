"""What a monitor is begun with, and what it knows so far: the content of state.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution
from cai_lite.run.files import read_record
from cai_lite.serving.logs import Position
from cai_lite.serving.rates import Stream
from cai_lite.serving.redaction import Rules

STATE = "state.json"
FORMAT = 1
WIDTH = 50  # conversations of a chart's point at first
PIECES = 200  # points in time by which the traffic is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a monitor is begun with.

    Raises:
        InputError: a number is out of range.
    """

    constitution: Constitution
    baseline: int
    sample: float
    false_alarms: float
    per_day: float | None
    rules: Rules

    def __post_init__(self) -> None:
        for name, value, holds, expected in (
            ("baseline", self.baseline, self.baseline >= 0, "at least 0"),
            ("sample", self.sample, 0 < self.sample <= 1, "above 0, and at most 1"),
            ("false_alarms", self.false_alarms, 0 < self.false_alarms <= 1000, "above 0, and at most 1,000"),
            ("per_day", self.per_day, self.per_day is None or 0 < self.per_day < 1e12, "above 0"),
        ):
            if not holds:
                raise InputError(f"'{name}' should be {expected}, got {value}")


@dataclass(kw_only=True)
class State:
    """What state.json holds."""

    begun: dict[str, Any]
    position: Position = field(default_factory=Position)
    conversations: int = 0
    other: int = 0
    accepted: int = 0  # conversations before the present baseline
    width: int = WIDTH
    set_aside: Counter[str] = field(default_factory=Counter)
    pieces: list[tuple[int, float]] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        own = {**vars(self), "position": asdict(self.position), "streams": [one.as_dict() for one in self.streams]}
        return json.dumps({"format": FORMAT, **own})

    def measure_traffic(self, times: Sequence[float]) -> None:
        """Remember the quartiles of the times of the latest conversations, by how many had a time until then."""
        if len(times) < 4:
            return
        ordered, before = sorted(times), self.conversations - len(times)
        for share in (0.25, 0.75):
            place = int(share * len(times))
            self.pieces.append((before + place, ordered[place]))
        del self.pieces[:-PIECES]

    @property
    def per_day(self) -> float | None:
        """The conversations a day, where the log has times."""
        first, last = (self.pieces[0], self.pieces[-1]) if self.pieces else ((0, 0.0), (0, 0.0))
        return 86_400 * (last[0] - first[0]) / (last[1] - first[1]) if last[1] > first[1] else None


def read_state(path: Path, begun: Mapping[str, Any]) -> State:
    """Read state.json of a monitor that was begun in the same way.

    Raises:
        InputError: it was begun in another way, or the file is damaged.
    """
    record = read_record(path, {"begun": dict, "position": dict, "streams": list, "sizes": dict})
    for name, value in begun.items():
        if record["begun"].get(name) != value:
            what = "other principles or deciders" if name in ("principles", "deciders") else f"another '{name}'"
            if name == "baseline":
                what += " (option --run or --baseline)"
            raise InputError(f"{path}: was begun with {what}; repeat what it was begun with, or name another directory")
    record.pop("format", None)
    try:
        read = {
            "position": Position(**record["position"]),
            "streams": [Stream.from_dict(one) for one in record["streams"]],
            "set_aside": Counter(record["set_aside"]),
            "pieces": [tuple(piece) for piece in record["pieces"]],
        }
        return State(**{**record, **read})
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error}); remove the directory to begin anew") from error
