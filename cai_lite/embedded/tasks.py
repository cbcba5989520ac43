"""Draw training examples of the two models, as conversations; the teacher's use the wording `SHORT` of `distill`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cai_lite.distill.wording import FULL, SHORT, fill
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
    syllables,
    text_of,
)
from cai_lite.embedded.world import Rule, side_of

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
# Share of the requests with the constitution's own wording of a rule, and of the other wordings that lose a word.
OWN_WORDING = 0.35
WORDING_SLIPS = 0.2
# Probability that the rule of a revision is kept already, so that nothing is to be changed.
UNCHANGED = 0.08
# Share of the replies to revise with spoilt sentences, and of their sentences that are spoilt; see `spoilt`.
SPOILT, SPOILT_SENTENCES = 0.5, 0.5
# Share of the requests to revise whose critique is only its first word.
BARE_CRITIQUE = 0.1
# Words of the sentences of all rules, for `copying`.
WORDS = sorted(
    {
        word
        for domain in DOMAINS.values()
        for rule in domain.rules
        for line in side_of(rule.good, "train") + side_of(rule.bad, "train")
        for word in re.findall(r"\b[A-Za-z]+\b", re.sub(r"\{\w+\}", "", line))
    }
)
# The last line of a request for a verdict, and how many further rules are asked about the same reply.
QUESTION = SHORT.pointwise.rsplit("\n", 1)[-1]
FURTHER = 4
UNOPPOSED, MISSING = "nothing against it.", "it is missing."
# Share of the random words that are syllables.
MADE_UP = 0.3


class Known(NamedTuple):
    """A labelled piece of a request: a sentence about a rule, or (`asked`) a wording of a rule.

    `good` says whether the sentence keeps the rule or, if `asked`, whether the reply does; None where that is not known
    from the text before.
    """

    piece: str
    rule: str
    good: bool | None
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A conversation that ends with the reply to learn; without `user` it is plain text.

    `decides`: the first token of the reply is a decision, which has a higher weight in the loss.
    `known`: labelled pieces of `user`, in order.
    `then`: further rules that are asked about the same reply, each answered by a decision alone, so that one reading of
    a reply trains several verdicts.
    """

    reply: str
    user: str = ""
    system: str = ""
    decides: bool = False
    known: tuple[Known, ...] = ()
    then: tuple[Known, ...] = ()


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


def answer(ask: Ask, rng: random.Random) -> Example:
    """Draw a prompt with a reply that keeps all rules, with or without rules in a system message."""
    reply = text_of(draw_reply(ask, draw_poles(ask, rng, good=1.0), rng))
    if rng.random() < 0.5:
        return Example(user=ask.text, reply=reply)
    rules = rng.sample(ask.rules, rng.choice((1, 2, len(ask.rules))))
    bullet = rng.choice(("", "- "))
    system = fill(SHORT.follow, principles="\n".join(bullet + _wording(rule, rng) for rule in rules))
    return Example(system=system, user=ask.text, reply=reply)


