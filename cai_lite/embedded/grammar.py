"""Draw prompts and replies from a domain of the toy world.

A reply is a list of sentences, each labelled with the rule it is about and whether it keeps (good) or breaks (bad) it.
Some slot words, word pairs, phrasings of prompts and sentences, and wordings of rules are held out of all training.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cai_lite.embedded.creative import CREATIVE
from cai_lite.embedded.customer_service import CUSTOMER_SERVICE
from cai_lite.embedded.medical import MEDICAL
from cai_lite.embedded.world import HELD_OUT_PROMPTS, Domain, Kind, Rule, Side, Slot, side_of
from cai_lite.records import digest

DOMAINS: Mapping[str, Domain] = {domain.name: domain for domain in (MEDICAL, CUSTOMER_SERVICE, CREATIVE)}

Slice = Literal["train", "held_out_words", "held_out_pairs", "unseen_phrasing"]

# One of this many word pairs is held out.
PAIRS_PER_HELD_OUT = 5
# Probability that a rule which silence keeps (breaks) is kept (broken) by silence, chosen so that good and bad replies
# have about the same length.
SILENT_GOOD = 0.4
SILENT_BAD = 0.25

# Share of the invented words that are random syllables; share of the words that a prompt with slips loses.
SYLLABLES = 0.15
LOST = 0.25
BEFORE = ("", "", "", "Hi.", "Hello there!", "Excuse me,", "Well,", "A quick question:", "Good morning.", "Dear team,")
AFTER = ("", "", "", "Thanks.", "Thank you!", "Please.", "I hope you can help.", "That is all.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A prompt of the toy world; `words` are the words in its slots."""

    domain: Domain
    kind: Kind
    text: str
    words: Mapping[str, str]

    @property
    def family(self) -> str:
        """Return the family, which all prompts about the same two slot words share."""
        return "/".join((self.domain.name, self.kind.name, *(self.words[slot] for slot in self.kind.pair)))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules that apply to this prompt."""
        return tuple(rule for rule in self.domain.rules if rule.applies(self.kind.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence that keeps (`good` is True) or breaks a rule, or that concerns no rule (`rule` is None)."""

    text: str
    rule: str | None = None
    good: bool | None = None


Reply = tuple[Sentence, ...]


def draw_ask(
    domain: Domain, rng: random.Random, *, slice: Slice = "train", invented: float = 0.0, slips: float = 0.0
) -> Ask:
    """Draw a prompt of the given slice.

    `invented`: probability that a slot word is made up, which teaches copying. `slips`: probability that the template
    loses words, which teaches other phrasings.
    """
    kind = rng.choices(domain.kinds, [kind.share for kind in domain.kinds])[0]
    side: Side = "held_out" if slice == "unseen_phrasing" else "train"
    template = rng.choice(side_of(kind.prompts, side, HELD_OUT_PROMPTS))
    words = _draw_pair(domain, kind, rng, slice)
    # One number of the caller's, whatever is invented, so that the prompts of the demos do not depend on it.
    inventing = random.Random(rng.random())
    for name in kind.pair:
        if inventing.random() < invented:
            words[name] = _invented(domain.slots[name], inventing)
    if rng.random() < slips:
        template = _with_slips(template, rng)
    return Ask(domain=domain, kind=kind, text=_spell(template, domain, words, rng), words=words)


def draw_poles(ask: Ask, rng: random.Random, *, good: float) -> dict[str, bool]:
    """Draw for each rule that applies whether it is kept, independently with probability `good`."""
    return {rule.id: rng.random() < good for rule in ask.rules}


def draw_reply(ask: Ask, poles: Mapping[str, bool], rng: random.Random, *, side: Side = "train") -> Reply:
    """Draw a reply that keeps and breaks rules as `poles` says; rules that are not in `poles` are not mentioned."""
    sentences = [draw_sentence(ask, rule, poles[rule.id], rng, side=side) for rule in ask.rules if rule.id in poles]
    sentences.insert(min(1, len(sentences)), draw_neutral(ask, rng, side=side))
    return tuple(sentence for sentence in sentences if sentence is not None)


def draw_sentence(
    ask: Ask, rule: Rule, good: bool, rng: random.Random, *, side: Side = "train", silence: bool = True
) -> Sentence | None:
    """Draw a sentence that keeps or breaks a rule, or None where silence does so."""
    if silence and good != rule.demands and rng.random() < (SILENT_GOOD if good else SILENT_BAD):
        return None
    template = rng.choice(side_of(rule.good if good else rule.bad, side))
    return Sentence(text=_spell(template, ask.domain, ask.words, rng), rule=rule.id, good=good)


def draw_neutral(ask: Ask, rng: random.Random, *, side: Side = "train") -> Sentence:
    """Draw a sentence about the prompt's words that concerns no rule."""
    return Sentence(text=_spell(rng.choice(side_of(ask.kind.neutral, side)), ask.domain, ask.words, rng))


def text_of(reply: Reply) -> str:
    """Return the text of a reply."""
    return " ".join(sentence.text for sentence in reply)


def keeps(rule: Rule, reply: Reply) -> bool:
    """Return True if a drawn reply keeps the rule, by the labels of its sentences."""
    labels = [sentence.good for sentence in reply if sentence.rule == rule.id]
    return all(labels) if labels else not rule.demands


def pair_is_held_out(first: str, second: str) -> bool:
    """Return True if a word pair is held out; this depends on a hash of the pair alone."""
    return int(digest("pair", first, second), 16) % PAIRS_PER_HELD_OUT == 0


def _draw_pair(domain: Domain, kind: Kind, rng: random.Random, slice: Slice) -> dict[str, str]:
    """Draw the two slot words of a prompt: held-out words, or training words whose pair fits the slice."""
    slots = [domain.slots[name] for name in kind.pair]
    if slice == "held_out_words":
        return {name: rng.choice(slot.held_out) for name, slot in zip(kind.pair, slots, strict=True)}
    while True:
        first, second = (rng.choice(slot.train) for slot in slots)
        if pair_is_held_out(first, second) == (slice != "train"):
            return dict(zip(kind.pair, (first, second), strict=True))


def _spell(template: str, domain: Domain, words: Mapping[str, str], rng: random.Random) -> str:
    """Return the template with slots filled, alternatives chosen, and a capital letter at the start."""
    text = re.sub(r"\[([^\]]*)\]", lambda match: rng.choice(match[1].split("|")), template)
    text = re.sub(r"\{(\w+)\}", lambda match: words.get(match[1]) or rng.choice(domain.slots[match[1]].train), text)
    return text[0].upper() + text[1:]


def _invented(slot: Slot, rng: random.Random) -> str:
    """Return a made-up word for a slot: parts of two of its words, or sometimes random syllables."""
    if rng.random() < SYLLABLES:
        return syllables(rng)
    begin, end = (rng.choice(slot.train).split(" ") for _ in range(2))
    word = " ".join((*begin[: rng.randint(1, max(1, len(begin) - 1))], end[-1]))
    return _invented(slot, rng) if word in (*slot.train, *slot.held_out) else word


def syllables(rng: random.Random) -> str:
    """Return a word of two or three random syllables."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 3)))


def _with_slips(template: str, rng: random.Random) -> str:
    """Return the template without some of its words (never its slots), sometimes with a greeting or thanks."""
    kept = [word for word in template.split(" ") if "{" in word or rng.random() > LOST]
    return " ".join([*rng.choice(BEFORE).split(), *kept, *rng.choice(AFTER).split()]) or template
