"""Write Markdown safely: names and texts that models and files wrote become text, never markup."""

from __future__ import annotations

import re

from cai_lite.errors import plain, without_secrets


def inline(text: str) -> str:
    """Return the text on one line, to stand in a paragraph, a list or a table cell; nothing in it is markup."""
    line = " ".join(plain(without_secrets(text)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"[\\`*\[\]{}|~$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)
    line = re.sub(r"^(\d*)([-+=#.)])(?=[\s#=-]|$)", r"\1\\\2", line)  # a list, a heading or a rule
    return re.sub(r"\bwww\.", "www&#46;", line.replace("://", "&#58;//"), flags=re.I)  # no link is made of a URL


def code(text: str) -> str:
    """Return the text on one line as a code span, which may stand in a table cell as well."""
    line = " ".join(plain(without_secrets(text)).split()).replace("`", "'")
    return f"`{line}`".replace("|", "\\|") if line else ""
