"""Take personal data out of a text before it is stored, by rules.

The rules find what has a form: mail addresses, numbers of phones, cards, accounts and machines, and long numbers. They
do not find names, places or illnesses told in words; patterns of one's own do, in a rules file:

    redact:
      record: '\\bMRN-\\d+\\b'            # is replaced by [record]
    tags:                                  # gives a conversation tags by its last question, where its log gives none
      red-flag: ['chest pain', 'slurred']
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.patterns import MEND, catastrophic
from cai_lite.inputs.yamlfile import Document, Keys, read_document
from cai_lite.records import Messages

_IBAN_LEAST, _IBAN_MOST = 15, 34
_NO_PHONE = re.compile(r"\d+\.\d+$|\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")
_FORMS: Mapping[str, str] = {
    "e-mail": r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "account": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b",
    "card": r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])",
    "address": r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)",
    "phone": r"(?<![\w.,+])(?:\+|\()?\d(?:[ ()./-]{0,2}\d){6,18}(?![\w]|[.,]\d)",
    "number": r"(?<![\w.,])\d{7,}(?![\w]|[.,]\d)",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is taken out of texts, and which tags a question gets. `redact`: patterns by what stands in their place."""

    redact: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    tags: Mapping[str, tuple[re.Pattern[str], ...]] = field(default_factory=dict)

    def redacted(self, text: str) -> str:
        """Return the text with `[e-mail]`, `[phone]` and so on in place of what the rules find, own patterns first."""
        for name, pattern in self.redact.items():
            text = pattern.sub(f"[{name}]", text)
        for name, pattern in _PATTERNS.items():
            text = pattern.sub(_replacing(name), text)
        return text

    def redacted_messages(self, messages: Messages) -> list[dict[str, str]]:
        """Return a conversation in the form of files, each message redacted."""
        return [{"role": message.role, "content": self.redacted(message.content)} for message in messages]

    def tags_of(self, question: str) -> tuple[str, ...]:
        """Return the tags of which a pattern is found in the question."""
        return tuple(tag for tag, patterns in self.tags.items() if any(one.search(question) for one in patterns))


def load_rules(path: Path) -> Rules:
    """Read a rules file.

    Raises:
        InputError: it cannot be read, or a key or pattern of it is wrong; the message has one line per fault.
    """
    document = read_document(path, InputError)
    faults: list[str] = []
    for key in document.data:
        if key not in ("redact", "tags"):
            faults.append(document.fault((key,), f"unknown key '{key}'{did_you_mean(str(key), ('redact', 'tags'))}"))
    redact = {
        name: _compiled(document, ("redact", name), pattern, 0, faults)
        for name, pattern in _section(document, "redact", faults).items()
    }
    tags = {}
    for name, patterns in _section(document, "tags", faults).items():
        given = patterns if isinstance(patterns, list) else [patterns]
        found = [_compiled(document, ("tags", name, i), one, re.IGNORECASE, faults) for i, one in enumerate(given)]
        tags[name] = tuple(one for one in found if one is not None)
    if faults:
        raise InputError("\n".join(faults))
    return Rules({name: one for name, one in redact.items() if one is not None}, tags)


def _section(document: Document, name: str, faults: list[str]) -> Mapping[str, Any]:
    section = document.data.get(name) or {}
    if not isinstance(section, dict):
        faults.append(document.fault((name,), f"'{name}' should consist of 'name: pattern' lines"))
        return {}
    return section


def _compiled(document: Document, keys: Keys, pattern: Any, flags: int, faults: list[str]) -> re.Pattern[str] | None:
    if not isinstance(pattern, str):
        faults.append(document.fault(keys, "a pattern should be a string; put it in quotation marks"))
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(pattern, flags)
    except (re.error, Warning, OverflowError, RecursionError) as wrong:
        faults.append(document.fault(keys, f"'{pattern[:80]}' is not a regular expression: {wrong}"))
        return None
    if why := catastrophic(pattern):
        faults.append(document.fault(keys, f"'{pattern[:80]}' can need exponential time: {why}; {MEND}"))
    elif compiled.search(""):
        faults.append(document.fault(keys, f"'{pattern[:80]}' matches every text, even an empty one"))
    return compiled


def _replacing(name: str) -> Callable[[re.Match[str]], str]:
    """Return what to put in place of a match: `[name]` for the longest beginning in whole words that is one."""
    holds = _HOLDS.get(name)

    def replaced(found: re.Match[str]) -> str:
        text = found[0]
        ends = [len(text), *(gap.start() for gap in reversed([*re.finditer(r"\W", text)]))]
        end = next((end for end in ends if end and (holds is None or holds(text[:end]))), 0)
        return f"[{name}]{text[end:]}" if end else text

    return replaced


def _is_account(text: str) -> bool:
    """Return whether the check digits of an IBAN are right (ISO 7064, modulo 97)."""
    plain = text.replace(" ", "")
    if not _IBAN_LEAST <= len(plain) <= _IBAN_MOST:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Return whether the check digit of a card number is right (Luhn)."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text)) and text.strip(":") != ""
    except ValueError:
        return False


def _is_phone(text: str) -> bool:
    """Return whether a number is written like a phone number: with a plus, a leading zero, or in groups."""
    enough = sum(char.isdigit() for char in text) >= 7
    return enough and not _NO_PHONE.match(text) and (text[0] in "+(0" or not text.isdigit())


_HOLDS: Mapping[str, Callable[[str], bool]] = {
    "account": _is_account,
    "card": _is_card,
    "address": _is_address,
    "phone": _is_phone,
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _FORMS.items()}
