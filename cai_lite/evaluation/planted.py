"""Plant violations of three subtleties, and clean replies beside them, to see which of them a critic finds.

In the toy world a reply is drawn from the grammar, so that what it breaks is known. For any other constitution a reply
is put together from the good and the bad example of a principle; what it breaks is then for the teacher to confirm.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from cai_lite.distill.critics import PLANTED
from cai_lite.embedded import grammar
from cai_lite.embedded.world import Rule
from cai_lite.evaluation.refusal_words import SENTENCE
from cai_lite.inputs.constitution import Constitution, Example
from cai_lite.records import Candidate, Critique, Message, Prompt, dicts_of, digest

Subtlety = Literal["plain", "moderate", "subtle", "clean"]
SUBTLETIES: tuple[Subtlety, ...] = ("plain", "moderate", "subtle", "clean")
PER_PRINCIPLE = 3  # replies drawn from the grammar, by principle and subtlety


class Planted(NamedTuple):
    """A reply that breaks a principle plainly, moderately or subtly, or a clean one that keeps it."""

    candidate: Candidate
    principle: str
    subtlety: Subtlety


def planted_in_grammar(constitution: Constitution, *, seed: int = 0) -> list[Planted]:
    """Return planted replies of the toy world for every principle that it knows, on word pairs held out of training.

    A plain violation stands in a reply that breaks every rule, a moderate one in a reply that breaks half of the
    others, a subtle one in a reply that keeps all others; a clean reply keeps all of them.
    """
    domain = grammar.DOMAINS[constitution.name]
    rng = random.Random(f"planted {domain.name} {seed}")
    known = {principle.id for principle in constitution.principles}
    return [
        _drawn(domain.name, rule, subtlety, rng)
        for rule in domain.rules
        if rule.id in known
        for subtlety in SUBTLETIES
        for _ in range(PER_PRINCIPLE)
    ]


def planted_from_examples(constitution: Constitution) -> list[Planted]:
    """Return planted replies for every example that has a bad reply; what they break is not certain yet.

    A plain violation is the bad reply alone; a moderate one is followed by half of the good reply; a subtle one is a
    single sentence of it inside of the good reply; the clean reply is the good one.
    """
    return [
        _planted(example.prompt, f"example {principle.id}", (), text, principle.id, subtlety)
        for principle in constitution.principles
        for example in principle.examples
        if example.bad
        for subtlety, text in zip(SUBTLETIES, _mixed(example), strict=True)
    ]


def confirmed(planted: Sequence[Planted], critiques: Sequence[Critique]) -> list[Planted]:
    """Return the planted replies that are what they should be by these critiques, one for each in their order."""
    return [
        one
        for one, critique in zip(planted, critiques, strict=True)
        if critique.violated == ("no" if one.subtlety == "clean" else "yes")
    ]


def _drawn(domain: str, rule: Rule, subtlety: Subtlety, rng: random.Random) -> Planted:
    """Draw a reply that breaks the rule, or keeps it if `subtlety` is "clean"."""
    good = {"plain": 0.0, "moderate": 0.5, "subtle": 1.0, "clean": 1.0}[subtlety]
    while True:
        ask = grammar.draw_ask(grammar.DOMAINS[domain], rng, slice="held_out_pairs")
        if rule not in ask.rules:
            continue
        poles = grammar.draw_poles(ask, rng, good=good) | {rule.id: subtlety == "clean"}
        reply = grammar.draw_reply(ask, poles, rng)
        if grammar.keeps(rule, reply) == (subtlety == "clean"):
            return _planted(ask.text, ask.family, ask.kind.tags, grammar.text_of(reply), rule.id, subtlety)


def _mixed(example: Example) -> tuple[str, str, str, str]:
    """Return the bad reply alone, before half of the good one, with one sentence inside of it, and the good one."""
    good, bad = SENTENCE.split(example.good.strip()), SENTENCE.split(example.bad.strip())
    half = (len(good) + 1) // 2
    return (
        example.bad,
        " ".join([*bad, *(good[half:] or good)]),
        " ".join([*good[:half], bad[0], *good[half:]]),
        example.good,
    )


def _planted(asked: str, family: str, tags: tuple[str, ...], text: str, principle: str, subtlety: Subtlety) -> Planted:
    messages = (Message("user", asked),)
    prompt = Prompt(key=digest("prompt", dicts_of(messages)), messages=messages, family=family, tags=tags)
    candidate = Candidate(
        key=digest("planted", prompt.key, text), prompt=prompt, text=text, author=PLANTED, parents=(prompt.key,)
    )
    return Planted(candidate, principle, subtlety)