def copying(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to revise a reply of random words, whose answer is an exact copy.

    Only copying helps here, so the model learns it early. In replies of the grammar, guessing is nearly as good, and
    revisions would not preserve what they should.
    """
    text = " ".join(_any_word(rng) for _ in range(rng.randint(5, 20))) + "."
    rule = rng.choice(ask.rules)
    return _rewriting(ask, _wording(rule, rng), text, text, f"{decision(True)}, {UNOPPOSED}")


def comparison(ask: Ask, rng: random.Random) -> Example:
    """Draw a request to choose which of two short replies keeps the rule."""
    rule, other = rng.choice(ask.rules), rng.choice(ask.rules)
    first_is_better = rng.random() < 0.5
    replies = []
    for good in (first_is_better, not first_is_better):
        replies.append(text_of(draw_reply(ask, {other.id: rng.random() < 0.5} | {rule.id: good}, rng)))
    user = fill(SHORT.pairwise, prompt=ask.text, first=replies[0], second=replies[1], principle=_wording(rule, rng))
    return Example(user=user, reply=SHORT.first if first_is_better else SHORT.second, decides=True)


Task = Callable[[Ask, random.Random], Example]
# The steps of the training with simpler tasks.
EARLY_STEPS = 900
EARLY: dict[Task, float] = {short_verdict: 0.2, verdict: 0.2, short_revision: 0.2, copying: 0.4}
LATE: dict[Task, float] = {
    short_verdict: 0.04,
    verdict: 0.32,
    revision: 0.48,
    short_revision: 0.05,
    copying: 0.04,
    answer: 0.05,
    comparison: 0.02,
}
PLAIN_TEXT = 0.12


def _revision(ask: Ask, rule: Rule, reply: Reply, rng: random.Random) -> Example:
    wording = _wording(rule, rng)
    # Spoilt sentences are not found again in the text, so they stay without labels.
    known = (Known(wording, rule.id, None, asked=True), *_said(reply))
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


def critique_of(rule: Rule, reply: Reply) -> str:
    """Return the critique of a reply: the decision, and the sentence that decides, if there is one."""
    good = keeps(rule, reply)
    evidence = next((sentence.text for sentence in reply if sentence.rule == rule.id and sentence.good == good), None)
    return f"{decision(good)}, " + (f"it says: {evidence}" if evidence else (UNOPPOSED if good else MISSING))


def spoilt(sentence: Sentence, rng: random.Random) -> Sentence:
    """Return the sentence with some words replaced by other or made-up ones; only copying preserves those."""
    words = sentence.text.split(" ")
    for place in rng.sample(range(len(words)), min(len(words), rng.choice((1, 2, 3, 9)))):
        end = re.search(r"[.,!?]*$", words[place])
        words[place] = _any_word(rng) + (end[0] if end else "")
    return replace(sentence, text=" ".join(words))


def _any_word(rng: random.Random) -> str:
    return syllables(rng) if rng.random() < MADE_UP else rng.choice(WORDS)


def _known(rule: Rule, reply: Reply, wording: str) -> tuple[Known, ...]:
    return (*_said(reply), Known(wording, rule.id, keeps(rule, reply), asked=True))


def _said(reply: Reply) -> tuple[Known, ...]:
    return tuple(Known(sentence.text, sentence.rule, sentence.good) for sentence in reply if sentence.rule)


def _verdict(ask: Ask, rule: Rule, reply: Reply, rng: random.Random, *, further: int = 0) -> Example:
    good = keeps(rule, reply)
    text = text_of(reply)
    if rng.random() < SLIPS:
        text = _with_slips(text, rng)
    wording = _wording(rule, rng)
    user = fill(SHORT.pointwise, prompt=ask.text, reply=text, principle=wording)
    others = rng.sample([each for each in ask.rules if each != rule], min(further, len(ask.rules) - 1))
    return Example(
        user=user,
        reply=critique_of(rule, reply),
        decides=True,
        known=_known(rule, reply, wording),
        then=tuple(Known(_wording(each, rng), each.id, keeps(each, reply), asked=True) for each in others),
    )


def decision(kept: bool) -> str:
    """Return the decision word of a verdict."""
    return SHORT.keeps if kept else SHORT.breaks


def _wording(rule: Rule, rng: random.Random) -> str:
    if rng.random() < OWN_WORDING:
        return rule.wordings[0]
    wording = rng.choice(side_of(rule.wordings, "train"))
    return _with_slips(wording, rng) if rng.random() < WORDING_SLIPS else wording


def _with_slips(text: str, rng: random.Random) -> str:
    """Return the text with one word missing or repeated."""
    words = text.split(" ")
    place = rng.randrange(len(words))
    return " ".join(words[:place] + [words[place]] * rng.choice((0, 2)) + words[place + 1 :])


def _rank(sentence: Sentence, order: list[str]) -> float:
    """Return the position of a sentence in a reply; a neutral one comes after the first rule."""
    return order.index(sentence.rule) if sentence.rule in order else 0.5
