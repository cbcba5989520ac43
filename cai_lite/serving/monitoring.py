"""The work of a monitor: take in a log chunk by chunk, and keep a directory from which the same command goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

from cai_lite.errors import InputError, plain
from cai_lite.inputs.textfile import check_regular
from cai_lite.run.disk import writing
from cai_lite.run.files import write_text
from cai_lite.run.progress import Tick
from cai_lite.run.signals import check, held
from cai_lite.serving.change import CONFIDENCE, DAYS, Detector
from cai_lite.serving.conversations import Logged
from cai_lite.serving.decisions import CHECKS, ByChecks, Decider, Decision, asked_of
from cai_lite.serving.failures import failing_prompts, themes_of
from cai_lite.serving.logs import Line, Log, Position
from cai_lite.serving.rates import Monitored, Stream, bin_width
from cai_lite.serving.state import STATE, Settings, State, read_state
from cai_lite.serving.telemetry import decision_line, event, failing_line, log_records

DECISIONS, EVENTS, FAILING, ASIDE = "decisions.jsonl", "events.jsonl", "failing.jsonl", "set_aside.jsonl"
PER_DAY = 10_000.0  # conversations, where neither the log nor the caller knows
CHUNK, CHUNK_ASKED = 2000, 200  # conversations between two writes: with checks alone, and with a model
THEMES_OF = 5000  # failing conversations, the latest, of which themes are made
POLL = 1.0  # seconds between two looks at a log that is followed
SHOW_EVERY = 10.0  # seconds between two pages then


class Monitor:
    """A monitor that is open; `folder` is its directory, or None where nothing is kept."""

    def __init__(
        self,
        settings: Settings,
        deciders: Sequence[Decider],
        given: Mapping[tuple[str, str], tuple[float, float, float]],
        folder: Path | None,
    ) -> None:
        self.settings, self.deciders, self.folder = settings, deciders, folder
        self.notes: list[str] = []
        self._given = given
        self._names = [(principle, decider.name) for decider in deciders for principle in decider.principles]
        begun = {
            "constitution": settings.constitution.digest,
            "deciders": [f"{decider.name} {decider.about}".strip() for decider in deciders],
            "principles": [list(name) for name in self._names],
            "sample": settings.sample,
            "baseline": settings.baseline,
            "false_alarms": settings.false_alarms,
        }
        self._state = self._opened(begun)
        self._streams = {(one.principle, one.by): one for one in self._state.streams}
        self._asked = asked_of(settings.constitution)
        self._redacted = lru_cache(4096)(lambda tags: tuple(settings.rules.redacted(tag) for tag in tags))
        self._chunk = CHUNK if all(isinstance(one, ByChecks) for one in deciders) else CHUNK_ASKED
        self._say_what_is_not_watched()

    def say(self, note: str) -> None:
        """Keep a sentence for the reader, once."""
        if note not in self.notes:
            self.notes.append(note)

    def _say_what_is_not_watched(self) -> None:
        watched = {principle for principle, _ in self._names}
        left = [principle.id for principle in self.settings.constitution.principles if principle.id not in watched]
        if left:
            self.say(f"not watched, as only a judge could decide them: {', '.join(left)}")

    def _detector(self, name: tuple[str, str]) -> Detector:
        many = len(self._names)
        found = Detector(limit=many / self.settings.false_alarms, chance=(1 - CONFIDENCE) / many)
        if name in self._given:
            value, _, high = self._given[name]
            found.chance /= 2  # it has two bounds, this one and the one that it counts
            # The upper end at its share of the confidence, on the scale of a normal distribution.
            far = NormalDist().inv_cdf(1 - found.chance) / NormalDist().inv_cdf(0.975)
            found.bound = min(1.0, value + (high - value) * far)
        return found

    def _opened(self, begun: Mapping[str, Any]) -> State:
        path = self.folder / STATE if self.folder is not None else None
        if path is None or not path.is_file():
            self._cut(dict.fromkeys((DECISIONS, EVENTS, FAILING, ASIDE), 0))
            streams = [
                Stream(
                    principle=name[0],
                    by=name[1],
                    detector=self._detector(name),
                    given=list(self._given[name]) if name in self._given else None,
                )
                for name in self._names
            ]
            return State(begun=dict(begun), streams=streams)
        state = read_state(path, begun)
        self._cut({name: state.sizes.get(name, 0) for name in (DECISIONS, EVENTS, FAILING, ASIDE)})
        return state

    def _cut(self, sizes: Mapping[str, int]) -> None:
        """Cut files to what the state knows of: a kill may have come between them and the state."""
        if self.folder is None:
            return
        for name, size in sizes.items():
            file = self.folder / name
            if file.is_file() and file.stat().st_size > size:
                os.truncate(file, size)

    def accept(self) -> None:
        """Clear all alarms; the next conversations are the baseline."""
        if not self.settings.baseline:
            raise InputError("a run gave the baseline here, so --accept has no next one; name another directory")
        self._state.accepted = self._state.conversations
        for name, stream in self._streams.items():
            stream.begin_anew(self._detector(name))
        if self.folder is not None:
            self._write(self.folder, {})

    def read_file(self, path: Path, follow: bool, progress: Tick | None, show: Callable[[Monitored], None]) -> int:
        """Read what is new in a log; with `follow`, wait for more until an alarm. Return the number of new alarms.

        `show`: is called now and then while it waits.
        """
        log, new, shown = Log(path, self._state.position), 0, 0.0
        while True:
            if log.replaced():
                self.say(f"{path}: is another file than the one read before; it is read from its beginning")
                self._state.position = Position()
            new += self.read(self._following(log), progress, size=path.stat().st_size)
            if not follow or new:
                break
            if time.monotonic() - shown > SHOW_EVERY:
                show(self.monitored(new))
                shown = time.monotonic()
            check()
            time.sleep(POLL)
            if not path.exists():  # in the midst of a rotation
                time.sleep(POLL)
                check_regular(path, InputError)
        if log.unfinished:
            self.say("the last line of the log is not finished; it is read next time")
        return new

    def _following(self, log: Log) -> Iterator[Line]:
        for line in log.lines():
            self._reached = log.position
            yield line

    def read(self, lines: Iterable[Line], progress: Tick | None = None, *, size: int = 0) -> int:
        """Take in lines, a chunk at a time; return the number of new alarms."""
        before, new = self._state.conversations, 0
        self._reached = self._state.position
        waiting: list[Logged] = []
        aside: list[str] = []
        for line in lines:
            self._state.other += line.other
            self._state.set_aside.update(fault.kind for fault in line.faults)
            aside += [json.dumps(fault._asdict()) + "\n" for fault in line.faults]
            waiting += line.found
            if len(aside) >= CHUNK:
                self._check_readable(waiting)
            if len(waiting) >= self._chunk or len(aside) >= CHUNK:
                new += self._take(waiting, aside)
                waiting, aside = [], []
                if progress is not None:
                    progress(line.end, max(size, line.end))
                check()
        self._check_readable(waiting)
        if waiting or aside:
            new += self._take(waiting, aside)
        if progress is not None and self._state.conversations > before:
            progress(size or 1, size or 1)
        return new

    def _check_readable(self, found: Sequence[Logged]) -> None:
        """Raise InputError if lines were set aside, and none so far could be read."""
        set_aside = self._state.set_aside
        if set_aside and not found and not self._state.conversations:
            reasons = ", ".join(f"{n:,} {kind}" for kind, n in set_aside.most_common(3))
            raise InputError(f"the log has no conversation that can be read ({reasons}); see `cai-lite monitor --help`")

    def _take(self, logged: Sequence[Logged], aside: Sequence[str]) -> int:
        """Decide about conversations and write what came of it, all or nothing; return the number of new alarms."""
        state = self._state
        rules = self.settings.rules
        asked = [
            self._asked(number, one, self._redacted(one.tags) or rules.tags_of(one.prompt[-1].content))
            for number, one in enumerate(logged, state.conversations + 1)
        ]
        state.conversations += len(asked)
        state.measure_traffic([one.at for one in logged if one.at is not None])
        state.width = bin_width(state.streams, state.conversations, state.width)
        by_number = {one.number: one for one in asked}
        texts: dict[str, list[str]] = {DECISIONS: [], EVENTS: [], FAILING: [], ASIDE: list(aside)}
        failing: dict[int, list[str]] = {}
        new = 0
        for decider in self.deciders:
            found: dict[str, list[Decision]] = {}
            for decision in decider.decide(asked):
                one = by_number[decision.number]
                found.setdefault(decision.principle, []).append(decision)
                if decision.evidence or decision.reason:
                    evidence, reason = (rules.redacted(plain(text)) for text in (decision.evidence, decision.reason))
                    decision = decision._replace(evidence=evidence, reason=reason)
                texts[DECISIONS].append(decision_line(decision, decider.name, one))
                if decider.name != CHECKS or decision.verdict != "kept":
                    texts[EVENTS].append(event(decision, decider.name, one))
                if decision.verdict == "broken":
                    failing.setdefault(decision.number, []).append(decision.principle)
            for principle, decisions in found.items():
                new += self._streams[principle, decider.name].take(
                    decisions,
                    [by_number[one.number].prompt.tags for one in decisions],
                    until=state.accepted + self.settings.baseline,
                    width=state.width,
                    year=1 / (self.per_day[0] * DAYS),
                )
        for number, principles in failing.items():
            texts[FAILING].append(failing_line(by_number[number], sorted(set(principles)), rules))
        if texts[EVENTS]:
            texts[EVENTS] = [log_records(texts[EVENTS])]
        state.position = self._reached
        if self.folder is not None:
            self._write(self.folder, texts)
        return new

    def _write(self, folder: Path, texts: Mapping[str, Sequence[str]]) -> None:
        with held(), writing(folder):
            for name, lines in texts.items():
                if lines:
                    with (folder / name).open("a", encoding="utf-8", newline="\n") as file:
                        file.writelines(lines)
                    self._state.sizes[name] = (folder / name).stat().st_size
            write_text(folder / STATE, self._state.text())

    @property
    def per_day(self) -> tuple[float, bool]:
        """The conversations a day, and whether that is a guess."""
        if self.settings.per_day is not None:
            return self.settings.per_day, False
        measured = self._state.per_day
        return (PER_DAY, True) if measured is None else (measured, False)

    def monitored(self, new: int) -> Monitored:
        """Return what everything comes to."""
        state, (per_day, assumed) = self._state, self.per_day
        seen, wanted = state.conversations - state.accepted, self.settings.baseline
        if 0 < seen < wanted:
            self.say(f"{seen:,} of {wanted:,} conversations of the baseline: no alarm is possible yet")
        if assumed:
            self.say(f"the log has no times: {PER_DAY:,.0f} conversations a day are assumed (--per-day)")
        for stream in state.streams:
            if stream.unknown and not stream.n:
                self.say(f"'{stream.principle}': none of {stream.unknown:,} answers is decided by {stream.by}")
        silent = dict.fromkeys(one.principle for one in state.streams if not one.n and not one.unknown)
        if silent and state.conversations:
            self.say(f"met no conversation that they apply to (does the log have tags?): {', '.join(silent)}")
        failing = failing_prompts(self.folder / FAILING, THEMES_OF) if self.folder is not None else []
        return Monitored(
            constitution=self.settings.constitution.name,
            conversations=state.conversations,
            set_aside=dict(state.set_aside),
            other=state.other,
            rates=tuple(stream.rate(state.width, state.conversations) for stream in state.streams),
            themes=themes_of(failing),
            width=state.width,
            per_day=per_day,
            assumed=assumed,
            false_alarms=self.settings.false_alarms,
            baseline=self.settings.baseline,
            notes=tuple(self.notes),
            out=self.folder,
            new=new,
        )
