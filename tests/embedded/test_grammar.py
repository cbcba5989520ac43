"""The toy world: what a reply is, and what is held out of training."""

from __future__ import annotations

import random

import pytest

from cai_lite.distill.wording import FULL
from cai_lite.embedded import prompts, revising, tasks
from cai_lite.embedded.grammar import (
    DOMAINS,
    draw_ask,
    draw_poles,
    draw_reply,
    keeps,
    pair_is_held_out,
    text_of,
)
from cai_lite.embedded.oracle import split
from cai_lite.embedded.world import HELD_OUT_LINES, HELD_OUT_PROMPTS, side_of
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import load_prompts

LEAST_TEMPLATES = 15
LEAST_WORDINGS = 10


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_the_toy_world_speaks_of_exactly_those_principles_that_its_prompts_meet(domain, repository):
    known = load_prompts(repository / "recipes" / "prompts" / f"{domain.name}-embedded.jsonl")
    prompts = [*known.train, *known.held_out]
    met = [
        p
        for p in load_constitution(f"{domain.name}-embedded").principles
        if any(p.applies(prompt) for prompt in prompts)
    ]
    assert {p.id: (p.text, p.applies_to) for p in met} == {
        rule.id: (rule.wordings[0], rule.applies_to) for rule in domain.rules
    }


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_each_pole_and_each_rule_has_enough_phrasings_left_for_training(domain):
    for rule in domain.rules:
        for pole in (rule.good, rule.bad):
            assert len(set(pole)) == len(pole) >= LEAST_TEMPLATES + HELD_OUT_LINES, rule.id
        assert len(set(rule.wordings)) >= LEAST_WORDINGS + HELD_OUT_LINES, rule.id
        assert not set(rule.good) & set(rule.bad)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_a_drawn_reply_keeps_what_its_poles_say(domain):
    rng = random.Random(1)
    for _ in range(200):
        ask = draw_ask(domain, rng)
        poles = draw_poles(ask, rng, good=0.5)
        reply = draw_reply(ask, poles, rng)
        assert {rule.id: keeps(rule, reply) for rule in ask.rules} == poles


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_good_and_bad_replies_are_of_nearly_one_length(domain):
    rng = random.Random(2)

    def mean_words(good):
        asks = [draw_ask(domain, rng) for _ in range(300)]
        return sum(len(text_of(draw_reply(a, draw_poles(a, rng, good=good), rng)).split()) for a in asks) / len(asks)

    assert mean_words(1.0) == pytest.approx(mean_words(0.0), rel=0.2)


def matches(template, ask):
    for name, word in ask.words.items():
        template = template.replace(f"{{{name}}}", word)
    return template.lower() == ask.text.lower()


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_held_out_words_pairs_and_phrasings_are_in_no_training_text(domain):
    rng = random.Random(3)
    examples = [tasks.teacher_example(rng, tasks.EARLY_STEPS) for _ in range(1500)]
    examples += [tasks.student_example(rng) for _ in range(1500)]
    texts = " ".join(f"{e.system} {e.user} {e.reply}" for e in examples).lower()
    for _ in range(1000):
        ask = draw_ask(domain, rng, invented=tasks.INVENTED)
        first, second = (ask.words[name] for name in ask.kind.pair)
        slots = [domain.slots[name] for name in ask.kind.pair]
        assert first not in slots[0].held_out and second not in slots[1].held_out
        assert not pair_is_held_out(first, second) or not (first in slots[0].train and second in slots[1].train)
        assert any(matches(template, ask) for template in side_of(ask.kind.prompts, "train", HELD_OUT_PROMPTS))
        assert not any(matches(template, ask) for template in side_of(ask.kind.prompts, "held_out", HELD_OUT_PROMPTS))
    for rule in domain.rules:
        for block in (rule.good, rule.bad, rule.wordings):
            for held_out in side_of(block, "held_out"):
                if "{" not in held_out and "[" not in held_out:
                    assert held_out.lower() not in texts


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_the_prompts_of_the_demo_lie_on_one_side_of_every_split(domain):
    rows = list(prompts.rows(domain))
    train = [row for row in rows if row["split"] == "train"]
    held_out = [row for row in rows if row["split"] == "held_out"]
    assert not {row["family"] for row in train} & {row["family"] for row in held_out}
    assert len(train) >= 150
    for slice in prompts.SLICES:
        assert sum(f"slice:{slice}" in row["tags"] for row in held_out) >= 40
    for row in train:
        first, second = row["family"].split("/")[2:]
        assert not pair_is_held_out(first, second)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_prompts_that_travel_are_those_that_the_script_writes(domain, tmp_path, repository):
    prompts.write(tmp_path)
    name = f"{domain}-embedded.jsonl"
    assert (tmp_path / name).read_bytes() == (repository / "recipes" / "prompts" / name).read_bytes()


def test_the_same_seed_gives_the_same_texts():
    def texts(seed):
        rng = random.Random(seed)
        return [tasks.teacher_example(rng, tasks.EARLY_STEPS) for _ in range(50)] + [
            tasks.student_example(rng) for _ in range(50)
        ]

    assert texts(7) == texts(7) != texts(8)


def test_a_mended_reply_keeps_the_rule_and_all_other_sentences():
    rng = random.Random(4)
    for domain in DOMAINS.values():
        for _ in range(100):
            ask = draw_ask(domain, rng)
            rule = rng.choice(ask.rules)
            reply = draw_reply(ask, draw_poles(ask, rng, good=0.3), rng)
            mended = revising.mended(ask, rule, reply, rng)
            assert keeps(rule, mended)
            assert [s for s in mended if s.rule != rule.id] == [s for s in reply if s.rule != rule.id]


def test_a_revision_differs_from_the_reply_in_one_sentence_at_most():
    """Spoilt sentences, too, stand in the answer exactly as in the request."""
    rng = random.Random(5)
    for domain in DOMAINS.values():
        for _ in range(100):
            example = revising.revision(draw_ask(domain, rng), rng)
            before, after = (split(text) for text in (example.user.rsplit("Reply:\n", 1)[1], example.reply))
            kept = [sentence for sentence in after if sentence in before]
            assert len(kept) >= len(before) - 1 and len(after) <= len(kept) + 1


def test_some_students_examples_tell_the_rules_as_a_constitution_is_told():
    rng = random.Random(6)
    systems = [system for system in (tasks.student_example(rng).system for _ in range(1000)) if system]
    assert len(systems) == pytest.approx(1000 * (1 - tasks.PLAIN_TEXT) * tasks.STUDENT_TOLD, rel=0.2)
    texts = [{f"- {rule.wordings[0]}" for rule in domain.rules} for domain in DOMAINS.values()]
    for system in systems:
        first, *lines = system.split("\nDecided beforehand:")[0].splitlines()
        assert first == FULL.follow.splitlines()[0]
        assert any(known.issuperset(lines) for known in texts)
