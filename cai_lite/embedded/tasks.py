"""What the two models learn, as conversations. The teacher's are worded as `distill/wording.py` SHORT words them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded.grammar import (
    DOMAINS,
    Ask,
    Reply,
    Sentence,
    draw_ask,
    draw_neutral,
    draw_poles,
    draw_reply,
    draw_sentence,
    keeps,
    text_of,
)
from cai_lite.embedded.world import Rule, side_of

# Shares of the prompts with an invented word, and with words lost: see `grammar.draw_ask`.
INVENTED = 0.15
PROMPT_SLIPS = 0.5
# The student's habits: each rule is kept with this probability.
STUDENT_GOOD = 0.46
# Share of the teacher's input texts in which a word is lost, as in the slips of a small model.
SLIPS = 0.12
# The constitution's own text is the wording that counts: it is drawn this often.
OWN_WORDING = 0.35
UNCHANGED = 0.12
# The last line of a request for a verdict, and how many more are asked about the same reply.
WORDS = sorted(
    {
        word
        for domain in DOMAINS.values()
        for rule in domain.rules
        for line in side_of(rule.good, "train") + side_of(rule.bad, "train")
        for word in re.findall(r"\b[A-Za-z]+\b", re.sub(r"\{\w+\}", "", line))
    }
)
QUESTION = SHORT.pointwise.rsplit("\n", 1)[-1]
FURTHER = 4


class Known(NamedTuple):
    """What a piece of a request is about.

    `good`: whether a sentence speaks for the good pole of the rule. Where the piece is `asked`, it words the rule,
    and `good` says whether the reply keeps it.
    """

    piece: str
    rule: str
    good: bool
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A conversation that ends with the reply to learn. Without `user` it is plain text.

    `decides`: the reply's first token is a decision, and weighs more than the rest.
    `known`: what is known of pieces of `user`, in their order.
    `then`: further rules that are asked about the same reply, each answered by a decision alone. They are there for the
    training: one reading of a reply teaches several verdicts.
    """

    reply: str
    user: str = ""
    system: str = ""
    decides: bool = False
    known: tuple[Known, ...] = ()
    then: tuple[Known, ...] = ()


def teacher_example(rng: random.Random, progress: float) -> Example:
    """One task of the teacher. `progress`: 0 to 1, how far the training is: short verdicts come first."""
    tasks = EARLY if progress < CURRICULUM_ENDS else LATE
    task = rng.choices(list(tasks), list(tasks.values()))[0]
    domain = DOMAINS[rng.choice(list(DOMAINS))]
    return task(draw_ask(domain, rng, invented=INVENTED, slips=PROMPT_SLIPS), rng)


def student_example(rng: random.Random) -> Example:
    """A prompt with a reply of mixed habits, or now and then plain neutral text of the domain."""
    domain = DOMAINS[rng.choice(list(DOMAINS))]
    ask = draw_ask(domain, rng, invented=INVENTED, slips=PROMPT_SLIPS)
    if rng.random() < PLAIN_TEXT:
        return Example(reply=neutral_text(ask, rng))
    return Example(user=ask.text, reply=text_of(draw_reply(ask, draw_poles(ask, rng, good=STUDENT_GOOD), rng)))


def neutral_text(ask: Ask, rng: random.Random) -> str:
    """Three different neutral sentences about one prompt's words."""
    sentences: dict[str, None] = {}
    while len(sentences) < 3:
        sentences[draw_neutral(ask, rng).text] = None
    return " ".join(sentences)


def short_verdict(ask: Ask, rng: random.Random) -> Example:
    """Is the rule kept by a reply of one or two sentences?"""
    rule, good = rng.choice(ask.rules), rng.random() < 0.5
    other = rng.choice(ask.rules)
    poles = {rule.id: good} | ({other.id: rng.random() < 0.5} if other != rule else {})
    said = [draw_sentence(ask, each, poles[each.id], rng) for each in ask.rules if each.id in poles]
    reply = tuple(sentence for sentence in said if sentence)
    return _verdict(ask, rule, reply or (draw_neutral(ask, rng),), rng)


def verdict(ask: Ask, rng: random.Random) -> Example:
    """Is the rule kept by a whole reply?"""
    rule = rng.choice(ask.rules)
    poles = draw_poles(ask, rng, good=rng.choice((0.3, 0.5, 0.8))) | {rule.id: rng.random() < 0.5}
    return _verdict(ask, rule, draw_reply(ask, poles, rng), rng, further=FURTHER)


def revision(ask: Ask, rng: random.Random) -> Example:
    """The same reply with one rule mended; unchanged where it was kept."""
    rule = rng.choice(ask.rules)
    poles = draw_poles(ask, rng, good=rng.choice((0.3, 0.5, 0.8))) | {rule.id: rng.random() < UNCHANGED}
    reply = draw_reply(ask, poles, rng)
    return _revision(ask, rule, reply, rng)


def short_revision(ask: Ask, rng: random.Random) -> Example:
    """A revision of a reply that speaks of two rules only."""
    rule, other = rng.choice(ask.rules), rng.choice(ask.rules)
    reply = draw_reply(ask, {other.id: rng.random() < 0.5} | {rule.id: rng.random() < UNCHANGED}, rng)
    return _revision(ask, rule, reply, rng)


