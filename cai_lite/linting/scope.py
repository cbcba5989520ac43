"""Rules about where principles apply, and about what is missing from a constitution."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cai_lite.errors import did_you_mean
from cai_lite.linting.findings import Finding, Subject, found
from cai_lite.linting.themes import TOPICS

_CONDITION = re.compile(r"^\W*(?:when(?:ever)?|if|in case of|at|where|for|with|during)\b [^,]{4,60},", re.IGNORECASE)


def missing_scope(subject: Subject) -> Iterator[Finding]:
    """Report principles that state a condition but have no `applies_to`, so that they are judged on every prompt."""
    tagged = any(p.applies_to for p in subject.constitution.principles) or any(p.tags for p in subject.prompts)
    for principle in subject.constitution.principles:
        if tagged and not principle.applies_to and (condition := _CONDITION.match(principle.text)):
            yield found(
                principle,
                "missing-scope",
                "note",
                f"states a condition ('{condition[0].strip(' ,')}') but applies to every prompt",
                "add applies_to: [tag], and give that tag to the prompts that meet the condition",
            )


def unreachable(subject: Subject) -> Iterator[Finding]:
    """Report tags that no prompt has; without prompts, tags that are nearly the same as another one."""
    tags = {tag for prompt in subject.prompts for tag in prompt.tags}
    known = {tag for principle in subject.constitution.principles for tag in principle.applies_to}
    for principle in subject.constitution.principles:
        if subject.prompts and principle.applies_to and tags.isdisjoint(principle.applies_to):
            near = did_you_mean(principle.applies_to[0], tags)
            yield found(
                principle,
                "unreachable",
                "warning",
                f"applies to {', '.join(principle.applies_to)}, which no prompt has{near}",
                "add the tag to prompts, or correct applies_to",
            )
        elif not subject.prompts:
            for tag in principle.applies_to:
                if (other := _plural(tag)) in known and other != tag and tag > other:
                    yield found(
                        principle,
                        "unreachable",
                        "warning",
                        f"applies to '{tag}', while another principle has '{other}'",
                        "use one spelling of the tag",
                    )


def no_example(subject: Subject) -> Iterator[Finding]:
    """Report principles without an example that has both a good and a bad reply.

    Where no principle of several has one, as in an imported policy, this is a single finding.
    """
    principles = subject.constitution.principles
    if len(principles) > 1 and not any(example.bad for p in principles for example in p.examples):
        yield Finding(
            line=principles[0].line,
            rule="no-example",
            level="note",
            principle="",
            message=f"none of the {len(principles)} principles has an example, with a reply that keeps it and one that "
            "breaks it",
            mend="add them, first where it matters most; the teacher sees them, and the checks are tested on them",
        )
        return
    for principle in principles:
        if not any(example.bad for example in principle.examples):
            yield found(
                principle,
                "no-example",
                "note",
                "has no example of a reply that keeps it and one that breaks it",
                "add one; the teacher sees it, and the checks are tested on it",
            )


def missing_topic(subject: Subject) -> Iterator[Finding]:
    """Report topics that a constitution of its domain should cover.

    The domain is the one that the name tells; where it tells none, the one that the description mentions first.
    """
    constitution = subject.constitution
    said = " ".join(f"{p.id.replace('-', ' ')} {p.text}" for p in constitution.principles)
    for domain, topics in _domains(constitution.name.replace("-", " "), constitution.description):
        for topic, words in topics:
            if not re.search(words, said, re.IGNORECASE):
                yield Finding(
                    line=1,
                    rule="missing-topic",
                    level="note",
                    principle="",
                    message=f"a constitution about {domain} says nothing about {topic}",
                    mend="add a principle for it, or silence this rule with the reason for leaving it out",
                )


def _domains(name: str, description: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the domains that the name tells, or else the first that the description mentions, with their topics."""
    told = [(domain, topics) for domain, names, topics in TOPICS if re.search(names, name, re.IGNORECASE)]
    if told:
        return told
    places = [
        (place.start(), domain, topics)
        for domain, names, topics in TOPICS
        if (place := re.search(names, description, re.IGNORECASE))
    ]
    return [(domain, topics) for _, domain, topics in sorted(places)[:1]]


def _plural(tag: str) -> str:
    return tag.removesuffix("s") if tag.endswith("s") else f"{tag}s"
