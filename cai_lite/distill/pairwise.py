"""Pairwise judging: show the judge both candidates, and always ask in both orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cai_lite.chat.asking import Stage
from cai_lite.chat.base import ChatModel
from cai_lite.chat.preference import scored_request
from cai_lite.distill.comparisons import Question
from cai_lite.distill.critiques import task_messages
from cai_lite.distill.deciding import Options
from cai_lite.distill.judging import Judging, Reason
from cai_lite.distill.reading import PARSER, choice_of, grounded, sampling_of, share, spoken
from cai_lite.distill.wording import conversation, fill, mark_of, wording_of
from cai_lite.errors import InputError
from cai_lite.records import Choice, Messages, Reply, Request, Verdict, digest


def decided(first: int, second: int, until: float) -> bool:
    """Return whether the leading side is the better one with a probability of at least `until`, 0 to 1.

    `first`, `second`: the number of votes for each side. With a uniform prior on the share of votes for the leading
    side, its posterior is Beta(a + 1, b + 1) for a votes against b, and P(share > 1/2) is a sum of binomial terms.
    """
    n, leading = first + second + 1, max(first, second)
    return bool(sum(math.comb(n, k) for k in range(leading + 1)) >= until * 2**n)


def check_reason(model: ChatModel, reason: Reason) -> None:
    """Check that a judge can be asked for this reason.

    Raises:
        InputError: the model's wording has none.
    """
    wording = wording_of(model.wording)
    if reason not in wording.verdict:
        raise InputError(
            f"judge.reason: '{model.name}' uses the wording '{wording.name}', which has no reasons; set it to 'none'"
        )


def pairwise(
    model: ChatModel,
    asked: Sequence[Question],
    judging: Judging,
    stage: Stage,
    *,
    rule: str,
    weight: float,
) -> list[Verdict]:
    """Return one verdict per comparison and principle, in the order of `asked`.

    `rule`: the name of the pairing rule; it is stored with the verdicts. `weight`: the weight of this judge.

    Raises:
        InputError: `judging` asks for a reason, and the model's wording has none.
    """
    reason, until = judging.reason, judging.until
    wording = wording_of(model.wording)
    check_reason(model, reason)
    options = (wording.first, wording.second)
    sampling = sampling_of(model, judging)
    questions = [_Open(question, _messages(model, question, reason, stage.run.secret)) for question in asked]
    # Ask for all votes at once or, with `until`, for one vote per order at a time, as long as a question is undecided.
    for indices in [[i] for i in range(judging.votes)] if until is not None else [list(range(judging.votes))]:
        undecided = [
            question
            for question in questions
            if until is None or not decided(*question.votes(options, wording.tie, reason), until)
        ]
        requests = [
            Request(
                messages=messages,
                sampling=sampling,
                index=judging.first_index + index,
                options=options if judging.reads_log_probs else (),
            )
            for question in undecided
            for messages in question.messages
            for index in indices
        ]
        replies = iter(stage.ask(model, requests, section="judge"))
        keys = (request.key(model.digest) for request in requests)
        for question in undecided:
            for order in question.replies:
                order.extend(next(replies) for _ in indices)
            question.calls.extend(next(keys) for _ in range(2 * len(indices)))
    verdicts = []
    for question in questions:
        choice, p_first, flipped = question.result(options, wording.tie, reason)
        first, second = question.asked.comparison
        text = spoken(question.replies[0][0].text)
        verdicts.append(
            Verdict(
                key=digest("verdict", PARSER, rule, first.key, second.key, question.calls, weight),
                first=first,
                second=second,
                principle=question.asked.principle.id,
                choice=choice,
                p_first=p_first,
                order="both",
                judge=model.name,
                rule=rule,
                weight=question.asked.principle.weight * weight,
                over=question.asked.over,
                over_if=question.asked.over_if,
                flipped=flipped,
                text=text,
                reasoned=reason == "before",
                quotes=grounded(text, first.text, second.text) if reason != "none" else (),
            )
        )
    return verdicts


@dataclass
class _Open:
    """A question with its requests and replies in both orders.

    `messages`, `replies`: first for the order of `comparison`, then for the swapped order. `calls`: the keys of all
    calls.
    """

    asked: Question
    messages: tuple[Messages, Messages]
    replies: tuple[list[Reply], list[Reply]] = field(default_factory=lambda: ([], []))
    calls: list[str] = field(default_factory=list)

    def shares(self, options: Options, tie: str, reason: Reason) -> tuple[list[float | Choice], list[float | Choice]]:
        """Return the probability, 0 to 1, that each reply gives to the side it was shown first, for both orders.

        A reply without a verdict is the name of its fault. If a reason is asked for and it quotes neither candidate,
        that is "abstain".
        """

        def read(reply: Reply) -> float | Choice:
            result = share(reply, options, tie, reason)
            sides = (self.asked.comparison.first.text, self.asked.comparison.second.text)
            if isinstance(result, float) and reason != "none" and not grounded(spoken(reply.text), *sides):
                return "abstain"
            return result

        as_given, swapped = ([read(reply) for reply in order] for order in self.replies)
        return as_given, swapped

    def votes(self, options: Options, tie: str, reason: Reason) -> tuple[int, int]:
        """Return the number of votes for the first and for the second candidate, over both orders."""
        as_given, swapped = self.shares(options, tie, reason)
        p_first = [s for s in as_given if isinstance(s, float)] + [1 - s for s in swapped if isinstance(s, float)]
        return sum(p > 0.5 for p in p_first), sum(p < 0.5 for p in p_first)

    def result(self, options: Options, tie: str, reason: Reason) -> tuple[Choice, float | None, bool]:
        """Return (choice, p_first, flipped), the fields of `Verdict`. `p_first` is None if one order has no verdict."""
        as_given, swapped = self.shares(options, tie, reason)
        read_given, read_swapped = ([s for s in shares if isinstance(s, float)] for shares in (as_given, swapped))
        if not read_given or not read_swapped:
            return next(s for s in (*as_given, *swapped) if not isinstance(s, float)), None, False
        p_given, p_swapped = sum(read_given) / len(read_given), 1 - sum(read_swapped) / len(read_swapped)
        flipped = (p_given - 0.5) * (p_swapped - 0.5) < 0
        if flipped and not all(reply.log_probs for order in self.replies for reply in order):
            return "tie", 0.5, True  # one word against the other: without log-probabilities there is nothing to average
        p_first = (p_given + p_swapped) / 2
        return choice_of(p_first), p_first, flipped


def _messages(model: ChatModel, question: Question, reason: Reason, secret: str) -> tuple[Messages, Messages]:
    """Return the request in the order of the comparison, and with the candidates swapped."""
    wording = wording_of(model.wording)
    comparison, principle = question.comparison, question.principle
    prompt = conversation(comparison.first.prompt.messages)

    def messages(a: str, b: str) -> Messages:
        if model.wording == "scored":
            return scored_request(comparison.first.prompt.messages, [a, b], principle.text)
        text = fill(
            wording.pairwise,
            prompt=prompt,
            first=a,
            second=b,
            principle=principle.text,
            id=principle.id,
            verdict=wording.verdict[reason],
            tradeoffs="".join(f"Decided beforehand: {line}\n" for line in question.tradeoffs),
            mark=mark_of(secret, prompt, a, b),
        )
        return task_messages(model, text)

    first, second = comparison.first.text, comparison.second.text
    return messages(first, second), messages(second, first)
