"""A constitution: the written principles that a model should follow, read from YAML. Each principle knows its line.

constitution = load_constitution("medical")          # packaged, or a path to a file
for principle in draw(constitution, prompt, 2): ...
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from cai_lite.errors import ConstitutionError, did_you_mean
from cai_lite.inputs.yamlfile import FILE, LINE, Document, build, find_packaged, read_document
from cai_lite.records import Prompt, digest, drawn_key


def load_constitution(name_or_path: str | Path) -> Constitution:
    """Read a packaged constitution (`medical`, `customer-service`, `creative`) or a file.

    Raises ConstitutionError with a line for each fault.
    """
    document = read_document(find_packaged("constitutions", name_or_path, ConstitutionError), ConstitutionError)
    read = build(document, Constitution, ConstitutionError)
    if faults := _faults(document, read):
        raise ConstitutionError("\n".join(faults))
    return replace(read, name=read.name or Path(document.file).stem, principles=tuple(map(_stripped, read.principles)))


def draw(constitution: Constitution, prompt: Prompt, n: int) -> tuple[Principle, ...]:
    """At most `n` of the principles that apply to the prompt, drawn by weight without putting back.

    Each principle gets a number from the hash of prompt and principle alone, and the n greatest are taken: a new
    principle or a new prompt moves no other draw. Source: Efraimidis and Spirakis 2006, "Weighted random sampling with
    a reservoir", keys u^(1/w).
    """
    apply = [principle for principle in constitution.principles if principle.applies(prompt)]
    by_key = sorted(apply, key=lambda p: (-drawn_key(p.weight, "draw", prompt.key, p.id), p.id))
    # The sort is stable: in each half the order of the draw stays.
    by_need = sorted(by_key, key=lambda p: not p.mandatory)
    return tuple(by_need[: max(n, sum(p.mandatory for p in apply))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What a machine can check of a reply, beside the judge. Patterns are regular expressions that ignore letter case.

    `forbid`: none may be found. `require_any`: at least one must be found. `max_words`: counted between blanks.
    """

    forbid: tuple[str, ...] = ()
    require_any: tuple[str, ...] = ()
    max_words: int | None = None

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < 1:
            raise ValueError(f"'max_words' should be at least 1, got {self.max_words}")

    def passed(self, text: str) -> bool:
        """Whether a reply passes all of them."""
        if self.max_words is not None and len(text.split()) > self.max_words:
            return False
        if any(_compiled(pattern).search(text) for pattern in self.forbid):
            return False
        return not self.require_any or any(_compiled(pattern).search(text) for pattern in self.require_any)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A case for the teacher and the linter: a scenario, a reply that keeps the principle and one that breaks it."""

    prompt: str
    good: str
    bad: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """One rule.

    `weight`: how often it is drawn, and its share in the weighted score. `priority`: 1 wins over higher numbers in a
    conflict. `applies_to`: prompt tags, empty for all prompts. `critique`, `revise`: its own wording of these requests,
    or empty. `line`: where it stands in its file.
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
            raise ValueError(f"'id' should be of a-z, 0-9 and '-', such as 'no-guessing', got '{self.id}'")
        if not self.text.strip():
            raise ValueError(f"'text' of principle '{self.id}' is empty; say what a good reply does")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"'weight' of principle '{self.id}' should be above 0, got {self.weight:g}")

    def applies(self, prompt: Prompt) -> bool:
        """Whether the prompt bears one of the tags of `applies_to`."""
        return not self.applies_to or not set(self.applies_to).isdisjoint(prompt.tags)

    @property
    def mandatory(self) -> bool:
        """Whether the principle is drawn for every prompt that it applies to: `always`, or of priority 1."""
        return self.always or self.priority == 1

    @property
    def digest(self) -> str:
        """Of what can enter a request: not of weight, priority, tags, checks and source."""
        examples = [(e.prompt, e.good, e.bad, e.why) for e in self.examples]
        return digest("principle", self.id, self.text, self.critique, self.revise, examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A decided trade-off: where both principles of `between` speak and cannot both be kept, `prefer` is kept."""

    between: tuple[str, ...]
    prefer: str
    when: str = ""
    line: int = field(default=0, metadata=LINE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A rule of the linter that is not to speak, of one principle or (left out) of any, and why."""

    rule: str
    reason: str
    principle: str = ""
    line: int = field(default=0, metadata=LINE, compare=False)

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"'reason' is empty: say why '{self.rule}' should not speak here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """The principles of one domain, in the order of the file. `path`: the file they were read from. `silence`: for the
    linter.
    """

    name: str = ""
    version: str = ""
    description: str = ""
    principles: tuple[Principle, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    silence: tuple[Silence, ...] = ()
    path: str = field(default="", metadata=FILE, compare=False)

    def principle(self, id: str) -> Principle:
        """The principle of that id. Raises ConstitutionError if there is none."""
        for principle in self.principles:
            if principle.id == id:
                return principle
        raise ConstitutionError(
            f"'{self.name}' has no principle '{id}'{did_you_mean(id, (p.id for p in self.principles))}"
        )

    def tradeoffs(self, prompt: Prompt, about: str = "") -> list[str]:
        """What is decided for where two principles that apply to the prompt cannot both be kept, a sentence each.

        `about`: only those conflicts that name this principle.
        """
        ids = {principle.id for principle in self.principles if principle.applies(prompt)}
        texts = {principle.id: principle.text for principle in self.principles}
        told = []
        for conflict in self.conflicts:
            if not ids.issuperset(conflict.between) or (about and about not in conflict.between):
                continue
            other = next(name for name in conflict.between if name != conflict.prefer)
            when = f" ({conflict.when})" if conflict.when else ""
            told.append(f"Where both cannot be kept{when}: '{texts[conflict.prefer]}' goes before '{texts[other]}'")
        return told

    @property
    def digest(self) -> str:
        """Of everything the file says, but not of where it stands."""
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
    """What no single value tells: doubles, names that nothing bears, patterns that do not compile."""
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
            message = f"the id '{principle.id}' stands twice, first in line {first[principle.id]}; ids are unique"
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


def _pattern_fault(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `[[a]` compiles with a warning and will one day mean something else
            compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, Warning, OverflowError) as fault:
        return f"'{pattern}' is no regular expression: {fault}"
    return f"'{pattern}' is found in every text, the empty one too" if compiled.search("") else ""


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _stripped(principle: Principle) -> Principle:
    """Block scalars of YAML end in a line break that no request should carry."""
    return replace(
        principle, text=principle.text.strip(), critique=principle.critique.strip(), revise=principle.revise.strip()
    )
