"""Draw training examples of the two models; the teacher's use the wording `SHORT` of `distill`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from cai_lite.distill.wording import FULL, SHORT, fill
from cai_lite.embedded.examples import Example, Known, critique_of, said, with_slips, wording_of
from cai_lite.embedded.grammar import (
    DOMAINS,
    Ask,
    Reply,
    draw_ask,
    draw_neutral,
    draw_poles,
    draw_reply,
    draw_sentence,
    keeps,
    text_of,
)
from cai_lite.embedded.revising import copying, revision, short_revision
from cai_lite.embedded.world import Rule

# Probability of each slot word of a prompt to be invented, for teacher and student, and of a prompt to lose words; see
# `grammar.draw_ask`. The teacher meets many, so that it copies words instead of recalling them.
INVENTED = 0.35
STUDENT_INVENTED = 0.08
PROMPT_SLIPS = 0.5
# Probability that a training reply of the student keeps a rule: of most rules, and of those in its system message.
STUDENT_GOOD = 0.46
STUDENT_TOLD_GOOD = 0.72
# Share of the student's prompts with rules in a system message.
STUDENT_TOLD = 0.3
# Share of the teacher's input texts in which words are missing or repeated, as in replies of a small model.
SLIPS = 0.2
# Share of the student's examples that are plain neutral text.
PLAIN_TEXT = 0.12
# The last line of a request for a verdict, and how many further rules are asked about the same reply.
QUESTION = SHORT.pointwise.rsplit("\n", 1)[-1]
FURTHER = 4


def teacher_example(rng: random.Random, step: int) -> Example:
    """Draw an example of a task of the teacher; in the first steps of the training, tasks are simpler."""
    tasks = EARLY if step < EARLY_STEPS else LATE
    task = rng.choices(list(tasks), list(tasks.values()))[0]
    domain = DOMAINS[rng.choice(list(DOMAINS))]
    return task(draw_ask(domain, rng, invented=INVENTED, slips=PROMPT_SLIPS), rng)


def student_example(rng: random.Random) -> Example:
    """Draw a prompt with a reply that keeps some rules and breaks others, or sometimes plain neutral text."""
    domain = DOMAINS[rng.choice(list(DOMAINS))]
    ask = draw_ask(domain, rng, invented=STUDENT_INVENTED, slips=PROMPT_SLIPS)
    if rng.random() < PLAIN_TEXT:
        return Example(reply=neutral_text(ask, rng))
    told = rng.random() < STUDENT_TOLD
    rules = rng.sample(ask.rules, rng.choice((2, 3, len(ask.rules), len(ask.rules)))) if told else []
    poles = {rule.id: rng.random() < (STUDENT_TOLD_GOOD if rule in rules else STUDENT_GOOD) for rule in ask.rules}
    system = instructions(rules, rng) if rules else ""
    return Example(system=system, user=ask.text, reply=text_of(draw_reply(ask, poles, rng)))


def instructions(rules: Sequence[Rule], rng: random.Random) -> str:
    """Return the system message that tells a student rules, as `distill` words a constitution, or its first part."""
    texts = [rule.wordings[0] for rule in rules]
    first, second = rng.sample(texts, 2)
    tradeoffs = f"Decided beforehand:\n- Where both cannot be kept: '{first}' goes before '{second}'"
    listed = "\n".join(f"- {text}" for text in texts)
    return fill(FULL.follow, principles=listed, tradeoffs=tradeoffs if rng.random() < 0.5 else "").rstrip()


def neutral_text(ask: Ask, rng: random.Random) -> str:
    """Return three different neutral sentences about the words of a prompt."""
    sentences: dict[str, None] = {}
    while len(sentences) < 3:
        sentences[draw_neutral(ask, rng).text] = None
    return " ".join(sentences)


def short_verdict(ask: Ask, rng: random.Random) -> Example:
    """Draw a request for a verdict on a reply of one or two sentences."""
    rule, good = rng.choice(ask.rules), rng.random() < 0.5
    other = rng.choice(ask.rules)
    poles = {rule.id: good} | ({other.id: rng.random() < 0.5} if other != rule else {})
    sentences = [draw_sentence(ask, each, poles[each.id], rng) for each in ask.rules if each.id in poles]
    reply = tuple(sentence for sentence in sentences if sentence)
    return _verdict(ask, rule, reply or (draw_neutral(ask, rng),), rng)


def verdict(ask: Ask, rng: random.Random) -> Example:
    """Draw a request for a verdict on a whole reply."""
    rule = rng.choice(ask.rules)
    poles = draw_poles(ask, rng, good=rng.choice((0.3, 0.5, 0.8))) | {rule.id: rng.random() < 0.5}
    return _verdict(ask, rule, draw_reply(ask, poles, rng), rng, further=FURTHER)


def answer(ask: Ask, rng: random.Random) -> Example:
    """Draw a prompt with a reply that keeps all rules, with or without rules in a system message."""
    reply = text_of(draw_reply(ask, draw_poles(ask, rng, good=1.0), rng))
    if rng.random() < 0.5:
        return Example(user=ask.text, reply=reply)
    rules = rng.sample(ask.rules, rng.choice((1, 2, len(ask.rules))))
    bullet = rng.choice(("", "- "))
    system = fill(SHORT.follow, principles="\n".join(bullet + wording_of(rule, rng) for rule in rules))
    return Example(system=system, user=ask.text, reply=reply)


def comparison(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to choose which of two short replies keeps the rule."""
    rule, other = rng.choice(ask.rules), rng.choice(ask.rules)
    first_is_better = rng.random() < 0.5
    replies = []
    for good in (first_is_better, not first_is_better):
        replies.append(text_of(draw_reply(ask, {other.id: rng.random() < 0.5} | {rule.id: good}, rng)))
    user = fill(SHORT.pairwise, prompt=ask.text, first=replies[0], second=replies[1], principle=wording_of(rule, rng))
    return Example(user=user, reply=SHORT.first if first_is_better else SHORT.second, decides=True)


Task = Callable[[Ask, random.Random], Example]
# The steps of the training with simpler tasks; copying was still being learnt after 900.
EARLY_STEPS = 1400
EARLY: dict[Task, float] = {short_verdict: 0.2, verdict: 0.2, short_revision: 0.2, copying: 0.4}
LATE: dict[Task, float] = {
    short_verdict: 0.04,
    verdict: 0.3,
    revision: 0.46,
    short_revision: 0.05,
    copying: 0.08,
    answer: 0.05,
    comparison: 0.02,
}


def _verdict(ask: Ask, rule: Rule, reply: Reply, rng: random.Random, *, further: int = 0) -> Example:
    text = text_of(reply)
    if rng.random() < SLIPS:
        text = with_slips(text, rng)
    wording = wording_of(rule, rng)
    user = fill(SHORT.pointwise, prompt=ask.text, reply=text, principle=wording)
    others = rng.sample([each for each in ask.rules if each != rule], min(further, len(ask.rules) - 1))
    return Example(
        user=user,
        reply=critique_of(rule, reply),
        decides=True,
        known=_known(rule, reply, wording),
        then=tuple(Known(wording_of(each, rng), each.id, keeps(each, reply), asked=True) for each in others),
    )


def _known(rule: Rule, reply: Reply, wording: str) -> tuple[Known, ...]:
    return (*said(reply), Known(wording, rule.id, keeps(rule, reply), asked=True))
