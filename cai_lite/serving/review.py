"""The local page of a review: loopback only, one token for each person, nothing loaded from elsewhere.

The page itself holds nothing of the run and is served to anybody on this machine. Each token stands behind the `#` of
an address, which browsers keep to themselves, and comes back in a header, which no other site can send: so no request
is authorised by a cookie. A request whose `Host` is another name is refused, since a name may be pointed at this
machine (DNS rebinding).
"""

from __future__ import annotations

import json
import math
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cai_lite.errors import CaiError, InputError, MissingPackageError
from cai_lite.records import digest
from cai_lite.serving.review_items import Item
from cai_lite.serving.review_page import PAGE, SCRIPT, STYLE
from cai_lite.serving.reviewing import ASIDE, Decision, Review

HEADER = "x-review-token"
LARGEST = 8 << 20  # bytes of a request: an edited text of the largest length fits
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LETTERS = "abcdefghi"

Answer = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""What a path returns to a person, given their name and what they sent."""


def review_app(review: Review, tokens: Mapping[str, str], hosts: frozenset[str]) -> Any:
    """Return the ASGI application. `tokens`: the name of each person, by token. `hosts`: as `Host` may name this.

    Raises:
        MissingPackageError: starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise _missing() from error

    def static(text: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return Response(text, media_type=kind)

        return serve

    def guarded(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            given = request.headers.get(HEADER, "").encode()
            by = next((by for token, by in tokens.items() if secrets.compare_digest(given, token.encode())), None)
            if by is None:
                return JSONResponse({"error": "the address has no valid token; open the one that was printed"}, 403)
            body = bytearray()
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    return JSONResponse({"error": "the request is too large"}, 413)
            try:
                sent = json.loads(body or b"{}")
                if not isinstance(sent, dict):
                    raise ValueError
            except (ValueError, RecursionError):
                return JSONResponse({"error": "the request is no JSON object"}, 400)
            try:
                return Response(_json(answer(by, sent)), media_type="application/json")
            except CaiError as error:
                return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 500)

        return serve

    app = Starlette(
        routes=[
            Route("/", static(PAGE, "text/html")),
            Route("/page.js", static(SCRIPT, "text/javascript")),
            Route("/page.css", static(STYLE, "text/css")),
            *(Route(f"/{name}", guarded(answer), methods=["POST"]) for name, answer in answers_of(review).items()),
        ]
    )

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        if scope["type"] == "http":
            named = dict(scope["headers"])
            host, origin = named.get(b"host", b"").decode("latin-1"), named.get(b"origin", b"").decode("latin-1")
            if host not in hosts or (origin and origin.removeprefix("http://") not in hosts):
                await Response("not this host", 421)(scope, receive, with_headers)
                return
        await app(scope, receive, with_headers)

    return checked


def answers_of(review: Review) -> dict[str, Answer]:
    """Return what the page may ask for, by path: an item, a decision, or to take the last one back."""

    def item(by: str, sent: Mapping[str, Any]) -> dict[str, Any]:
        place = _number(sent, "at", default=-1)
        if place < 0:
            place = review.next_open(by) or 0
        return _shown(review, by, place)

    def decide(by: str, sent: Mapping[str, Any]) -> dict[str, Any]:
        key = _text(sent, "key")
        if key not in review.places:
            raise InputError("this item is not in the review; reload the page")
        place = review.places[key]
        decision = _decision(review, review.item(place), by, sent)
        refused = review.decide(decision)
        stay = not decision.choice
        following = place if stay else review.next_open(by, place)
        shown = _shown(review, by, place if following is None else following)
        return {"before": _shown(review, by, place), "item": shown, "note": refused, "finished": following is None}

    def undo(by: str, sent: Mapping[str, Any]) -> dict[str, Any]:
        restored = review.undo(by)
        if restored is None:
            raise InputError("nothing was decided since the page was started")
        return {"item": _shown(review, by, review.places[restored.item])}

    return {"item": item, "decide": decide, "undo": undo}


def serve(review: Review, people: list[str], *, port: int = 0, say: Callable[[str], None]) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C. `port`: 0 for any free one. `say`: gets the address of each person.

    Raises:
        MissingPackageError: starlette or uvicorn is not installed. InputError: the port is taken.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise _missing() from error
    tokens = {secrets.token_urlsafe(24): by for by in people}
    # With the protocol named, asyncio turns Nagle's algorithm off, which would hold each answer back for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()  # so that an address that was printed is never refused
        except (OSError, OverflowError) as error:
            raise InputError(f"--port {port}: {getattr(error, 'strerror', None) or error}") from None
        port = listening.getsockname()[1]
        app = review_app(review, tokens, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))
        settings = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        for token, by in tokens.items():
            say(f"{by}: http://127.0.0.1:{port}/#{token}")
        uvicorn.Server(settings).run([listening])


