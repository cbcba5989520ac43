"""One tree of errors. Each is also the builtin that it refines, so `except ValueError` still works.

    CaiError
    |-- InputError (ValueError)            the user's input is wrong; nothing was written; exit status 2
    |   |-- ConstitutionError              a constitution file
    |   |-- RecipeError                    a recipe file or a --set override
    |   |-- PromptError                    a prompts file
    |   |-- PairError                      a preference file
    |   |-- ModelError                     a model that cannot be opened, or lacks what was asked of it
    |   `-- MissingPackageError (ImportError)   an optional package; says which `pip install` mends it
    |-- RunBusyError (RuntimeError)        another process works in this run directory; exit status 2
    |-- ChatError (RuntimeError)           a model cannot be asked at all (bad key, unknown model); exit status 3
    |-- TrainingError (RuntimeError)       training cannot go on (NaN, failed step-0 check); exit status 3
    `-- Stopped (RuntimeError)             stopped part-way on purpose (budget); the same command resumes; exit status 3

To add one: give it the nearest parent, and a sentence here. A message names what was found, where, and the mend.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CaiError(Exception):
    """The root of all errors that cai_lite raises on purpose."""


class InputError(CaiError, ValueError):
    """The user's input is wrong. Built with `at(file, line, field)` where the place is known."""

    @classmethod
    def at(cls, file: object, line: int | None, message: str) -> InputError:
        """The same error with its place in front, as compilers write it: `file:line: message`."""
        return cls(f"{file}:{line}: {message}" if line else f"{file}: {message}")


class ConstitutionError(InputError):
    """A constitution file is wrong."""


class RecipeError(InputError):
    """A recipe file, or a `--set` override, is wrong."""


class PromptError(InputError):
    """A prompts file is wrong."""


class PairError(InputError):
    """A preference file is wrong."""


class ModelError(InputError):
    """A model cannot be opened, or lacks what was asked of it."""


class MissingPackageError(InputError, ImportError):
    """An optional package is not installed."""


class RunBusyError(CaiError, RuntimeError):
    """Another process works in this run directory."""


class ChatError(CaiError, RuntimeError):
    """A model cannot be asked at all: wrong key, unknown model, no server."""


class TrainingError(CaiError, RuntimeError):
    """Training cannot go on: NaN, or a check before the first step failed."""


class Stopped(CaiError, RuntimeError):
    """Stopped part-way on purpose; the same command goes on from here."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, else the list of what is known."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
