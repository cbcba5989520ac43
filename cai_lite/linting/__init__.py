"""Find faults in a constitution before a judge meets them, without calling a model.

    for finding in lint(load_constitution("medical")): ...

To add a rule, write a function in one of the modules here and add it to `RULES`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.inputs.constitution import Constitution, Silence
from cai_lite.linting.between import contradiction, near_duplicate
from cai_lite.linting.coverage import uncovered, unseparated
from cai_lite.linting.findings import Finding, Level, Rule, Subject
from cai_lite.linting.patterns import dead_check, misread_check, slow_pattern
from cai_lite.linting.scope import missing_scope, missing_topic, no_example, unreachable
from cai_lite.linting.texts import compound, negative, too_long, trait
from cai_lite.linting.tradeoffs import no_tie_break
from cai_lite.linting.vagueness import vague
from cai_lite.records import Prompt

__all__ = ["RULES", "Finding", "Level", "Rule", "Subject", "lint"]

RULES: dict[str, Rule] = {
    "vague": vague,
    "trait": trait,
    "compound": compound,
    "too-long": too_long,
    "negative": negative,
    "near-duplicate": near_duplicate,
    "contradiction": contradiction,
    "no-tie-break": no_tie_break,
    "dead-check": dead_check,
    "misread-check": misread_check,
    "slow-pattern": slow_pattern,
    "missing-scope": missing_scope,
    "unreachable": unreachable,
    "uncovered": uncovered,
    "unseparated": unseparated,
    "no-example": no_example,
    "missing-topic": missing_topic,
}


def lint(constitution: Constitution, *, prompts: Sequence[Prompt] = ()) -> list[Finding]:
    """Return the findings of all rules, sorted by line and rule.

    If `prompts` are given, the linter also checks that each tag in `applies_to` occurs in them, that each prompt has
    principles, and that the principles tell prompts of opposing tags apart. Findings that the
    constitution silences (`silence: [{rule, principle, reason}]`) are left out; a silence that names an unknown rule,
    or that silences nothing, is itself a finding.
    """
    subject = Subject(constitution=constitution, prompts=prompts)
    found = [finding for rule in RULES.values() for finding in rule(subject)]
    kept = [finding for finding in found if not any(_silences(s, finding) for s in constitution.silence)]
    for silence in constitution.silence:
        if not any(_silences(silence, finding) for finding in found):
            unknown = silence.rule not in RULES
            kept.append(
                Finding(
                    line=silence.line,
                    rule="silence",
                    level="error" if unknown else "warning",
                    principle=silence.principle,
                    message=f"silences '{silence.rule}', which "
                    + (f"is not a rule; the rules are {', '.join(RULES)}" if unknown else "finds nothing here"),
                    mend="remove it",
                )
            )
    return sorted(kept, key=lambda f: (f.line, list(RULES).index(f.rule) if f.rule in RULES else -1, f.message))


def _silences(silence: Silence, finding: Finding) -> bool:
    return silence.rule == finding.rule and silence.principle in ("", finding.principle)
