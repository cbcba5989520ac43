"""Read the body of a chat completion, as a server sends it, into a `Reply`.

Servers differ in where they put a thinking model's thought: at the start of the text, or beside it in
`reasoning_content` or `reasoning`. Here it always ends up at the start of the text, between `<think>` and `</think>`,
so that everything behind this module reads one form, and the run directory holds what was paid for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from cai_lite.chat.thoughts import before_answer, split_thought
from cai_lite.records import Outcome, Reply, Request

CUT_THINKING = "cut while thinking"
NO_ANSWER = "a thought without an answer"
_MOST_TOKENS = 10**9  # a larger count in `usage` is a mistake of the server


def read_completion(
    body: object, request: Request, *, prices: tuple[float, float] = (0.0, 0.0), attempts: int = 1, seconds: float = 0.0
) -> Reply:
    """Return the reply in the body of a chat completion.

    A body that has a choice, but no text that can be read, gives a reply with the outcome "failed". Tokens that the
    body does not count are estimated from the texts, so that a budget is kept with such a server, too. `prices`: of
    a million prompt tokens and of a million reply tokens.

    Raises:
        ValueError: the body is not a chat completion.
    """
    choice = first_choice(body)
    message: Mapping[str, Any] = choice["message"]
    usage = body.get("usage") if isinstance(body, Mapping) else None
    content, problem = _text(message.get("content"))
    thought = next((t for name in ("reasoning_content", "reasoning") if (t := _text(message.get(name))[0]).strip()), "")
    text = before_answer(thought, content) if thought else content
    ending = choice.get("finish_reason")
    ended = plainly(str(ending), 60) if isinstance(ending, (str, type(None))) else type(ending).__name__
    tokens_in, tokens_out = (_tokens(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    estimated = not tokens_in or (not tokens_out and bool(text))
    tokens_in = tokens_in or estimated_tokens("".join(message.content for message in request.messages))
    tokens_out = tokens_out or estimated_tokens(text)
    outcome, fault = settled(text, cut=ending == "length", brief=bool(request.options))
    if problem:
        outcome, fault = "failed", problem
    elif ending == "content_filter" or message.get("refusal"):
        outcome, fault = "refused", f"finish_reason {ended}"
    return Reply(
        text=text,
        outcome=outcome,
        fault=fault or ("" if outcome == "ok" else f"finish_reason {ended}"),
        log_probs=option_log_probs(choice, request.options, text) if request.options else None,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        attempts=attempts,
        seconds=seconds,
        estimated=estimated,
        cost=(tokens_in * prices[0] + tokens_out * prices[1]) / 1e6,
    )


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for four bytes of UTF-8, as in English and in Chinese."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def settled(text: str, *, cut: bool, brief: bool) -> tuple[Outcome, str]:
    """Return (outcome, fault) of a reply; the fault is "" unless a thought is its cause.

    `cut`: the reply ended at its token limit. `brief`: one word was asked for, so that a cut behind it is no fault.
    """
    said = split_thought(text)
    if said.thought is not None and not said.answer:
        return ("cut", CUT_THINKING) if cut else ("empty", NO_ANSWER)
    return ("cut" if cut and not brief else "ok" if text else "empty"), ""


def first_choice(body: object) -> Mapping[str, Any]:
    """Return the first choice of a chat completion; its `message` is a mapping.

    Raises:
        ValueError: the body is not a chat completion.
    """
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise ValueError("no choices")
    if not isinstance(choices[0].get("message"), Mapping):
        raise ValueError("no message")
    return choices[0]


def option_log_probs(choice: Mapping[str, Any], options: tuple[str, ...], text: str) -> dict[str, float] | None:
    """Return the log-probability of each option as the first word of the answer, in nats, or None.

    The result is None unless the server returns all of them as finite numbers up to 0; some servers accept `logprobs`
    with HTTP 200 and ignore it. It is also None if the model thought first, or if the first scored token is not the
    beginning of `text`, the reply: then the scores are those of something else, such as a thought that the server
    removed from the text.
    """
    if split_thought(text).thought is not None:
        return None
    scored = choice.get("logprobs")
    content = scored.get("content") if isinstance(scored, Mapping) else None
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], Mapping) else {}
    begins, alternatives = first.get("token"), first.get("top_logprobs")
    if not isinstance(begins, str) or not begins.strip() or not text.lstrip().startswith(begins.strip()):
        return None
    found: dict[str, float] = {}
    for alternative in alternatives if isinstance(alternatives, list) else ():
        token, log_prob = (alternative.get(n) if isinstance(alternative, Mapping) else None for n in _SCORED)
        if not isinstance(token, str):
            continue
        for option in options:
            if token.strip().lower() == option.lower():
                if isinstance(log_prob, bool) or not isinstance(log_prob, (int, float)):
                    return None
                if not math.isfinite(log_prob) or log_prob > _ROUNDING:
                    return None
                found[option] = max(found.get(option, -math.inf), min(float(log_prob), 0.0))
    return found if set(found) == set(options) else None


_SCORED = ("token", "logprob")
_ROUNDING = 1e-3  # log-probabilities a little above 0 come of rounding


def _text(content: object) -> tuple[str, str]:
    """Return the text of a message's content, "" for none, and what is wrong with it, "" for nothing."""
    if content is None or isinstance(content, str):
        return _storable(content or ""), ""
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else _part(part) for part in content]
        return _storable("".join(parts)), ""
    return "", f"the content of the reply is no text, but {type(content).__name__}"


def _storable(text: str) -> str:
    """Return the text of a reply without what files of pairs refuse: lone surrogates and NUL become U+FFFD."""
    return characters(text).replace("\0", "\ufffd").strip()


def _part(part: object) -> str:
    """Return the text of one part of a message; a thought in a part of its own keeps its marks."""
    if not isinstance(part, Mapping):
        return ""
    if part.get("type") in ("thinking", "reasoning"):
        inner = part.get("thinking") or part.get("text") or part.get("reasoning")
        return before_answer(_text(inner)[0], " ")
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _tokens(usage: object, name: str) -> int:
    """Return a count of tokens in `usage`; 0 if it is missing or no count."""
    n = usage.get(name) if isinstance(usage, Mapping) else None
    if isinstance(n, bool) or not isinstance(n, (int, float)) or not 0 <= n <= _MOST_TOKENS:
        return 0
    return int(n)


def characters(text: str) -> str:
    """Return the text with each lone surrogate replaced by U+FFFD; JSON allows them, tokenizers and SQLite do not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def plainly(text: str, limit: int = 300) -> str:
    """Return a text from outside for use in a message: without control characters, on one line, at most `limit`."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
