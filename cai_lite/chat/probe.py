"""Find out what a server supports; some accept `logprobs`, `n` or a JSON schema with HTTP 200 and ignore them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cai_lite.chat.completions import first_choice, read_completion
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.thoughts import split_thought
from cai_lite.errors import ChatError
from cai_lite.records import Message, Reply, Request, Sampling

_OPTIONS = ("yes", "no")
_QUESTION = (Message("user", "Is the sky blue on a clear day? Answer with one word, yes or no."),)
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
# The variables by which the chat templates of today's models switch thinking off.
SWITCHES: tuple[Mapping[str, Any], ...] = ({"enable_thinking": False}, {"thinking": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The features that a server supports.

    `answers`: its answer to a plain question, up to 60 characters, without a thought.
    `thinks`: the model thinks before it answers. `switch`: variables of the chat template that stop this, if any do.
    `log_probs`: log-probabilities of the first word, which a judge needs for probabilities; without them each verdict
    is a single word, and `judge.votes` averages several.
    `several`: `n` answers to one call. `schema`: answers that follow a JSON schema. The library uses neither of these
    two.
    """

    answers: str
    thinks: bool
    switch: Mapping[str, Any] | None
    log_probs: bool
    several: bool
    schema: bool


def probe(endpoint: EndpointModel) -> Capabilities:
    """Test each feature with a call of its own; the content of the answer counts, not the HTTP status.

    Raises:
        ChatError: the server does not answer a plain question.
    """
    import openai

    plain_request = Request(messages=_QUESTION, sampling=Sampling(temperature=0.0, max_tokens=16))
    scored_request = Request(messages=_QUESTION, sampling=plain_request.sampling, options=_OPTIONS)
    connection = endpoint.connection()

    def asked(request: Request = plain_request, **more: Any) -> object:
        return connection.post(endpoint.body(request) | more)

    def tried(request: Request = plain_request, **more: Any) -> object:
        try:
            return asked(request, **more)
        except (openai.OpenAIError, ValueError):
            return None  # the server says that it does not support this

    try:
        try:
            plain = read_completion(asked(), plain_request)
        except openai.APIStatusError as error:
            raise ChatError(endpoint.refusal(error)) from error
        except openai.OpenAIError as error:
            raise ChatError(f"{endpoint.url} does not answer as '{endpoint.model}': {type(error).__name__}") from error
        except ValueError as error:
            raise ChatError(
                f"{endpoint.url} answers, but returns no choices: check the URL (it ends in /v1)"
            ) from error
        thinks = _thinks(plain)
        switch = None
        for variables in SWITCHES if thinks else ():
            given = {**endpoint.fields().get("chat_template_kwargs", {}), **variables}
            other = _reply(tried(chat_template_kwargs=given), plain_request)
            if other is not None and other.text and not _thinks(other):
                switch = variables
                break
        scored = _reply(tried(scored_request), scored_request)
        several = tried(n=2, temperature=1.0)
        shaped = _reply(tried(response_format=_SCHEMA, max_tokens=64), plain_request)
    finally:
        endpoint.close()
    return Capabilities(
        answers=split_thought(plain.text).answer[:60],
        thinks=thinks,
        switch=switch,
        log_probs=scored is not None and scored.log_probs is not None,
        several=isinstance(several, Mapping) and len(several.get("choices") or []) == 2,
        schema=shaped is not None and _is_shaped(split_thought(shaped.text).answer),
    )


def _reply(body: object, request: Request) -> Reply | None:
    try:
        first_choice(body)
    except ValueError:
        return None
    return read_completion(body, request)


def _thinks(reply: Reply) -> bool:
    return split_thought(reply.text).thought is not None


def _is_shaped(text: str) -> bool:
    try:
        read = json.loads(text)
    except ValueError:
        return False
    return isinstance(read, dict) and set(read) == {"colour"}
