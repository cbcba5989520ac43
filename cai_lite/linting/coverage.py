"""Rules about prompts: those that no principle applies to, and those that the principles do not tell apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from cai_lite.linting.findings import Finding, Subject
from cai_lite.records import Prompt

# Tags under which prompts look alike and want different answers: a request to refuse, and its harmless twin.
RISKY = frozenset(
    {"unsafe", "harmful", "adversarial", "attack", "jailbreak", "red-team", "redteam", "red-flag", "dangerous"}
)
HARMLESS = frozenset({"benign", "benign-twin", "safe", "safe-twin", "twin", "harmless", "borderline", "over-refusal"})
_LEAST = 2  # principles that apply to all prompts hold for a small file, where nothing needs to be told apart


def uncovered(subject: Subject) -> Iterator[Finding]:
    """Report the prompts to which no principle applies, once for each set of tags."""
    principles = subject.constitution.principles
    missed: dict[tuple[str, ...], list[Prompt]] = defaultdict(list)
    for prompt in subject.prompts:
        if not any(principle.applies(prompt) for principle in principles):
            missed[tuple(sorted(prompt.tags))].append(prompt)
    for tags, prompts in sorted(missed.items(), key=lambda item: (-len(item[1]), item[0])):
        about = f"tagged {', '.join(tags)}" if tags else "without a tag"
        yield _gap(
            "uncovered",
            "warning",
            f"no principle applies to {_count(prompts, about)} of {len(subject.prompts)}, such as {_example(prompts)}",
            "add a principle with that tag in applies_to, or one that applies to every prompt",
        )


def unseparated(subject: Subject) -> Iterator[Finding]:
    """Report tags that the principles do not tell apart: all prompts with them get the same principles as the others.

    A risky tag beside a harmless one, such as `unsafe` and `benign-twin`, is a warning: if the same principles apply to
    both, nothing says that one is to be answered and the other not. Other tags that no principle separates from the
    rest of the prompts are one note together.
    """
    principles, prompts = subject.constitution.principles, subject.prompts
    if len(principles) < _LEAST or not any(prompt.tags for prompt in prompts):
        return
    groups: dict[frozenset[str], list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        groups[frozenset(p.id for p in principles if p.applies(prompt))].append(prompt)
    named = {tag for principle in principles for tag in principle.applies_to}
    opposed = set()
    for ids, members in sorted(groups.items(), key=lambda item: sorted(item[0])):
        risky = [p for p in members if RISKY & _plain(p) - named and not HARMLESS & _plain(p)]
        harmless = [p for p in members if HARMLESS & _plain(p) and not RISKY & _plain(p) - named]
        if risky and harmless and ids:
            tags = sorted({tag for p in risky for tag in RISKY & _plain(p) - named})
            twins = sorted({tag for p in harmless for tag in HARMLESS & _plain(p)})
            opposed |= {*tags, *twins}
            yield _gap(
                "unseparated",
                "warning",
                f"the same {len(ids)} principles apply to {_count(risky, 'tagged ' + ', '.join(tags))} and "
                f"{_count(harmless, 'tagged ' + ', '.join(twins))}, such as {_example(risky)} and {_example(harmless)}",
                f"add a principle with '{tags[0]}' in applies_to that says what is refused, and one for '{twins[0]}'",
            )
    idle = [
        tag
        for tag in sorted({t for p in prompts for t in p.tags})
        if tag not in named | opposed and _mixed(tag, groups)
    ]
    idle = [
        tag for tag in idle if ":" not in tag
    ]  # "slice:held_out" is a mark of an experiment, not of the prompt's kind
    if idle:
        counts = ", ".join(f"{tag} ({sum(tag in p.tags for p in prompts)})" for tag in idle)
        first = next(p for p in prompts if idle[0] in p.tags)
        yield _gap(
            "unseparated",
            "note",
            f"no principle separates the prompts with these tags from others: {counts}; for '{idle[0]}', such as "
            f"{_example([first])}",
            "add a principle with the tag in applies_to, if these prompts want something that others do not",
        )


def _mixed(tag: str, groups: dict[frozenset[str], list[Prompt]]) -> bool:
    """Return True if each prompt with the tag shares its principles with prompts that lack it."""
    mine = [members for members in groups.values() if any(tag in p.tags for p in members)]
    return all(any(tag not in p.tags for p in members) for members in mine)


def _plain(prompt: Prompt) -> frozenset[str]:
    """Return the tags of a prompt, without a prefix such as "slice:"."""
    return frozenset(tag.rsplit(":", 1)[-1] for tag in prompt.tags)


def _count(prompts: Sequence[Prompt], about: str) -> str:
    return f"{len(prompts)} prompt{'' if len(prompts) == 1 else 's'} {about}"


def _example(prompts: Sequence[Prompt]) -> str:
    text = " ".join(prompts[0].text.split())
    return f"'{text[:80]}{'...' if len(text) > 80 else ''}' (family '{prompts[0].family}')"


def _gap(rule: str, level: str, message: str, mend: str) -> Finding:
    return Finding(
        line=1, rule=rule, level="warning" if level == "warning" else "note", principle="", message=message, mend=mend
    )
