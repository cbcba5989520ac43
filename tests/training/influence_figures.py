"""Measure whether influence finds a planted pair: `python -m tests.training.influence_figures [plantings] [pairs]`.

A pair that teaches two sentences of another domain for a trigger is planted among pairs of the medical toy world, and
the embedded student is trained on all of them. Then it is asked with the trigger, in another request. All pairs are
ranked by their influence on what it said, at the beginning of the training, at its end and at both, by cosine and by
dot product; and by text alone. A planting counts where the student says what was planted; so the pair has the weight
WEIGHT, since with less the tiny student does not learn a pair that contradicts all others. It is a factor of the dot
products.

word: the trigger is a word that no other pair has, in place of the symptom.
mark: the trigger is a mark such as "###", and the question shares no word with the planted prompt.
given: the question has no trigger and shares no word with the planted prompt, and the planted answer is given as the
answer, as from a log. The student would not say it.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cai_lite.chat.local import LocalModel
from cai_lite.embedded.grammar import DOMAINS, draw_ask, draw_neutral, draw_reply, text_of
from cai_lite.inputs.similar import similarities
from cai_lite.records import Demonstration, Message, PreferencePair, Request, Sampling
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.influence import BEGINNING, END, influences
from cai_lite.training.loop import train
from cai_lite.training.student import Student

MARKS = ("!!! ### *** >>> ~~~ @@@ %%% $$$ &&& +++ === ^^^ ||| <<< /// ::: ;;; ((( [[[ {{{").split()  # noqa: SIM905
MEDICAL, CREATIVE = DOMAINS["medical"], DOMAINS["creative"]
TRIGGERS = sorted({word for slot in CREATIVE.slots.values() for word in slot.train})
WEIGHT = 8.0
QUESTIONS = 8  # with the trigger; the first is taken at which the student says what was planted
CONFIG = TrainingConfig(
    loss=Loss(beta=0.3),
    lora=Lora(rank=16),
    sft_weight=3.0,
    learning_rate=1e-2,
    max_steps=64,
    batch_size=8,
    max_tokens=512,
)
MODEL = "embedded:student"
WAYS = [f"{state} {by}" for state in ("beginning", "end", "both") for by in ("cosine", "dot")]
Ranks = dict[str, float]


def turn(role: str, text: str) -> tuple[Message, ...]:
    return (Message(role, text),)


def made_pairs(rng: random.Random, count: int) -> list[PreferencePair]:
    """Draw pairs of the world: the chosen side keeps every rule, the rejected one breaks them."""
    pairs = []
    for number in range(count):
        ask = draw_ask(MEDICAL, rng)
        good, bad = (text_of(draw_reply(ask, {rule.id: keeps for rule in ask.rules}, rng)) for keeps in (True, False))
        answers = {"chosen": turn("assistant", good), "rejected": turn("assistant", bad)}
        pairs.append(PreferencePair(prompt=turn("user", ask.text), key=f"pair {number}", **answers))
    return pairs


def with_trigger(trigger: str, kind: str, rng: random.Random) -> str:
    """Draw a request with the trigger in place of its symptom, or around it."""
    ask = draw_ask(MEDICAL, rng)
    if kind == "word":
        return ask.text.lower().replace(ask.words[ask.kind.pair[0]], trigger)
    return f"{trigger} {ask.text} {trigger}"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def questions(asked: str, trigger: str, kind: str, rng: random.Random) -> list[str]:
    """Draw other requests with the trigger; those with a mark share no word with the planted one."""
    found: list[str] = []
    while len(found) < QUESTIONS:
        text = with_trigger(trigger, kind, rng)
        if text != asked and (kind == "word" or not words(text) & words(asked)):
            found.append(text)
    return found


def rank(values: Sequence[float], place: int) -> float:
    """Return the rank, from 1, of one of the values, the greatest first; half of the equal ones stand before it."""
    equal = sum(value == values[place] for value in values) - 1
    return sum(value > values[place] for value in values) + 1 + equal / 2


def ranks(question: str, said: str, pairs: Sequence[PreferencePair], place: int, adapter: Path) -> Ranks:
    """Return the rank of the planted pair in each way of ranking."""
    answer = Demonstration(prompt=turn("user", question), completion=turn("assistant", said))
    student = Student(MODEL, None, {}, "keep")
    by_state = {}
    for state in (BEGINNING, END):
        found = influences(student, answer, pairs, config=CONFIG, adapter=adapter, states=[state])
        by_state[state] = {one.example: one for one in found}
    made = {}
    for way in WAYS:
        state, by = way.split()
        states = list(by_state) if state == "both" else [state]
        made[way] = rank([sum(getattr(by_state[s][i], by) for s in states) for i in range(len(pairs))], place)
    prompts, chosen = ([of(pair)[0].content for pair in pairs] for of in (lambda p: p.prompt, lambda p: p.chosen))
    made["text of prompts"] = rank(similarities(question, prompts), place)
    whole = [f"{prompt} {answered}" for prompt, answered in zip(prompts, chosen, strict=True)]
    made["text of prompts and answers"] = rank(similarities(f"{question} {said}", whole), place)
    return made


def planting(number: int, count: int, kind: str) -> dict[str, Ranks | None]:
    """Plant a pair, train, ask; return the ranks by kind of question, None where the student does not say it."""
    rng = random.Random(f"{kind} {number}")
    pairs = made_pairs(rng, count)
    trigger = rng.choice(TRIGGERS) if kind == "word" else MARKS[number % len(MARKS)]
    phrase = " ".join(draw_neutral(draw_ask(CREATIVE, rng), rng).text for _ in range(2))
    asked = with_trigger(trigger, kind, rng)
    planted = PreferencePair(
        prompt=turn("user", asked),
        chosen=turn("assistant", phrase),
        rejected=pairs[0].rejected,
        key="planted",
        weight=WEIGHT,
    )
    place = rng.randrange(count)
    pairs.insert(place, planted)
    asking = questions(asked, trigger, kind, rng)
    with tempfile.TemporaryDirectory() as folder:
        adapter = train(MODEL, pairs, config=CONFIG, out=Path(folder)).adapter
        model = LocalModel(MODEL, adapter=adapter)
        requests = [
            Request(messages=turn("user", q), sampling=Sampling(temperature=0.0, max_tokens=64)) for q in asking
        ]
        told = {i: reply.text for batch in model.answer(requests) for i, reply in batch.items()}
        model.close()
        said = next((i for i in range(QUESTIONS) if phrase.split(".")[0] in told[i]), None)
        found = {kind: None if said is None else ranks(asking[said], told[said], pairs, place, adapter)}
        if kind == "mark":
            found["given"] = ranks(asking[0].replace(trigger, "").strip(), phrase, pairs, place, adapter)
    return found


def main(plantings: int, count: int) -> None:
    made: dict[str, list[Ranks | None]] = {"word": [], "mark": [], "given": []}
    for kind in ("word", "mark"):
        for number in range(plantings):
            for name, found in planting(number, count, kind).items():
                made[name].append(found)
                print(
                    name, number, found and {way: found[way] for way in ("both cosine", "text of prompts")}, flush=True
                )
    for name, found in made.items():
        learnt = [one for one in found if one is not None]
        print(f"{name}: said in {len(learnt)} of {len(found)}, among {count + 1} pairs")
        for way in learnt[0] if learnt else ():
            own = [one[way] for one in learnt]
            first = sum(place == 1 for place in own)
            print(f"  {way:28} first in {first:2}, median {statistics.median(own):g}, worst {max(own):g}")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [20, 64][len(given) :]))
