"""Held-out questions are found again in training prompts, and other questions are not.

`WORDS`, `SHORT` and the like were chosen on one half of the public prompts, drawn by a hash; what is asked for here is
met by the other half.
"""

import csv
import hashlib
import json
import random
import re
from pathlib import Path

import pytest

from cai_lite.distill.filters import filter_pairs, leaks
from cai_lite.distill.leaks import HeldOut
from cai_lite.records import Message, PreferencePair

QUESTION = "How do I descale a kettle without vinegar?"


def asked(text, *before):
    return (*before, Message("user", text))


TALK = (Message("user", "Hi, who are you?"), Message("assistant", "An assistant. How can I help?"))
RULES = Message("system", "You are a helpful assistant. Answer in short sentences.")


@pytest.mark.parametrize(
    "prompt",
    [
        asked("how do i descale a kettle, without vinegar"),
        asked("How do I descale a pot without vinegar?"),
        asked(f"Hi there! {QUESTION} Thanks in advance."),
        asked(QUESTION, *TALK),
        asked(QUESTION, RULES),
        asked(f"Hello. {QUESTION}", RULES, *TALK),
    ],
    ids=["punctuation", "one word", "greeting", "conversation", "system", "all"],
)
def test_a_held_out_question_is_found_however_it_is_wrapped(prompt):
    assert HeldOut([asked(QUESTION)]).matches(prompt)
    assert HeldOut([prompt]).matches(asked(QUESTION)) or "pot" in prompt[-1].content


@pytest.mark.parametrize(
    "prompt",
    [
        asked("How do I descale a shower head with lemon juice?"),
        asked("Which kettle do you recommend?"),
        asked("Go on.", Message("user", "Tell me about kettles."), Message("assistant", "They boil water.")),
    ],
)
def test_other_questions_are_not(prompt):
    told = asked("Go on.", Message("user", "Tell me a story."), Message("assistant", "There was a fox."))
    assert not HeldOut([asked(QUESTION), told]).matches(prompt)


def test_without_near_only_equal_questions_are_found():
    guard = HeldOut([asked(QUESTION)], near=False)
    assert guard.matches(asked(QUESTION, *TALK)) and guard.matches(asked(QUESTION.lower()))
    assert not guard.matches(asked("How do I descale a pot without vinegar?"))
    assert not HeldOut([]).matches(asked(QUESTION))


def test_the_guard_of_the_pairs_uses_it():
    def pair(prompt):
        return PreferencePair(
            prompt=prompt, chosen=(Message("assistant", "Yes."),), rejected=(Message("assistant", "No."),)
        )

    pairs = [pair(asked(QUESTION, *TALK)), pair(asked("How do I descale a pot without vinegar?"))]
    assert filter_pairs(pairs, held_out=[asked(QUESTION)])[0] == pairs[1:]
    assert filter_pairs(pairs, held_out=[asked(QUESTION)], near=0.8)[1] == {"prompt is held out": 2}
    assert leaks(pairs, [asked(QUESTION)]) == [True, True]


# On public prompts


def apart(messages):
    text = messages[-1].content.strip().lower()
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2 == 1


def public(shared, recipes):
    data = shared / "data"
    for line in (data / "hh_harmless_300.jsonl").read_text(encoding="utf-8").splitlines():
        yield "hh", tuple(Message(**row) for row in json.loads(line)["prompt"])
    for name in ("xstest_prompts.csv", *(f"medsafety_gpt4_category_{i}.csv" for i in (1, 2, 3))):
        with (data / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield name[:6], asked(row.get("prompt") or row["harmful_medical_request"])
    for line in (data / "fastchat_mt_bench_question.jsonl").read_text(encoding="utf-8").splitlines():
        yield "mt", asked(json.loads(line)["turns"][0])
    for path in sorted(recipes.glob("*.jsonl")):
        if "embedded" not in path.name:  # templates, which differ in a word or two by design
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                told = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
                yield path.stem, tuple(Message(**message) for message in told)


@pytest.fixture(scope="module")
def prompts(shared):
    recipes = Path(__file__).parents[2] / "recipes" / "prompts"
    return [(source, messages) for source, messages in public(shared, recipes) if apart(messages)]


def planted(messages, rng):
    text = messages[-1].content
    word = rng.choice(list(re.finditer(r"\w+", text)))
    other = rng.choice([w for w in ("often", "river", "maybe", "table", "seven", "money") if w != word.group().lower()])
    greeting, thanks = rng.choice([("Hi there! ", " Thanks in advance!"), ("Hello, ", " Thank you."), ("Hey: ", "")])
    return {
        "one word changed": asked(text[: word.start()] + other + text[word.end() :], *messages[:-1]),
        "greeting": asked(greeting + text + thanks, *messages[:-1]),
        "conversation": asked(text, *TALK),
        "system": (RULES, *messages),
    }


def test_nine_of_ten_planted_leaks_are_found_on_the_half_apart(prompts):
    guard, rng = HeldOut([messages for _, messages in prompts]), random.Random(7)
    found = {}
    for _, messages in prompts:
        for kind, leak in planted(messages, rng).items():
            found.setdefault(kind, []).append(guard.matches(leak))
    assert {kind: sum(flags) / len(flags) >= 0.95 for kind, flags in found.items()} == dict.fromkeys(found, True)


def test_distinct_prompts_of_the_half_apart_are_no_leaks(prompts):
    """Pairs of XSTest that differ in one word, of which one is safe and one is not, count as leaks on purpose; and one
    conversation asks the same question twice, the second time with a sentence before it.
    """
    ordered = sorted(prompts, key=lambda row: hashlib.sha256(row[1][-1].content.encode()).hexdigest()[::-1])
    halves = ordered[::2], ordered[1::2]
    wrong = []
    for train, held_out in (halves, halves[::-1]):
        guard = HeldOut([messages for _, messages in held_out])
        wrong += [source for source, messages in train if guard.matches(messages)]
    assert len(prompts) > 1100
    assert wrong.count("xstest") <= 14 and wrong.count("hh") <= 2
    assert set(wrong) <= {"xstest", "hh"}


def test_of_three_million_comparisons_a_handful_is_made_in_full(monkeypatch):
    """The prompts that share words are found by their pairs of words; the others cost nothing."""
    compared = []
    monkeypatch.setattr("cai_lite.distill.leaks._same", lambda *texts: compared.append(texts))
    rng = random.Random(3)
    words = [f"w{i}" for i in range(3000)]
    held_out = [asked(" ".join(rng.choices(words, k=15))) for _ in range(1000)]
    train = [asked(" ".join(rng.choices(words, k=15))) for _ in range(3000)]
    guard = HeldOut(held_out)
    assert not any(map(guard.matches, train))
    assert len(compared) < 30
    compared.clear()
    near = [asked(f"{prompt[-1].content} please") for prompt in held_out[:20]]
    assert not any(map(guard.matches, near)) and len(compared) >= 20  # what is alike is compared
