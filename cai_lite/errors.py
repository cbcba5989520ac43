"""The exceptions that cai_lite raises. Each is also the builtin it refines, so `except ValueError` still works.

    CaiError
    |-- InputError (ValueError)            the user's input is invalid; nothing was written; exit status 2
    |   |-- ConstitutionError              a constitution file
    |   |-- RecipeError                    a recipe file or a --set override
    |   |-- PromptError                    a prompts file
    |   |-- PairError                      a preference file
    |   |-- ModelError                     a model that cannot be opened, or lacks a required feature
    |   `-- MissingPackageError (ImportError)   an optional package; names the `pip install` that adds it
    |-- RunBusyError (RuntimeError)        another process uses this run directory; exit status 2
    |-- ChatError (RuntimeError)           a model cannot be called at all (bad key, unknown model); exit status 3
    |-- TrainingError (RuntimeError)       training cannot continue (NaN, failed step-0 check); exit status 3
    |-- Stopped (RuntimeError)             stopped early: budget, credit, connection, faults; resumable; exit status 3
    `-- DiskError (OSError)                the disk is full, read-only or gone; the same command resumes; exit status 3

To add an error, derive it from the nearest parent and describe it here. A message says what was found, where, and how
to fix it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sized
from typing import Any

SHOWN = 60  # characters of a value that a message shows

_USER = re.compile(r"(?<=://)(?:[^/?#\s]*|[^/?#\s:]+:\S*)@")  # the second form: a password with a slash in it
_KEY = re.compile(r"([?&;](?:[\w.-]*(?:key|token|secret|passw|pwd|auth|sig|credential)[\w.-]*)=)[^&#;\s\"']+", re.I)

UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)"  # controls, without tab and line ends
    "|[\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"  # bidi, zero width
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"  # joiners, except inside of scripts and emoji
    "|[\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tags
)
"""Characters that a terminal obeys or does not show, so that a text could look like another one."""


class CaiError(Exception):
    """The base class of all errors that cai_lite raises on purpose. Its message shows no password of a URL."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class InputError(CaiError, ValueError):
    """The user's input is invalid. Use `at(file, line, message)` where the place is known."""

    @classmethod
    def at(cls, file: object, line: int | None, message: str) -> InputError:
        """Return an error whose message starts with its place, as compilers write it: `file:line: message`."""
        return cls(f"{file}:{line}: {message}" if line else f"{file}: {message}")


class ConstitutionError(InputError):
    """A constitution file is invalid."""


class RecipeError(InputError):
    """A recipe file, or a `--set` override, is invalid."""


class PromptError(InputError):
    """A prompts file is invalid."""


class PairError(InputError):
    """A preference file is invalid."""


class LabelError(InputError):
    """A file with people's labels of answers is invalid."""


class ModelError(InputError):
    """A model cannot be opened, or lacks a required feature."""


class MissingPackageError(InputError, ImportError):
    """An optional package is not installed."""


class RunBusyError(CaiError, RuntimeError):
    """Another process uses this run directory."""


class ChatError(CaiError, RuntimeError):
    """A model cannot be called at all: wrong key, unknown model, no server."""


class TrainingError(CaiError, RuntimeError):
    """Training cannot continue: NaN, or a check before the first step failed."""


class Stopped(CaiError, RuntimeError):
    """The run stopped early, on purpose or because a server answers no more for now; the same command resumes it."""


class DiskError(CaiError, OSError):
    """A file cannot be written: the disk is full, read-only or gone. The same command resumes the run."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or `; known: ...` with all of them."""
    known = sorted(known)
    initials = [name for name in known if "_" in name and "".join(part[:1] for part in name.split("_")) == word.lower()]
    near = initials or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"


def shortened(value: Any) -> str:
    """Return a value for a message: its repr if that is short, else its beginning, or its type and length."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}... ({len(value):,} characters)"
    if isinstance(value, (bool, int, float, type(None))):
        text = repr(value) if not isinstance(value, int) or value.bit_length() <= 4 * SHOWN else "a huge number"
        return text
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    if not isinstance(value, (list, tuple, dict, set, frozenset)):
        return f"{article} {kind}" + (f" of {len(value):,}" if isinstance(value, Sized) else "")
    parts = [*value, *(value.values() if isinstance(value, dict) else ())]
    simple = len(parts) <= SHOWN and all(isinstance(part, (str, int, float)) for part in parts)
    text = (
        repr(value)
        if simple and not any(isinstance(part, int) and part.bit_length() > 4 * SHOWN for part in parts)
        else ""
    )
    return text if 0 < len(text) <= SHOWN else f"{article} {kind} of {len(value):,}"


def plain(text: str) -> str:
    r"""Return the text with every control, bidi and zero-width character as a visible escape, such as `\x1b`.

    Everything that a model or a file wrote passes through here before it is printed or logged. Line feed and tab stay.
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def without_secrets(text: str) -> str:
    """Return the text with `***` in place of user, password and keys in every URL: `https://***@host/v1?api_key=***`."""
    return _KEY.sub(r"\1***", _USER.sub("***@", text))