def _shown(review: Review, by: str, place: int) -> dict[str, Any]:
    """Return an item as the page gets it: nothing that leads somebody who has not decided yet."""
    item = review.item(place)
    order, mine = _order(item, by), review.of(item.key, by)
    choice: Any = mine.choice
    if choice in ("first", "second"):
        choice = LETTERS[order.index(int(choice == "second"))]
    return {
        "mode": review.mode,
        "at": place,
        "total": len(review.keys),
        "done": review.done(by),
        "by": by,
        "key": item.key,
        "prompt": [list(message) for message in item.prompt],
        "texts": [item.texts[i] for i in order],
        "principles": item.principles,
        "choice": choice,
        "confidence": mine.confidence,
        "ranks": [mine.ranks[i] for i in order] if mine.ranks else [],
        "edit": [order.index(mine.edit[0]), mine.edit[1]] if mine.edit else None,
        "judge": _judge(item, order) if mine.choice and mine.choice not in ASIDE else None,
    }


def _judge(item: Item, order: list[int]) -> list[str]:
    """Return what the judge said, in sentences, with the letters under which this person saw the texts."""
    if "keeps" in item.evidence:
        return [f"the judge says: {'keeps' if item.evidence['keeps'] else 'breaks'}"]
    if not item.evidence:
        return []
    p = item.evidence["p_first"]
    first, second = (LETTERS[order.index(i)].upper() for i in (0, 1))
    lines = ["the judge's verdicts could not be read" if p is None else f"{first} better than {second}: {p:.0%}"]
    for verdict in item.evidence["verdicts"]:
        share = verdict["choice"] if verdict["p_first"] is None else f"{first} {verdict['p_first']:.0%}"
        changed = ", changed with the order" if verdict["flipped"] else ""
        said = f": {verdict['text']}" if verdict["text"] else ""
        lines.append(f"{verdict['principle']} ({verdict['judge']}) {share}{changed}{said}")
    return lines


def _order(item: Item, by: str) -> list[int]:
    """Return the order in which somebody sees the texts, which their name and the item decide."""
    return sorted(range(len(item.texts)), key=lambda i: digest("shown", by, item.key, item.sources[i]))


def _decision(review: Review, item: Item, by: str, sent: Mapping[str, Any]) -> Decision:
    order, known = _order(item, by), review.of(item.key, by)
    choice = _text(sent, "choice")
    if choice in ("a", "b") and len(order) == 2:
        choice = ("first", "second")[order[LETTERS.index(choice)]]
    ranks = sent.get("ranks") or []
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        raise InputError("ranks should be a list of whole numbers")
    by_text = dict(zip(order, ranks, strict=False))
    edit = known.edit
    if sent.get("edit") is not None:
        place = _number(sent, "side")
        if not 0 <= place < len(order):
            raise InputError(f"there is no text {place} to edit")
        edit = order[place], _text(sent, "edit")
    confidence, looked = sent.get("confidence", 1.0), sent.get("seconds", 0.0)
    if not all(type(value) in (int, float) and math.isfinite(value) for value in (confidence, looked)):
        raise InputError("confidence and seconds should be numbers")
    return Decision(
        item=item.key,
        by=by,
        choice=choice or (known.choice if edit is not known.edit else ""),
        confidence=float(confidence),
        ranks=tuple(by_text[i] for i in range(len(ranks))) if len(by_text) == len(ranks) else tuple(ranks),
        edit=edit,
        hinted=sent.get("hinted") is True,
        seconds=round(min(max(float(looked), 0.0), 86400.0), 1),
    )


def _text(sent: Mapping[str, Any], name: str) -> str:
    value = sent.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"'{name}' should be a text")
    return value


def _number(sent: Mapping[str, Any], name: str, *, default: int = 0) -> int:
    value = sent.get(name, default)
    if type(value) is not int:
        raise InputError(f"'{name}' should be a whole number")
    return value


def _json(found: Any) -> bytes:
    """Return JSON in ASCII, so that half of a surrogate pair in a text of the run can be sent, too."""
    return json.dumps(found, ensure_ascii=True, default=list).encode()


def _missing() -> MissingPackageError:
    return MissingPackageError("the review page needs starlette and uvicorn: pip install 'cai-lite[review]'")
