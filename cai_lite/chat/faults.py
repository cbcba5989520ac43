"""Say which share of a stage's replies is unusable and why, and stop a run that would go on with the rest.

A fault is never a verdict, so a run with many faults ends with few pairs, or with pairs of the easy prompts only. Each
stage has a `Watch`: it sees the replies as they arrive, and the rows that could not be used once they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cai_lite.chat.base import ChatModel
from cai_lite.chat.completions import CUT_THINKING, NO_ANSWER, plainly
from cai_lite.chat.thoughts import split_thought
from cai_lite.errors import Stopped
from cai_lite.records import Reply, Request

SAID = 0.05  # share of unusable rows above which it is said
STOPS = 0.5  # share of unusable rows above which the run stops
LEAST = 20  # rows below which no run is stopped
EARLY, EARLY_SHARE = 64, 0.9  # a stage stops in its midst if more than this share of its first replies is unusable
ROOM_TO_THINK = 4096  # tokens that hold the thoughts and the answer of today's models, as a rule
BRIEF = 1024  # tokens below which a thinking model is likely to be cut


@dataclass
class Tally:
    """What became of the replies to one kind of request: how many there are, by cause; and one that was read."""

    replies: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    max_tokens: int = 0
    example: str = ""

    def add(self, request: Request, reply: Reply) -> None:
        """Count one reply."""
        self.replies += 1
        self.max_tokens = max(self.max_tokens, request.sampling.max_tokens)
        if reply.fault in (CUT_THINKING, NO_ANSWER):
            self.causes[reply.fault] += 1
        elif reply.outcome == "failed":
            self.causes[f"failed: {reply.fault}"] += 1
        elif reply.outcome != "ok":
            self.causes[reply.outcome] += 1
        else:
            self.example = reply.text


@dataclass(kw_only=True)
class Watch:
    """Watches the replies of one stage.

    `say`: called with one sentence for a person. `stops`: stop the run above `STOPS`. `section`: the model's section in
    the recipe, such as "teacher", named in messages; "" outside of recipes. `switched`: variables of the chat template
    are set for it. `told`: what was said already, shared by the stages of a run.
    """

    say: Callable[[str], None]
    stops: bool = False
    section: str = ""
    switched: bool = False
    told: set[str] = field(default_factory=set)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def arrived(self, name: str, model: ChatModel, section: str, replies: Iterable[tuple[Request, Reply]]) -> None:
        """Take note of replies of the stage `name` to requests that the recipe's `section` sets.

        Raises:
            Stopped: nearly all of the first replies are unusable, in a way that more calls would not mend.
        """
        tally = self.tallies.setdefault(section, Tally())
        for request, reply in replies:
            tally.add(request, reply)
            if reply.estimated:
                self._once(f"{model.name} counts no tokens: they are estimated from the texts, for the budget as well")
            if request.sampling.max_tokens < BRIEF and split_thought(reply.text).thought:
                self._once(f"{model.name} thinks before it answers: {self._switch(section)}")
        # The verdict of a cut critique stands at its beginning, and a server's filter may refuse some prompts only.
        lost = sum(n for cause, n in tally.causes.items() if cause != "refused" and (cause, section) != _READ_WHEN_CUT)
        if self.stops and tally.replies >= EARLY and lost > EARLY_SHARE * tally.replies:
            raise Stopped(self._stopped(name, tally.replies, dict(tally.causes), section, "replies"))

    def counted(self, name: str, rows: int, unusable: Mapping[str, int], *, section: str, of: str) -> None:
        """Say which share of the rows could not be used, and why.

        `unusable`: number of rows by kind: "cut", "empty", "unreadable", "refused", "failed". `of`: what a row is.

        Raises:
            Stopped: there are at least `LEAST` rows, and more than half of them are unusable.
        """
        unusable = {kind: n for kind, n in unusable.items() if n}
        bad = sum(unusable.values())
        if bad <= SAID * rows:
            return
        if self.stops and rows >= LEAST and bad > STOPS * rows:
            raise Stopped(self._stopped(name, rows, unusable, section, of))
        self.say(self._sentence(name, rows, unusable, section, of))

    def _once(self, message: str) -> None:
        if message not in self.told:
            self.told.add(message)
            self.say(message)

    def _stopped(self, name: str, rows: int, unusable: Mapping[str, int], section: str, of: str) -> str:
        """Return why the run stops, and what to do before the same command is given again."""
        if of == "drafts" and sum(unusable.values()) == rows:
            how, mend = self._how(unusable, section, rows)
            return f"no pairs to train on: all {rows} drafts were {how}; {mend} and run the same command again"
        return f"{self._sentence(name, rows, unusable, section, of)}, and run the same command again"

    def _sentence(self, name: str, rows: int, unusable: Mapping[str, int], section: str, of: str) -> str:
        how, mend = self._how(unusable, section, rows)
        return f"{name}: {sum(unusable.values())} of {rows} {of} {how}; {mend}"

    def _how(self, unusable: Mapping[str, int], section: str, rows: int) -> tuple[str, str]:
        """Return what happened to the unusable rows, with its cause, and the setting that mends it."""
        tally = self.tallies.get(section, Tally())
        setting = f"{section}.max_tokens" if section else "max_tokens"
        kinds = Counter(unusable).most_common()
        how = kinds[0][0] if len(kinds) == 1 else f"unusable ({', '.join(f'{n} {kind}' for kind, n in kinds)})"
        limit = f"at {setting}={tally.max_tokens}"
        thoughts = tally.causes[CUT_THINKING] + tally.causes[NO_ANSWER]
        if thoughts and thoughts >= 0.5 * sum(tally.causes.values()):
            counted = f"{thoughts}" if tally.replies == rows else f"{thoughts} of {tally.replies} replies"
            return f"{how}: {counted} {CUT_THINKING} {limit}", self._switch(section)
        main = kinds[0][0].partition(":")[0]
        failed = [(n, cause) for cause, n in tally.causes.items() if cause.startswith("failed: ")]
        if main == "failed" and failed:
            how = main if len(kinds) == 1 else how
            return f"{how} ({plainly(max(failed)[1].removeprefix('failed: '), 80)})", "check the server"
        if main == "cut":
            return f"{how} {limit} tokens" if rows else how, "raise it"
        if main == "refused":
            return f"{how} by the server", "use a server without this filter, or leave these prompts out"
        if main == "empty":
            return how, "the model answers nothing: try it with cai-lite chat, and check its chat template"
        if 2 * tally.causes["cut"] > tally.replies:
            return f"{how}: {tally.causes['cut']} replies cut {limit}", f"raise {setting}"
        example = f": they do not begin with a verdict, such as '{plainly(tally.example, 60)}'" if tally.example else ""
        return f"{how}{example}", "use a stronger model"

    def _switch(self, section: str) -> str:
        """Return how to give a thinking model what it needs."""
        room = f"{section}.max_tokens: {ROOM_TO_THINK}" if section else f"max_tokens to {ROOM_TO_THINK}"
        template = f"{self.section}.template" if self.section else "template"
        if self.switched:
            return f"its chat template does not heed {template}, so set {room}"
        return f"set {template}: {{enable_thinking: false}} or {room}"


_READ_WHEN_CUT = ("cut", "critique")
