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
    `-- Stopped (RuntimeError)             stopped early on purpose (budget); the same command resumes; exit status 3

To add an error, derive it from the nearest parent and describe it here. A message says what was found, where, and how
to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sized
from typing import Any

SHOWN = 60  # characters of a value that a message shows


class CaiError(Exception):
    """The base class of all errors that cai_lite raises on purpose."""


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
    """The run stopped early on purpose; the same command resumes it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or `; known: ...` with all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
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
    text = repr(value) if len(value) <= SHOWN and all(isinstance(part, (str, int, float)) for part in value) else ""
    return text if 0 < len(text) <= SHOWN else f"{article} {kind} of {len(value):,}"
