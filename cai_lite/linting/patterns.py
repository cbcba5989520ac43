"""Rules about the automatic checks of a principle, which are run against its own examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Principle
from cai_lite.inputs.patterns import MEND, catastrophic
from cai_lite.linting.findings import Finding, Subject, found


def slow_pattern(subject: Subject) -> Iterator[Finding]:
    """Report patterns that can need exponential time. `load_constitution` refuses them; the linter reads them."""
    for principle in subject.constitution.principles:
        for pattern in _patterns(principle):
            if why := catastrophic(pattern):
                yield found(
                    principle,
                    "slow-pattern",
                    "error",
                    f"'{pattern}' can need exponential time: {why}",
                    MEND,
                )


def dead_check(subject: Subject) -> Iterator[Finding]:
    """Report checks that contradict the principle's own examples; catastrophic patterns are not run."""
    for principle in subject.constitution.principles:
        checks = principle.checks
        if checks is None or any(catastrophic(pattern) for pattern in _patterns(principle)):
            continue
        for number, example in enumerate(principle.examples, 1):
            if not checks.passed(example.good):
                yield found(
                    principle,
                    "dead-check",
                    "error",
                    f"the checks reject the good reply of example {number}: {_why(checks, example.good)}",
                    "correct the pattern or the example; students are scored by these checks",
                )
            if example.bad and checks.passed(example.bad):
                yield found(
                    principle,
                    "dead-check",
                    "error",
                    f"the checks accept the bad reply of example {number}",
                    "add its telltale words to 'forbid', or remove the checks",
                )


def _patterns(principle: Principle) -> Sequence[str]:
    return (*principle.checks.forbid, *principle.checks.require_any) if principle.checks else ()


def _why(checks: Checks, text: str) -> str:
    hit = next((p for p in checks.forbid if re.search(p, text, re.IGNORECASE)), None)
    if hit is not None:
        return f"forbid '{hit}' matches it"
    if checks.max_words is not None and len(text.split()) > checks.max_words:
        return f"it has {len(text.split())} words"
    return "no pattern of require_any matches it"
