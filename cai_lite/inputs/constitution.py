"""Constitutions: the written principles that a model should follow, read from YAML.

constitution = load_constitution("medical")  # a packaged name or the path of a file
for principle in draw(constitution, prompt, 2): ...
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from cai_lite.errors import ConstitutionError, did_you_mean
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.patterns import MEND, catastrophic
from cai_lite.inputs.yamlfile import FILE, LINE, Document, build, find_packaged, read_document
from cai_lite.records import Prompt, digest, sampling_key


def load_constitution(name_or_path: str | Path) -> Constitution:
    """Read a constitution: a file, or a packaged one by name (`medical`, `customer-service`, `creative`).

    A pattern in `checks` that can need exponential time is refused, unless the file silences the rule `slow-pattern`
    for its principle, with a reason.

    Raises:
        ConstitutionError: the file is missing or invalid; the message has one line per fault.
    """
    return read_constitution(name_or_path, slow_patterns=False)


def read_constitution(name_or_path: str | Path, *, slow_patterns: bool) -> Constitution:
    """Read a constitution as `load_constitution` does.

    `slow_patterns`: accept them, for the linter, which reports them.

    Raises:
        ConstitutionError: the file is missing or invalid.
    """
    document = read_document(find_packaged("constitutions", name_or_path, ConstitutionError), ConstitutionError)
    read = build(document, Constitution, ConstitutionError)
    if faults := _faults(document, read) or ([] if slow_patterns else _slow_patterns(document, read)):
        raise ConstitutionError("\n".join(faults))
    return replace(read, name=read.name or Path(document.file).stem, principles=tuple(map(_stripped, read.principles)))


def draw(constitution: Constitution, prompt: Prompt, n: int) -> tuple[Principle, ...]:
    """Draw up to `n` of the principles that apply to the prompt, weighted, without replacement.

    Mandatory principles (`always`, or priority 1) are drawn wherever they apply, even where there are more than `n`.
    Each principle's sort key depends only on the prompt and the principle (see `records.sampling_key`), so adding a
    principle or a prompt does not change the other keys.
    """
    applicable = constitution.applying(prompt)
    by_key = sorted(applicable, key=lambda p: (-sampling_key(p.weight, "draw", prompt.key, p.id), p.id))
    # The sort is stable: among mandatory principles, and among the others, the order of the draw stays.
    by_need = sorted(by_key, key=lambda p: not p.mandatory)
    return tuple(by_need[: max(n, sum(p.mandatory for p in applicable))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An example for the teacher and the linter: a prompt, a reply that keeps the principle, and one that breaks it."""

    prompt: str
    good: str
    bad: str = ""
    why: str = ""