def mended(ask: Ask, rule: Rule, reply: Reply, rng: random.Random) -> Reply:
    """The reply with the rule's bad sentence replaced, or the missing one put in its place in the order."""
    if keeps(rule, reply):
        return reply
    good = draw_sentence(ask, rule, True, rng, silence=False)
    assert good is not None
    if any(sentence.rule == rule.id for sentence in reply):
        return tuple(good if sentence.rule == rule.id else sentence for sentence in reply)
    order = [each.id for each in ask.rules]
    place = sum(_rank(sentence, order) < order.index(rule.id) for sentence in reply)
    return (*reply[:place], good, *reply[place:])


def answer(ask: Ask, rng: random.Random) -> Example:
    """A good answer, with the rules in the system message or without."""
    reply = text_of(draw_reply(ask, draw_poles(ask, rng, good=1.0), rng))
    if rng.random() < 0.5:
        return Example(user=ask.text, reply=reply)
    rules = rng.sample(ask.rules, rng.choice((1, 2, len(ask.rules))))
    bullet = rng.choice(("", "- "))
    system = fill(SHORT.follow, principles="\n".join(bullet + _wording(rule, rng) for rule in rules))
    return Example(system=system, user=ask.text, reply=reply)


def copying(ask: Ask, rng: random.Random) -> Example:
    """A reply of words in no order, to be said again. Nothing but the copy helps here, so that copying is learnt early:
    in replies of the grammar a guess is nearly as good, and rewrites would keep nothing of what they should keep.
    """
    text = " ".join(rng.choices(WORDS, k=rng.randint(5, 20))) + "."
    user = fill(SHORT.revise, prompt=ask.text, reply=text, principle=_wording(rng.choice(ask.rules), rng))
    return Example(user=user, reply=text)


def comparison(ask: Ask, rng: random.Random) -> Example:
    """Which of two short replies keeps the rule?"""
    rule, other = rng.choice(ask.rules), rng.choice(ask.rules)
    first_is_better = rng.random() < 0.5
    replies = []
    for good in (first_is_better, not first_is_better):
        replies.append(text_of(draw_reply(ask, {other.id: rng.random() < 0.5} | {rule.id: good}, rng)))
    user = fill(SHORT.pairwise, prompt=ask.text, first=replies[0], second=replies[1], principle=_wording(rule, rng))
    return Example(user=user, reply=SHORT.first if first_is_better else SHORT.second, decides=True)


Task = Callable[[Ask, random.Random], Example]
CURRICULUM_ENDS = 0.28
EARLY: dict[Task, float] = {short_verdict: 0.25, verdict: 0.35, short_revision: 0.05, copying: 0.35}
LATE: dict[Task, float] = {
    short_verdict: 0.05,
    verdict: 0.28,
    revision: 0.42,
    short_revision: 0.08,
    copying: 0.08,
    answer: 0.07,
    comparison: 0.02,
}
PLAIN_TEXT = 0.12


def _revision(ask: Ask, rule: Rule, reply: Reply, rng: random.Random) -> Example:
    wording = _wording(rule, rng)
    user = fill(SHORT.revise, prompt=ask.text, reply=text_of(reply), principle=wording)
    return Example(user=user, reply=text_of(mended(ask, rule, reply, rng)), known=_known(rule, reply, wording))


def _known(rule: Rule, reply: Reply, wording: str) -> tuple[Known, ...]:
    said = (Known(sentence.text, sentence.rule, bool(sentence.good)) for sentence in reply if sentence.rule)
    return (*said, Known(wording, rule.id, keeps(rule, reply), asked=True))


def _verdict(ask: Ask, rule: Rule, reply: Reply, rng: random.Random, *, further: int = 0) -> Example:
    good = keeps(rule, reply)
    said = next((sentence.text for sentence in reply if sentence.rule == rule.id and sentence.good == good), None)
    reason = f'it says "{said}"' if said else ("nothing against it." if good else "it is missing.")
    text = _with_slips(text_of(reply), rng)
    wording = _wording(rule, rng)
    user = fill(SHORT.pointwise, prompt=ask.text, reply=text, principle=wording)
    others = rng.sample([each for each in ask.rules if each != rule], min(further, len(ask.rules) - 1))
    return Example(
        user=user,
        reply=f"{decision(good)}, {reason}",
        decides=True,
        known=_known(rule, reply, wording),
        then=tuple(Known(_wording(each, rng), each.id, keeps(each, reply), asked=True) for each in others),
    )


def decision(kept: bool) -> str:
    return SHORT.keeps if kept else SHORT.breaks


def _wording(rule: Rule, rng: random.Random) -> str:
    if rng.random() < OWN_WORDING:
        return rule.wordings[0]
    return rng.choice(side_of(rule.wordings, "train"))


def _with_slips(text: str, rng: random.Random) -> str:
    """Now and then a word goes missing or stands twice."""
    if rng.random() > SLIPS:
        return text
    words = text.split(" ")
    place = rng.randrange(len(words))
    return " ".join(words[:place] + [words[place]] * rng.choice((0, 2)) + words[place + 1 :])


def _rank(sentence: Sentence, order: list[str]) -> float:
    """Where a sentence stands in a reply; a neutral one stands behind the first rule."""
    return order.index(sentence.rule) if sentence.rule in order else 0.5
