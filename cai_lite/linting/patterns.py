"""Rules about the automatic checks of a principle, which are run against its own examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cai_lite.inputs.checks import Checks, compiled, said_in
from cai_lite.inputs.constitution import Principle
from cai_lite.inputs.patterns import MEND, catastrophic, sample
from cai_lite.linting.findings import Finding, Subject, found

DENIALS = ("Never say that {}.", "There is no reason to {}.")
OTHERS_SAY = ('"{}" is what a scammer writes.', "Some people say that {}.")
BEGIN = "let the match begin at the words themselves; a '.*' or '[^.]*' in front of them swallows the negation"


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
    for principle, checks in _runnable(subject):
        for number, example in enumerate(principle.examples, 1):
            good = checks.passed(example.good)
            bad = checks.passed(example.bad) if example.bad else False
            if good is False:
                yield found(
                    principle,
                    "dead-check",
                    "error",
                    f"the checks reject the good reply of example {number}: {_why(checks, example.good)}",
                    "correct the pattern or the example; students are scored by these checks",
                )
            if bad is True:
                yield found(
                    principle,
                    "dead-check",
                    "error",
                    f"the checks accept the bad reply of example {number}{_denied_in(checks, example.bad)}",
                    "add its telltale words to 'forbid', or remove the checks",
                )
            for kind, verdict in (("good", good), ("bad", bad)):
                if verdict is None:
                    yield found(
                        principle,
                        "dead-check",
                        "warning",
                        f"the checks cannot decide the {kind} reply of example {number}: what they look for stands in "
                        "quotation marks, in reported speech or in a question, or the reply is in another language",
                        "correct the pattern or the example; students are not scored on such replies",
                    )


def misread_check(subject: Subject) -> Iterator[Finding]:
    """Report patterns that take a phrase for stated where it is denied, quoted or reported.

    Each is tried on sentences made from what it matches in the examples, or else from a sample of what it matches.
    """
    for principle, checks in _runnable(subject):
        bad, good = ([getattr(example, kind) for example in principle.examples] for kind in ("bad", "good"))
        for pattern in checks.forbid:
            for sentence in _sentences(pattern, bad, (*DENIALS, *OTHERS_SAY)):
                if Checks(forbid=(pattern,)).passed(sentence) is False:
                    message = f"forbid '{pattern}' finds a violation in: {sentence}"
                    yield found(principle, "misread-check", "warning", message, BEGIN)
                    break
        for pattern in checks.require_any:
            for sentence in _sentences(pattern, good, DENIALS):
                if Checks(require_any=(pattern,)).passed(sentence):
                    message = f"require_any '{pattern}' is satisfied by: {sentence}"
                    yield found(principle, "misread-check", "warning", message, BEGIN)
                    break


def _sentences(pattern: str, examples: Sequence[str], frames: Sequence[str]) -> Iterator[str]:
    """Yield the frames around a phrase that the pattern matches, but none whose own words it matches.

    A question is left out: it states nothing.
    """
    matcher = compiled(pattern)
    match = next((hit for text in examples if (hit := matcher.search(text))), None)
    phrase = match[0].strip() if match else sample(pattern)
    for frame in frames if phrase and "?" not in phrase else ():
        sentence = frame.format(phrase)
        if matcher.search(sentence) and not matcher.search(frame.format("this")):
            yield sentence


def _runnable(subject: Subject) -> Iterator[tuple[Principle, Checks]]:
    for principle in subject.constitution.principles:
        if principle.checks is not None and not any(catastrophic(pattern) for pattern in _patterns(principle)):
            yield principle, principle.checks


def _patterns(principle: Principle) -> Sequence[str]:
    return (*principle.checks.forbid, *principle.checks.require_any) if principle.checks else ()


def _why(checks: Checks, text: str) -> str:
    hit = next((p for p in checks.forbid if "asserted" in said_in(p, text)), None)
    if hit is not None:
        return f"forbid '{hit}' matches it"
    if checks.max_words is not None and len(text.split()) > checks.max_words:
        return f"it has {len(text.split())} words"
    denied = next((p for p in checks.require_any if re.search(p, text, re.IGNORECASE)), None)
    return f"it denies what require_any '{denied}' matches" if denied else "no pattern of require_any matches it"


def _denied_in(checks: Checks, text: str) -> str:
    denied = next((p for p in checks.forbid if "denied" in said_in(p, text)), None)
    return f": it denies what forbid '{denied}' matches" if denied else ""
