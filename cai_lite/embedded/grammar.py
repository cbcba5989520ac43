"""Draws prompts and replies from a domain. A reply is a list of sentences, each with the rule and pole it speaks for.

Held out of all training: slot words, pairs of words, phrasings of prompts and of sentences, wordings of rules.
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

# One pair of words in so many is held out.
PAIRS_PER_HELD_OUT = 5
# How often a rule that silence keeps (breaks) is kept (broken) by silence: good and bad replies get about one length.
SILENT_GOOD = 0.4
SILENT_BAD = 0.25

# Of the invented words, the share that are mere syllables; of the words of a prompt that slips, the share lost.
SYLLABLES = 0.15
LOST = 0.25
BEFORE = ("", "", "", "Hi.", "Hello there!", "Excuse me,", "Well,", "A quick question:", "Good morning.", "Dear team,")
AFTER = ("", "", "", "Thanks.", "Thank you!", "Please.", "I hope you can help.", "That is all.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A prompt. `words`: what stands in its slots."""

    domain: Domain
    kind: Kind
    text: str
    words: Mapping[str, str]

    @property
    def family(self) -> str:
        """Prompts about the same two things are one family: it lies on one side of every split."""
        return "/".join((self.domain.name, self.kind.name, *(self.words[slot] for slot in self.kind.pair)))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that apply to this prompt."""
        return tuple(rule for rule in self.domain.rules if rule.applies(self.kind.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence and what it speaks for: a rule's good or bad pole, or no rule (`rule` is None)."""

    text: str
    rule: str | None = None
    good: bool | None = None


Reply = tuple[Sentence, ...]


def draw_ask(
    domain: Domain, rng: random.Random, *, slice: Slice = "train", invented: float = 0.0, slips: float = 0.0
) -> Ask:
    """A prompt of the given slice.

    `invented`: probability that one of its words is made up, which teaches copying. `slips`: probability that words
    around them are lost, which teaches other phrasings.
    """
    kind = rng.choices(domain.kinds, [kind.share for kind in domain.kinds])[0]
    side: Side = "held_out" if slice == "unseen_phrasing" else "train"
    template = rng.choice(side_of(kind.prompts, side, HELD_OUT_PROMPTS))
    words = _draw_pair(domain, kind, rng, slice)
    if rng.random() < invented:
        name = rng.choice(kind.pair)
        words[name] = _invented(domain.slots[name], rng)
    if rng.random() < slips:
        template = _with_slips(template, rng)
    return Ask(domain=domain, kind=kind, text=_spell(template, domain, words, rng), words=words)


def draw_poles(ask: Ask, rng: random.Random, *, good: float) -> dict[str, bool]:
    """For each rule that applies: is it kept? Each with probability `good`, independently."""
    return {rule.id: rng.random() < good for rule in ask.rules}


def draw_reply(ask: Ask, poles: Mapping[str, bool], rng: random.Random, *, side: Side = "train") -> Reply:
    """A reply that keeps and breaks the rules as `poles` says. Rules without a pole are not spoken of."""
    sentences = [draw_sentence(ask, rule, poles[rule.id], rng, side=side) for rule in ask.rules if rule.id in poles]
    sentences.insert(min(1, len(sentences)), draw_neutral(ask, rng, side=side))
    return tuple(sentence for sentence in sentences if sentence is not None)


def draw_sentence(
    ask: Ask, rule: Rule, good: bool, rng: random.Random, *, side: Side = "train", silence: bool = True
) -> Sentence | None:
    """A sentence for one pole of a rule; None for silence, where silence stands for that pole."""
    if silence and good != rule.demands and rng.random() < (SILENT_GOOD if good else SILENT_BAD):
        return None
    template = rng.choice(side_of(rule.good if good else rule.bad, side))
    return Sentence(text=_spell(template, ask.domain, ask.words, rng), rule=rule.id, good=good)


def draw_neutral(ask: Ask, rng: random.Random, *, side: Side = "train") -> Sentence:
    """A sentence about the prompt's words that speaks for no rule."""
    return Sentence(text=_spell(rng.choice(side_of(ask.kind.neutral, side)), ask.domain, ask.words, rng))


def text_of(reply: Reply) -> str:
    return " ".join(sentence.text for sentence in reply)


def keeps(rule: Rule, reply: Reply) -> bool:
    """The truth about a drawn reply: its sentences say what they are."""
    said = [sentence.good for sentence in reply if sentence.rule == rule.id]
    return all(said) if said else not rule.demands


def pair_is_held_out(first: str, second: str) -> bool:
    """By a hash: new words move no pair to the other side."""
    return int(digest("pair", first, second), 16) % PAIRS_PER_HELD_OUT == 0


def _draw_pair(domain: Domain, kind: Kind, rng: random.Random, slice: Slice) -> dict[str, str]:
    """Two words. Held-out words, or trained words in a pair of the side that the slice asks for."""
    slots = [domain.slots[name] for name in kind.pair]
    if slice == "held_out_words":
        return {name: rng.choice(slot.held_out) for name, slot in zip(kind.pair, slots, strict=True)}
    while True:
        first, second = (rng.choice(slot.train) for slot in slots)
        if pair_is_held_out(first, second) == (slice != "train"):
            return dict(zip(kind.pair, (first, second), strict=True))


def _spell(template: str, domain: Domain, words: Mapping[str, str], rng: random.Random) -> str:
    """Fill the slots and choose the alternatives; a capital letter begins each text."""
    text = re.sub(r"\[([^\]]*)\]", lambda match: rng.choice(match[1].split("|")), template)
    text = re.sub(r"\{(\w+)\}", lambda match: words.get(match[1]) or rng.choice(domain.slots[match[1]].train), text)
    return text[0].upper() + text[1:]


def _invented(slot: Slot, rng: random.Random) -> str:
    """A new word for a slot: mostly the beginning of one and the end of another, now and then mere syllables."""
    if rng.random() < SYLLABLES:
        return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 3)))
    begin, end = (rng.choice(slot.train).split(" ") for _ in range(2))
    word = " ".join((*begin[: rng.randint(1, max(1, len(begin) - 1))], end[-1]))
    return _invented(slot, rng) if word in (*slot.train, *slot.held_out) else word


def _with_slips(template: str, rng: random.Random) -> str:
    """The template with some words lost, its slots kept, and sometimes a greeting or thanks around it."""
    kept = [word for word in template.split(" ") if "{" in word or rng.random() > LOST]
    return " ".join([*rng.choice(BEFORE).split(), *kept, *rng.choice(AFTER).split()]) or template
