"""Find out what a server supports; some accept `logprobs`, `n` or a JSON schema with HTTP 200 and ignore them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cai_lite.chat.endpoint import EndpointModel, option_log_probs, remedy
from cai_lite.errors import ChatError

_QUESTION = [{"role": "user", "content": "Is the sky blue on a clear day? Answer with one word, yes or no."}]
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {
            "type": "object",
            "properties": {"colour": {"type": "string"}},
            "required": ["colour"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The features that a server supports.

    `answers`: its answer to a plain question, up to 60 characters.
    `log_probs`: log-probabilities of the first word, which a judge needs for probabilities; without them each verdict
    is a single word, and `judge.votes` averages several.
    `several`: `n` answers to one call. `schema`: answers that follow a JSON schema. The library uses neither of these
    two.
    """

    answers: str
    log_probs: bool
    several: bool
    schema: bool


def probe(endpoint: EndpointModel) -> Capabilities:
    """Test each feature with a call of its own; the content of the answer counts, not the HTTP status.

    Raises:
        ChatError: the server does not answer a plain question.
    """
    import openai

    client = endpoint.client()

    def asked(**more: Any) -> Any:
        return client.chat.completions.create(
            model=endpoint.model, messages=_QUESTION, **{"temperature": 0.0, "max_tokens": 16, **more}
        )

    def tried(**more: Any) -> Any:
        try:
            return asked(**more)
        except openai.OpenAIError:
            return None  # the server says that it does not support this

    try:
        plain = asked()
    except openai.APIStatusError as error:
        client.close()
        what = f"{endpoint.url} answers HTTP {error.status_code} for model '{endpoint.model}'"
        raise ChatError(f"{what}: {remedy(error.status_code, endpoint.api_key_env)}") from error
    except openai.OpenAIError as error:
        client.close()
        raise ChatError(f"{endpoint.url} does not answer as '{endpoint.model}': {type(error).__name__}") from error
    if not _choices(plain):
        client.close()
        raise ChatError(f"{endpoint.url} answers, but returns no choices: check the URL (it ends in /v1)")
    try:
        scored = tried(logprobs=True, top_logprobs=20)
        several = tried(n=2, temperature=1.0)
        shaped = tried(response_format=_SCHEMA, max_tokens=64)
    finally:
        client.close()
    return Capabilities(
        answers=_text(plain)[:60],
        log_probs=bool(_choices(scored) and option_log_probs(_choices(scored)[0], ("yes", "no"))),
        several=len(_choices(several)) == 2,
        schema=_is_shaped(_text(shaped)),
    )


def _choices(answer: Any) -> list[Any]:
    return list(getattr(answer, "choices", None) or [])


def _text(answer: Any) -> str:
    choices = _choices(answer)
    return (choices[0].message.content or "").strip() if choices else ""


def _is_shaped(text: str) -> bool:
    try:
        read = json.loads(text)
    except ValueError:
        return False
    return isinstance(read, dict) and set(read) == {"colour"}
