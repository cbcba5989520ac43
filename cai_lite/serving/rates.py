"""The rates that a monitor watches: counts of each principle as one decider sees it, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cai_lite.intervals import score_interval
from cai_lite.serving.change import CONFIDENCE, Detector, control_limits
from cai_lite.serving.decisions import Decision
from cai_lite.stats import Figure, wilson

BINS = 120  # points of a chart; where there are more, two become one
MOST_TAGS = 50  # tags whose failures are counted
RECENT = 4  # points of a chart that are "now"


@dataclass(kw_only=True)
class Stream:
    """What one decider found of one principle so far. Rates are shares of answers that break it.

    `n`, `broken`: its verdicts; `unknown`: answers without one. `base_n`, `base_broken`: those of the baseline.
    `bins`: verdicts and breaches of each point of the chart. `tags`: the same by tag of the prompts. `given`: a
    baseline from elsewhere, as value, low and high.
    """

    principle: str
    by: str
    detector: Detector
    n: int = 0
    broken: int = 0
    unknown: int = 0
    base_n: int = 0
    base_broken: int = 0
    given: list[float] | None = None
    bins: list[list[int]] = field(default_factory=list)
    tags: dict[str, list[int]] = field(default_factory=dict)

    def take(
        self, decisions: Sequence[Decision], tags: Sequence[Sequence[str]], *, until: int, width: int, year: float
    ) -> bool:
        """Count decisions in their order, those up to conversation `until` as the baseline; say if an alarm is new.

        `tags`: of their prompts. `width`: conversations of a bin. `year`: see `Detector.watch`.
        """
        known = [one for one in decisions if one.verdict != "unknown"]
        self.unknown += len(decisions) - len(known)
        for one, own in zip(decisions, tags, strict=True):
            if one.verdict == "unknown":
                continue
            bad, place = one.verdict == "broken", (one.number - 1) // width
            while len(self.bins) <= place:
                self.bins.append([0, 0])
            for counts in (self.bins[place], *(self._of_tag(tag) for tag in own)):
                counts[0] += 1
                counts[1] += bad
        before = [one.verdict == "broken" for one in known if one.number <= until]
        after = known[len(before) :]
        self.n += len(known)
        self.broken += sum(one.verdict == "broken" for one in known)
        if before or (after and not self.detector.watched):
            self.base_n += len(before)
            self.base_broken += sum(before)
            self.detector.learn(before, until)
        if not after:
            return False
        stood = self.detector.alarm is not None
        self.detector.watch([one.number for one in after], [one.verdict == "broken" for one in after], year)
        return self.detector.alarm is not None and not stood

    def _of_tag(self, tag: str) -> list[int]:
        return self.tags.setdefault(tag, [0, 0]) if tag in self.tags or len(self.tags) < MOST_TAGS else [0, 0]

    def merged(self) -> None:
        """Make one bin of every two."""
        self.bins = [
            [sum(column) for column in zip(*self.bins[i : i + 2], strict=True)] for i in range(0, len(self.bins), 2)
        ]

    def begin_anew(self, detector: Detector) -> None:
        """Forget the alarm and the baseline: what comes next is the new baseline."""
        self.detector, self.base_n, self.base_broken, self.given = detector, 0, 0, None

    def as_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {**{k: v for k, v in vars(self).items() if k != "detector"}, "detector": self.detector.as_dict()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Stream:
        """Return the stream in the state that `as_dict` wrote."""
        return cls(**{**state, "detector": Detector.from_dict(state["detector"])})

    @property
    def baseline(self) -> Figure | None:
        """The rate that it is compared with."""
        if self.given:
            return Figure(self.given[0], 0, self.given[1], self.given[2])
        return wilson(self.base_broken, self.base_n) if self.base_n else None

    def rate(self, width: int, conversations: int) -> Rate:
        """Return what it comes to after so many conversations. An incomplete point is left out, unless it is alone."""
        recent = [sum(column) for column in zip(*self.bins[-RECENT:], strict=True)] if self.bins else [0, 0]
        alarm, began = self.detector.alarm, self.detector.began
        since = None
        if alarm is not None and began is not None:
            n, broken = (sum(column) for column in zip(*self.bins[began // width :], strict=True))
            since = wilson(broken, n) if n else None
        return Rate(
            principle=self.principle,
            by=self.by,
            n=self.n,
            broken=self.broken,
            unknown=self.unknown,
            baseline=self.baseline,
            now=wilson(recent[1], recent[0]) if recent[0] else None,
            bound=self.detector.bound,
            alarm=alarm,
            began=began,
            since=since,
            series=tuple(self._point(n, broken) for n, broken in self.bins[: max(1, conversations // width)]),
            tags={tag: (n, broken) for tag, (n, broken) in self.tags.items()},
        )

    def _point(self, n: int, broken: int) -> Point:
        baseline = self.baseline
        if not n:
            return Point(None, None, None)
        if baseline is None:
            return Point(broken / n, None, None)
        known = self.base_n or _worth(baseline)
        low, high = control_limits(baseline.value, known, n)
        return Point(broken / n, low, high)


def _worth(figure: Figure) -> float:
    """Return the number of independent answers with which a rate has this interval."""
    n = 1.0
    while n < 1e7 and score_interval(figure.value, n)[1] > figure.high:
        n *= 1.5
    return n


@dataclass(frozen=True, slots=True)
class Point:
    """A rate on the chart with its control limits; None where there is nothing to compare with."""

    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The rate at which answers break a principle, as one decider sees it.

    `now`: over the last points of the chart. `bound`: what the old rate is at most, see `change`. `alarm`: the number
    of the conversation that raised it; `began`: the one behind which the rise probably begins; `since`: the rate from
    there on. `series`: points of the chart. `tags`: verdicts and breaches by tag.
    """

    principle: str
    by: str
    n: int
    broken: int
    unknown: int
    baseline: Figure | None
    now: Figure | None
    bound: float
    alarm: int | None
    began: int | None
    since: Figure | None
    series: tuple[Point, ...] = ()
    tags: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def worst_tags(self, most: int = 3, least: int = 20) -> list[tuple[str, int, int]]:
        """Return the tags under which it is broken most often: tag, verdicts, breaches; those of `least` verdicts."""
        found = [(tag, n, broken) for tag, (n, broken) in self.tags.items() if n >= least and broken]
        return sorted(found, key=lambda row: -row[2] / row[1])[:most]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Failing prompts that are near copies of each other, or of one family: how many, which principles, and one."""

    family: str
    n: int
    principles: tuple[str, ...]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What a monitor has seen so far.

    `conversations`: that it looked at. `set_aside`: lines and spans that cannot be used, by reason. `other`: spans
    without a conversation. `width`: conversations of a point of the charts. `per_day`: conversations a day, and
    `assumed` whether that is a guess. `false_alarms`: the stated number a year. `baseline`: conversations that count as
    such. `notes`: sentences for a person. `out`: the directory. `new`: alarms raised by this reading.
    """

    constitution: str
    conversations: int
    set_aside: Mapping[str, int]
    other: int
    rates: tuple[Rate, ...]
    themes: tuple[Theme, ...]
    width: int
    per_day: float
    assumed: bool
    false_alarms: float
    baseline: int
    notes: tuple[str, ...] = ()
    out: Path | None = None
    new: int = 0

    @property
    def alarms(self) -> list[Rate]:
        """The rates that stand in alarm, the earliest first."""
        return sorted((rate for rate in self.rates if rate.alarm is not None), key=lambda rate: rate.alarm or 0)

    @property
    def stated(self) -> str:
        """The false-alarm rate as a sentence."""
        alarms = "one false alarm" if self.false_alarms == 1 else f"{self.false_alarms:g} false alarms"
        rates = "for this rate" if len(self.rates) == 1 else f"for these {len(self.rates)} rates together"
        traffic = f"{self.per_day:,.0f} conversations a day" + (" (assumed)" if self.assumed else "")
        sure = f"{100 * CONFIDENCE:.0f} % confidence in the baseline"
        return f"At most {alarms} a year on average, {rates}, at {traffic}; with {sure}."

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, without the points of the charts."""
        found = {name: getattr(self, name) for name in self.__slots__ if name not in ("rates", "themes", "out")}
        rates = [{k: v for k, v in asdict(rate).items() if k != "series"} for rate in self.rates]
        alarms = [{"principle": rate.principle, "by": rate.by, "at": rate.alarm} for rate in self.alarms]
        themes = [asdict(theme) for theme in self.themes]
        own = {"rates": rates, "alarms": alarms, "themes": themes, "stated": self.stated}
        return {**found, **own, "out": None if self.out is None else str(self.out)}


def bin_width(streams: Iterable[Stream], conversations: int, width: int) -> int:
    """Return the width of bins that holds all conversations in `BINS` points, and merge the bins of the streams."""
    streams = list(streams)
    while conversations > width * BINS:
        width *= 2
        for stream in streams:
            stream.merged()
    return width
