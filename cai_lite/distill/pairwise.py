"""Two candidates side by side, in both orders, always."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.distill.comparisons import Comparison
from cai_lite.distill.critiques import told
from cai_lite.distill.deciding import Options
from cai_lite.distill.judging import Judging, Reason
from cai_lite.distill.reading import PARSER, choice_of, grounded, sampling_of, share, spoken
from cai_lite.distill.wording import conversation, fill, mark_of, wording_of
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Principle
from cai_lite.records import Choice, Reply, Request, Verdict, digest


def decided(first: int, second: int, until: float) -> bool:
    """Whether so many votes for each side settle who is better, with probability `until`.

    The share of votes for a side is unknown and any share as likely as another; so P(share > 1/2) is a sum of binomial
    terms (Beta(first + 1, second + 1) above one half).
    """
    n, most = first + second + 1, max(first, second)
    return bool(sum(math.comb(n, k) for k in range(most + 1)) >= until * 2**n)


def pairwise(
    model: ChatModel,
    asked: Sequence[tuple[Comparison, Principle]],
    judging: Judging,
    stage: Stage,
    *,
    rule: str,
    weight: float,
) -> list[Verdict]:
    """Return a verdict for each comparison. Raises InputError where the model's wording knows no reasons."""
    reason, until = judging.reason, judging.until
    wording = wording_of(model.wording)
    if reason not in wording.verdict:
        raise InputError(f"judge.reason: '{model.name}' is asked in the wording '{wording.name}', which has no reasons")
    options = (wording.first, wording.second)
    sampling = sampling_of(model, judging)
    open_ = [
        _Open(comparison, principle, _texts(model, comparison, principle, reason)) for comparison, principle in asked
    ]
    # All votes at once, or one of each order at a time while there is doubt.
    for indices in [[i] for i in range(judging.votes)] if until is not None else [list(range(judging.votes))]:
        doubtful = [
            one for one in open_ if until is None or not decided(*one.votes(options, wording.tie, reason), until)
        ]
        requests = [
            Request(
                messages=told(model, text),
                sampling=sampling,
                index=judging.first_index + index,
                options=options if judging.reads_log_probs else (),
            )
            for one in doubtful
            for text in one.texts
            for index in indices
        ]
        arrived = iter(stage.ask(model, requests))
        made = iter(requests)
        for one in doubtful:
            for order in one.replies:
                order.extend(next(arrived) for _ in indices)
            one.calls.extend(next(made).key(model.digest) for _ in range(2 * len(indices)))
    verdicts = []
    for one in open_:
        choice, p_first, flipped = one.weighed(options, wording.tie, reason)
        first, second = one.comparison
        text = spoken(one.replies[0][0].text)
        verdicts.append(
            Verdict(
                key=digest("verdict", PARSER, rule, first.key, second.key, one.calls, weight),
                first=first,
                second=second,
                principle=one.principle.id,
                choice=choice,
                p_first=p_first,
                order="both",
                judge=model.name,
                rule=rule,
                weight=one.principle.weight * weight,
                flipped=flipped,
                text=text,
                reasoned=reason == "before",
                quotes=grounded(text, first.text, second.text) if reason != "none" else (),
            )
        )
    return verdicts


@dataclass
class _Open:
    """A comparison under one principle, the texts that ask for it, and what came back: as asked, and swapped."""

    comparison: Comparison
    principle: Principle
    texts: tuple[str, str]
    replies: tuple[list[Reply], list[Reply]] = field(default_factory=lambda: ([], []))
    calls: list[str] = field(default_factory=list)

    def shares(
        self, options: Options, tie: str, reason: Reason
    ) -> tuple[list[float | Choice], list[float | Choice]]:
        """What each reply says for its own first side. A reason that quotes nothing of the replies is no verdict."""

        def read(reply: Reply) -> float | Choice:
            said = share(reply, options, tie, reason)
            sides = (self.comparison.first.text, self.comparison.second.text)
            if isinstance(said, float) and reason != "none" and not grounded(spoken(reply.text), *sides):
                return "abstain"
            return said

        one, two = ([read(reply) for reply in order] for order in self.replies)
        return one, two

    def votes(self, options: Options, tie: str, reason: Reason) -> tuple[int, int]:
        """How many replies of both orders are for the first candidate, and for the second."""
        one, two = self.shares(options, tie, reason)
        said = [s for s in one if isinstance(s, float)] + [1 - s for s in two if isinstance(s, float)]
        return sum(s > 0.5 for s in said), sum(s < 0.5 for s in said)

    def weighed(self, options: Options, tie: str, reason: Reason) -> tuple[Choice, float | None, bool]:
        """(choice, p_first, flipped)."""
        one, two = self.shares(options, tie, reason)
        read_one, read_two = ([s for s in shares if isinstance(s, float)] for shares in (one, two))
        if not read_one or not read_two:
            return next(s for s in (*one, *two) if not isinstance(s, float)), None, False
        first, second = sum(read_one) / len(read_one), 1 - sum(read_two) / len(read_two)
        flipped = (first - 0.5) * (second - 0.5) < 0
        if flipped and not all(reply.log_probs for order in self.replies for reply in order):
            return "tie", 0.5, True  # without log-probabilities a flip leaves nothing to weigh
        p_first = (first + second) / 2
        return choice_of(p_first), p_first, flipped


def _texts(model: ChatModel, comparison: Comparison, principle: Principle, reason: Reason) -> tuple[str, str]:
    """The question as asked, and with the sides changed."""
    wording = wording_of(model.wording)
    prompt = conversation(comparison.first.prompt.messages)

    def asked(a: str, b: str) -> str:
        return fill(
            wording.pairwise,
            prompt=prompt,
            first=a,
            second=b,
            principle=principle.text,
            id=principle.id,
            verdict=wording.verdict[reason],
            mark=mark_of(prompt, a, b),
        )

    one, other = comparison.first.text, comparison.second.text
    return asked(one, other), asked(other, one)
