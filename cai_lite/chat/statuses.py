"""Say what an HTTP error of a chat server means: the request is at fault, or the key, the load, the credit.

Servers agree on few of the numbers, so the body is looked at where a number says too little.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from cai_lite.chat.completions import plainly
from cai_lite.errors import without_secrets

Meaning = Literal["request", "filtered", "key", "address", "redirect", "busy", "passing", "credit"]
"""What is at fault: this request ("request", "filtered"), every request ("key", "address", "redirect"), the server
for a while ("busy", "passing"), or the account ("credit")."""

_STATUSES: dict[int, Meaning] = {
    401: "key",
    402: "credit",
    403: "key",
    404: "address",
    405: "address",
    407: "key",
    408: "passing",
    409: "passing",
    410: "address",
    425: "passing",
    429: "busy",
    451: "filtered",
    501: "address",
    503: "busy",
    505: "address",
    529: "busy",
}
_CODES = {"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached", "billing_not_active"}
_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|credit balance|out of credits?|not enough credits?"
)
_BILLING = re.compile(rf"{_CREDIT.pattern}|\bbilling\b|\bcredits?\b|\bcurrent quota\b|payment required")
_RATE = re.compile(r"per[ _-]?(?:second|minute|hour|day)|rate[ _-]?limit|retry in|retrydelay|\b[rt]p[md]\b")
_FILTER = re.compile(
    r"content[ _-]?(?:filter|policy|management)|responsible ?ai|moderation|usage polic|safety (?:system|filter|polic)"
    r"|input was flagged|flagged as"
)
_LOADING = re.compile(r"\bloading\b|\bstarting\b|warming up|not ready")
_LOOKED_AT = 4000  # characters of a body in which words are looked for
_LONGEST = 32 * 86400.0  # seconds; a Retry-After beyond a month of quota is a mistake


def meaning(error: Any) -> Meaning:
    """Return what an HTTP error of the openai client means."""
    status = error.status_code
    given: Meaning = _STATUSES.get(status, "redirect" if status < 400 else "passing" if status >= 500 else "request")
    said, codes = _said(error)
    if status in (400, 403, 422) and _FILTER.search(said):
        return "filtered"
    if codes & _CODES or (status == 400 and _CREDIT.search(said)):
        return "credit"
    limited = _RATE.search(said) or "retry-after" in error.response.headers
    if status in (403, 429) and not limited and _BILLING.search(said):
        return "credit"
    return given


def is_starting(error: Any) -> bool:
    """Return whether a server that refuses a call says that it is only starting, or when to call again."""
    return error.status_code in (429, 503, 529) and (
        error.status_code == 429 or "retry-after" in error.response.headers or bool(_LOADING.search(_said(error)[0]))
    )


def server_words(error: Any) -> str:
    """Return the message in the body of an HTTP error, shortened and without control characters; "" for none."""
    body = getattr(error, "body", None)
    for _ in range(2):
        if isinstance(body, Mapping):
            body = next((body[name] for name in ("message", "error", "detail") if body.get(name)), "")
    if isinstance(body, list):
        body = str(body)
    return plainly(body) if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def pause_asked(headers: Mapping[str, str]) -> float:
    """Return the seconds that a Retry-After header asks for, a number or a date; 0 if it says nothing sensible."""
    told = str(headers.get("retry-after") or "").strip()[:64]
    try:
        seconds = float(told)
    except ValueError:
        try:
            now = headers.get("date")  # the server's own clock, where it tells
            begun = parsedate_to_datetime(now).timestamp() if now else time.time()
            seconds = parsedate_to_datetime(told).timestamp() - begun
        except (ValueError, TypeError, IndexError, OverflowError, OSError):
            return 0.0
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST else 0.0


def remedy(error: Any, api_key_env: str) -> str:
    """Return what the user can do about an HTTP error."""
    kind, status = meaning(error), error.status_code
    if kind == "redirect":
        target = plainly(without_secrets(str(error.response.headers.get("location", ""))).partition("?")[0], 200)
        where = f"points to {target}" if target else "points elsewhere"
        return f"it {where}, and no redirect is followed, since prompts and key would go along; give the final URL"
    if kind == "key":
        return f"check the key in ${api_key_env}"
    if kind == "address":
        return "check the URL (it ends in /v1) and the model name"
    if kind == "credit":
        return "the account is out of credit: add some, and run the same command again"
    if status >= 500 or kind in ("busy", "passing"):
        return "the server failed; see its log"
    return "the server rejects this request; check the model name and its context length"


def _said(error: Any) -> tuple[str, set[str]]:
    """Return (the words of the body in lower case, its codes and types), from wherever servers put them."""
    body = getattr(error, "body", None)
    if isinstance(body, str):
        return body[:_LOOKED_AT].lower(), set()
    inner = body.get("error") if isinstance(body, Mapping) else None
    parts = [part for part in (body, inner) if isinstance(part, Mapping)]
    codes = {str(part.get(name)).lower() for part in parts for name in ("code", "type", "status") if part.get(name)}
    words = [value for part in parts for value in part.values() if isinstance(value, str)]
    return " ".join([*words, *sorted(codes)])[:_LOOKED_AT].lower(), codes
