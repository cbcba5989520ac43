"""Write HTML safely: every text is escaped unless it is `Html`."""

from __future__ import annotations

import html
from collections.abc import Iterable

from cai_lite.errors import plain

Part = object  # a text, a number, Html, None (nothing), or a list of these


class Html(str):
    """Markup that needs no escaping."""

    __slots__ = ()


def tag(name: str, /, *parts: Part, **attributes: object) -> Html:
    """Return <name attributes>parts</name>. `class_` stands for class; `_` in other names is written `-`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(parts)}</{name}>")


def join(parts: Iterable[Part]) -> Html:
    """Return the parts one after the other, escaped."""
    return Html("".join(_written(part) for part in parts))


def table(caption: str, head: Iterable[Part], rows: Iterable[Iterable[Part]]) -> Html:
    """Return a table that scrolls on a phone. The first cell of a row is its heading, the others are numbers."""
    body = [tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows]
    columns = tag("tr", *(tag("th", name, scope="col") for name in head))
    return tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", columns), tag("tbody", *body)),
        class_="scroll",
        tabindex=0,
    )


def _written(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Html):
        return part
    if isinstance(part, (list, tuple)):
        return join(part)
    return html.escape(plain(str(part)))