COMPARATIVE = re.compile(
    r"\W*(?:please )?(?:which (?:of )?(?:the |these |those |two )*(?:\w+ ){0,2}?(?:response|repl|answer|option|"
    r"completion)|"
    r"(?:choose|select|pick|prefer) the (?:\w+ ){0,3}?(?:response|reply|answer|one|option|completion)\b|"
    r"(?:compare|consider) [^.?!]*\b(?:responses|replies|answers|completions)\b)",
    re.IGNORECASE,
)
"""The beginning of a principle that compares replies, as in "Which response ..." (Bai et al. 2022, appendix C.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """One principle of a constitution.

    `weight`: its relative probability of being drawn, and its share of the weighted score. `priority`: 1 takes
    precedence over higher numbers. `applies_to`: tags of the prompts it applies to; empty means all prompts.
    `critique`, `revise`: its own wording of these requests, or empty for the standard one. `line`: its line in the
    file.
    """

    id: str
    text: str
    weight: float = 1.0
    priority: int = 5
    applies_to: tuple[str, ...] = ()
    always: bool = False
    critique: str = ""
    revise: str = ""
    checks: Checks | None = None
    examples: tuple[Example, ...] = ()
    source: str = ""
    line: int = field(default=0, metadata=LINE, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.id):
            raise ValueError(f"'id' should consist of a-z, 0-9 and '-', such as 'no-guessing', got '{self.id}'")
        if not self.text.strip():
            raise ValueError(f"'text' of principle '{self.id}' is empty; say what a good reply does")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"'weight' of principle '{self.id}' should be above 0 and finite, got {self.weight:g}")

    def applies(self, prompt: Prompt) -> bool:
        """Return True if the prompt has one of the tags in `applies_to`, or if that is empty."""
        return not self.applies_to or not set(self.applies_to).isdisjoint(prompt.tags)

    @property
    def comparative(self) -> bool:
        """Whether the text compares replies, as in "Choose the response that ...", instead of saying what one does."""
        return COMPARATIVE.match(self.text) is not None

    @property
    def behaviour(self) -> str:
        """The text for a request about one reply. A text that compares replies stays whole, with a lead-in of ours."""
        return (
            f"The reply is one that would be chosen under this request: {self.text}" if self.comparative else self.text
        )

    @property
    def mandatory(self) -> bool:
        """Whether the principle is drawn for every prompt that it applies to: `always`, or of priority 1."""
        return self.always or self.priority == 1

    @property
    def rank(self) -> tuple[int, float, str]:
        """The sort key of principles that are broken: which one is mended first."""
        return self.priority, -self.weight, self.id

    @property
    def digest(self) -> str:
        """Return a digest of the fields that appear in requests.

        Weight, priority, tags, checks and source are left out, so changing them repeats no request.
        """
        examples = [(e.prompt, e.good, e.bad, e.why) for e in self.examples]
        return digest("principle", self.id, self.text, self.critique, self.revise, examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A decided trade-off: where the two principles in `between` cannot both be kept, `prefer` takes precedence."""

    between: tuple[str, ...]
    prefer: str
    when: str = ""
    line: int = field(default=0, metadata=LINE, compare=False)

    @property
    def over(self) -> str:
        """The principle of `between` that yields."""
        return next(name for name in self.between if name != self.prefer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A linter rule that the author has switched off, for one principle or (if empty) for all, with the reason."""

    rule: str
    reason: str
    principle: str = ""
    line: int = field(default=0, metadata=LINE, compare=False)

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"'reason' is empty; say why the rule '{self.rule}' should be silenced here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """The principles of one domain, in the order of the file, with their conflicts.

    `silence`: the linter rules that are switched off. `path`: the file the constitution was read from.
    """

    name: str = ""
    version: str = ""
    description: str = ""
    principles: tuple[Principle, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    silence: tuple[Silence, ...] = ()
    path: str = field(default="", metadata=FILE, compare=False)

    def principle(self, id: str) -> Principle:
        """Return the principle with this id.

        Raises:
            ConstitutionError: there is none.
        """
        for principle in self.principles:
            if principle.id == id:
                return principle
        raise ConstitutionError(
            f"'{self.name}' has no principle '{id}'{did_you_mean(id, (p.id for p in self.principles))}"
        )

    def applying(self, prompt: Prompt) -> list[Principle]:
        """Return the principles that apply to the prompt, in the order of the file."""
        return [principle for principle in self.principles if principle.applies(prompt)]

    def tradeoffs(self, prompt: Prompt, about: str = "") -> list[str]:
        """Return a sentence for each decided conflict between principles that apply to the prompt.

        `about`: restrict these to the conflicts that involve the principle with this id.
        """
        texts = {principle.id: principle.text for principle in self.principles}
        decided = []
        for conflict in self._decided(prompt):
            if about and about not in conflict.between:
                continue
            when = f" ({conflict.when})" if conflict.when else ""
            over = texts[conflict.over]
            decided.append(f"Where both cannot be kept{when}: '{texts[conflict.prefer]}' goes before '{over}'")
        return decided

    def yields_to(self, preferred: str, prompt: Prompt, *, conditional: bool = False) -> tuple[str, ...]:
        """Return the ids of the principles that a decided conflict puts behind `preferred` for this prompt.

        `conditional`: those of conflicts with a `when`, whose condition only a reader can tell, instead of the others.
        """
        mine = (conflict for conflict in self._decided(prompt) if conflict.prefer == preferred)
        return tuple(conflict.over for conflict in mine if bool(conflict.when) == conditional)

    def _decided(self, prompt: Prompt) -> list[Conflict]:
        ids = {principle.id for principle in self.principles if principle.applies(prompt)}
        return [conflict for conflict in self.conflicts if ids.issuperset(conflict.between)]

    @property
    def digest(self) -> str:
        """Return a digest of the whole content, but not of the path or the line numbers."""
        rules = [
            (
                p.digest,
                p.weight,
                p.priority,
                p.applies_to,
                p.source,
                p.checks and (p.checks.forbid, p.checks.require_any, p.checks.max_words),
                *(("always",) if p.always else ()),  # absent where unset: the digests of older files stay
            )
            for p in self.principles
        ]
        conflicts = [(c.between, c.prefer, c.when) for c in self.conflicts]
        return digest("constitution", self.name, self.version, self.description, rules, conflicts)


def _faults(document: Document, constitution: Constitution) -> list[str]:
    """Return the faults that concern several values: repeated ids, unknown names, patterns that do not compile."""
    if not constitution.principles:
        return [
            document.fault(
                ("principles",), "a constitution needs at least one principle: 'principles: [{id: ..., text: ...}]'"
            )
        ]
    faults: list[str] = []
    first: dict[str, int] = {}
    for i, principle in enumerate(constitution.principles):
        if principle.id in first:
            line = first[principle.id]
            message = f"the id '{principle.id}' appears twice, first on line {line}; give each principle its own"
            faults.append(document.fault(("principles", i, "id"), message))
        first.setdefault(principle.id, principle.line)
        checks = principle.checks or Checks()
        for name, patterns in (("forbid", checks.forbid), ("require_any", checks.require_any)):
            for j, pattern in enumerate(patterns):
                if wrong := _pattern_fault(pattern):
                    keys = ("principles", i, "checks", name, j)
                    faults.append(document.fault(keys, f"'{name}' of principle '{principle.id}': {wrong}"))
    for i, conflict in enumerate(constitution.conflicts):
        for name in (*conflict.between, conflict.prefer):
            if name not in first:
                message = f"the conflict names the unknown principle '{name}'{did_you_mean(name, first)}"
                faults.append(document.fault(("conflicts", i), message))
        if len(set(conflict.between)) != 2 or len(conflict.between) != 2:
            faults.append(document.fault(("conflicts", i, "between"), "'between' should name two principles"))
        elif conflict.prefer not in conflict.between:
            message = f"'prefer' should be one of {', '.join(conflict.between)}, got '{conflict.prefer}'"
            faults.append(document.fault(("conflicts", i, "prefer"), message))
    for i, silence in enumerate(constitution.silence):
        if silence.principle and silence.principle not in first:
            message = f"the silence names the unknown principle '{silence.principle}'"
            faults.append(document.fault(("silence", i), message + did_you_mean(silence.principle, first)))
    return list(dict.fromkeys(faults))


def _slow_patterns(document: Document, constitution: Constitution) -> list[str]:
    """Return a fault for each pattern that can need exponential time, unless the file silences that rule."""
    silenced = {silence.principle for silence in constitution.silence if silence.rule == "slow-pattern"}
    faults = []
    for i, principle in enumerate(constitution.principles):
        if principle.checks is None or silenced & {"", principle.id}:
            continue
        for name, patterns in (("forbid", principle.checks.forbid), ("require_any", principle.checks.require_any)):
            for j, pattern in enumerate(patterns):
                if why := catastrophic(pattern):
                    message = (
                        f"'{name}' of principle '{principle.id}': '{pattern[:80]}' can need exponential time: {why}"
                    )
                    faults.append(document.fault(("principles", i, "checks", name, j), f"{message}; {MEND}"))
    return faults


def _pattern_fault(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `[[a]` compiles with a warning and will one day mean something else
            compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, Warning, OverflowError) as fault:
        return f"'{pattern[:80]}' is not a regular expression: {fault}"
    except RecursionError:
        return f"'{pattern[:80]}' is not a regular expression: nested too deeply"
    if catastrophic(pattern):
        return ""  # reported as such; a text, even an empty one, is never given to it here
    return f"'{pattern}' matches every text, even an empty one" if compiled.search("") else ""


def _stripped(principle: Principle) -> Principle:
    """Return the principle without the line break that ends a YAML block scalar; no request should contain it."""
    return replace(
        principle, text=principle.text.strip(), critique=principle.critique.strip(), revise=principle.revise.strip()
    )
