"""Draw requests to revise a reply: the answer is the reply, word for word, with one sentence replaced or inserted.

A model that has seen a sentence often recalls it instead of copying it, and then an earache becomes a rash. So many
replies hold random and made-up words, which can only be copied.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded.examples import UNOPPOSED, Example, Known, critique_of, decision, said, wording_of
from cai_lite.embedded.grammar import (
    DOMAINS,
    Ask,
    Reply,
    Sentence,
    draw_poles,
    draw_reply,
    draw_sentence,
    keeps,
    syllables,
    text_of,
)
from cai_lite.embedded.world import Rule, side_of

# Probability that the rule of a revision is kept already, so that nothing is to be changed.
UNCHANGED = 0.08
# Share of the replies to revise with spoilt sentences, and of their sentences that are spoilt; see `spoilt`.
SPOILT, SPOILT_SENTENCES = 0.5, 0.5
# Share of the requests to revise whose critique is only its first word.
BARE_CRITIQUE = 0.1
# Share of the random words that are syllables.
MADE_UP = 0.3
# Words of the sentences of all rules.
WORDS = sorted(
    {
        word
        for domain in DOMAINS.values()
        for rule in domain.rules
        for line in side_of(rule.good, "train") + side_of(rule.bad, "train")
        for word in re.findall(r"\b[A-Za-z]+\b", re.sub(r"\{\w+\}", "", line))
    }
)


def revision(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to revise a whole reply by one rule; a reply that keeps the rule is left unchanged."""
    rule = rng.choice(ask.rules)
    poles = draw_poles(ask, rng, good=rng.choice((0.3, 0.5, 0.8))) | {rule.id: rng.random() < UNCHANGED}
    reply = draw_reply(ask, poles, rng)
    return _revision(ask, rule, reply, rng)


def short_revision(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to revise a reply that is about two rules only."""
    rule, other = rng.choice(ask.rules), rng.choice(ask.rules)
    reply = draw_reply(ask, {other.id: rng.random() < 0.5} | {rule.id: rng.random() < UNCHANGED}, rng)
    return _revision(ask, rule, reply, rng)


def mended(ask: Ask, rule: Rule, reply: Reply, rng: random.Random) -> Reply:
    """Return the reply with the bad sentence of the rule replaced, or the missing one inserted in order."""
    if keeps(rule, reply):
        return reply
    good = draw_sentence(ask, rule, True, rng, silence=False)
    assert good is not None
    if any(sentence.rule == rule.id for sentence in reply):
        return tuple(good if sentence.rule == rule.id else sentence for sentence in reply)
    order = [each.id for each in ask.rules]
    place = sum(_rank(sentence, order) < order.index(rule.id) for sentence in reply)
    return (*reply[:place], good, *reply[place:])


def copying(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to revise a reply of random words, whose answer is an exact copy.

    Only copying helps here, so the model learns it early. In replies of the grammar, guessing is nearly as good, and
    revisions would not preserve what they should.
    """
    text = " ".join(_any_word(rng) for _ in range(rng.randint(5, 20))) + "."
    rule = rng.choice(ask.rules)
    return _rewriting(ask, wording_of(rule, rng), text, text, f"{decision(True)}, {UNOPPOSED}")


def spoilt(sentence: Sentence, rng: random.Random) -> Sentence:
    """Return the sentence with some words replaced by other or made-up ones; only copying preserves those."""
    words = sentence.text.split(" ")
    for place in rng.sample(range(len(words)), min(len(words), rng.choice((1, 2, 3, 9)))):
        end = re.search(r"[.,!?]*$", words[place])
        words[place] = _any_word(rng) + (end[0] if end else "")
    return replace(sentence, text=" ".join(words))


def _any_word(rng: random.Random) -> str:
    return syllables(rng) if rng.random() < MADE_UP else rng.choice(WORDS)


def _revision(ask: Ask, rule: Rule, reply: Reply, rng: random.Random) -> Example:
    wording = wording_of(rule, rng)
    # Spoilt sentences are not found again in the text, so they stay without labels.
    known = (Known(wording, rule.id, None, asked=True), *said(reply))
    if rng.random() < SPOILT:
        reply = tuple(
            spoilt(sentence, rng) if sentence.rule != rule.id and rng.random() < SPOILT_SENTENCES else sentence
            for sentence in reply
        )
    critique = critique_of(rule, reply)
    if rng.random() < BARE_CRITIQUE:
        critique = critique[: critique.index(",")]
    return replace(
        _rewriting(ask, wording, text_of(reply), text_of(mended(ask, rule, reply, rng)), critique), known=known
    )


def _rewriting(ask: Ask, wording: str, reply: str, revised: str, critique: str) -> Example:
    user = fill(SHORT.revise, prompt=ask.text, reply=reply, critique=critique, principle=wording)
    return Example(user=user, reply=revised)


def _rank(sentence: Sentence, order: list[str]) -> float:
    """Return the position of a sentence in a reply; a neutral one comes after the first rule."""
    return order.index(sentence.rule) if sentence.rule in order else 0.5
