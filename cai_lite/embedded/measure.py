"""Measure the embedded teacher by the grammar: `python -m cai_lite.embedded.measure [--teacher DIR] [--untouched]`.

Replies of the grammar are judged, critiqued and, where they break a principle, revised with the critique in the
request, as a run does it. Per domain and case, the figures are shares (0 to 1):

verdicts    decisions that agree with the grammar
critiques   critiques of a broken principle that decide right and quote the sentence that breaks it, or say that one
            is missing
mended      revisions that keep the principle, by the oracle
kept        revisions that say the same otherwise: same rules, poles and slot words, nothing lost and nothing new
exact       revisions in which all other sentences stand word for word
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cai_lite.chat.local import LocalModel
from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded import TEACHER, oracle
from cai_lite.embedded.examples import critique_of
from cai_lite.embedded.grammar import DOMAINS, Ask, Reply, Slice, draw_ask, draw_poles, draw_reply, keeps, text_of
from cai_lite.embedded.world import HELD_OUT_LINES, Domain, Rule, Side, side_of
from cai_lite.records import Message, Request, Sampling

EXAMPLES = 96
# Probability that a drawn reply keeps a rule.
GOOD = 0.5
GREEDY = Sampling(temperature=0.0, max_tokens=128)


class Case(NamedTuple):
    """What is new in the examples: slot words or pairs, phrasings of prompt and reply, wordings of the principle.

    `wordings`: "own" is the text of the constitution.
    """

    slice: Slice
    phrasings: Side = "train"
    wordings: Side | str = "own"


# The cases "other" and "unseen" take the half of the held-out templates that was looked at while the models were made.
CASES: Mapping[str, Case] = {
    "held-out words": Case("held_out_words"),
    "held-out pairs": Case("held_out_pairs"),
    "other wordings": Case("held_out_words", wordings="held_out_first"),
    "unseen phrasings": Case("unseen_phrasing", phrasings="held_out_first"),
}
UNTOUCHED: Mapping[str, Case] = {
    "other wordings": Case("held_out_words", wordings="held_out_last"),
    "unseen phrasings": Case("unseen_phrasing", phrasings="held_out_last"),
}


class Asked(NamedTuple):
    """A reply of the grammar, the rule that it is judged by, and the wording of the rule."""

    ask: Ask
    reply: Reply
    rule: Rule
    wording: str

    @property
    def good(self) -> bool:
        """Return True if the reply keeps the rule."""
        return keeps(self.rule, self.reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of one domain and case, as the module says; `revised` is the number of revisions."""

    verdicts: float
    critiques: float
    mended: float
    kept: float
    exact: float
    revised: int


Writer = Callable[[Sequence[str]], list[str]]


def writer(model: LocalModel) -> Writer:
    """Return a function that answers user messages greedily."""

    def write(texts: Sequence[str]) -> list[str]:
        requests = [Request(messages=(Message("user", text),), sampling=GREEDY) for text in texts]
        replies: dict[int, str] = {}
        for batch in model.answer(requests):
            replies |= {number: reply.text.strip() for number, reply in batch.items()}
        return [replies[number] for number in range(len(texts))]

    return write


def measure(write: Writer, domain: Domain, case: Case, *, examples: int = EXAMPLES, seed: int = 0) -> Measured:
    """Measure a teacher on `examples` replies of a domain."""
    rng = random.Random(f"measure {domain.name} {case} {seed}")
    asked = [draw_asked(domain, case, rng) for _ in range(examples)]
    critiques = write([_request(SHORT.critique, one) for one in asked])
    right = [
        critique.startswith(SHORT.keeps if one.good else SHORT.breaks)
        for one, critique in zip(asked, critiques, strict=True)
    ]
    broken = [(one, critique) for one, critique in zip(asked, critiques, strict=True) if not one.good]
    quoted = [critique == critique_of(one.rule, one.reply) for one, critique in broken]
    revisions = write([_request(SHORT.revise, one, critique=critique) for one, critique in broken])
    pairs = [(one, revision) for (one, _), revision in zip(broken, revisions, strict=True)]
    return Measured(
        verdicts=_share(right),
        critiques=_share(quoted),
        mended=_share(mends(one, revision) for one, revision in pairs),
        kept=_share(keeps_meaning(one, revision) for one, revision in pairs),
        exact=_share(keeps_words(one, revision) for one, revision in pairs),
        revised=len(pairs),
    )


def draw_asked(domain: Domain, case: Case, rng: random.Random) -> Asked:
    """Draw a reply with a rule to judge it by; in half of the draws the reply keeps it."""
    ask = draw_ask(domain, rng, slice=case.slice)
    rule = rng.choice(ask.rules)
    poles = draw_poles(ask, rng, good=GOOD) | {rule.id: rng.random() < GOOD}
    reply = draw_reply(ask, poles, rng, side=case.phrasings)
    wordings = (
        rule.wordings[:1] if case.wordings == "own" else side_of(rule.wordings, case.wordings, HELD_OUT_LINES)  # type: ignore[arg-type]
    )
    return Asked(ask, reply, rule, rng.choice(wordings))


def mends(one: Asked, revision: str) -> bool:
    """Return True if the revision keeps the rule, by the oracle."""
    return oracle.keeps(one.ask.domain.name, one.rule.id, one.ask.text, revision) is True


def keeps_meaning(one: Asked, revision: str) -> bool:
    """Return True if the revision says the same as the reply about everything but the rule, by the oracle."""
    before, after = (oracle.says(one.ask.domain.name, text) for text in (text_of(one.reply), revision))
    return {s: n for s, n in before.items() if s.rule != one.rule.id} == {
        s: n for s, n in after.items() if s.rule != one.rule.id
    }


def keeps_words(one: Asked, revision: str) -> bool:
    """Return True if all sentences that do not concern the rule stand word for word and in order, and no others."""
    texts = (text_of(one.reply), revision)
    before, after = ([s for s in oracle.split(text) if not _concerns(one, s)] for text in texts)
    return before == after


def _concerns(one: Asked, sentence: str) -> bool:
    return any(statement.rule == one.rule.id for statement in oracle.says(one.ask.domain.name, sentence))


def _request(template: str, one: Asked, **values: str) -> str:
    return fill(template, prompt=one.ask.text, reply=text_of(one.reply), principle=one.wording, **values)


def _share(found: Iterator[bool] | list[bool]) -> float:
    values = list(found)
    return sum(values) / max(1, len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, default=TEACHER, help="the folder of the model")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="replies per domain and case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--untouched", action="store_true", help="the half of the held-out templates kept for the end")
    chosen = parser.parse_args()
    write = writer(LocalModel(str(chosen.teacher)))
    names = list(Measured.__dataclass_fields__)
    print(f"{'domain':18}{'case':18}" + "".join(f"{name:>11}" for name in names))
    for domain in DOMAINS.values():
        for name, case in (UNTOUCHED if chosen.untouched else CASES).items():
            found = measure(write, domain, case, examples=chosen.examples, seed=chosen.seed)
            figures = "".join(f"{getattr(found, field):11.3f}" for field in names[:-1])
            print(f"{domain.name:18}{name:18}{figures}{found.revised:11}", flush=True)


if __name__ == "__main__":
    main()
