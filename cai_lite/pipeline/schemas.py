"""`cai-lite schema`: JSON Schemas of recipes and constitutions, for editors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.schema import Definitions, schema_of, written
from cai_lite.pipeline.recipe import Recipe


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file: "recipe" or "constitution".

    Raises:
        InputError: there is no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"there is no schema '{kind}'{did_you_mean(kind, KINDS)}; take {' or '.join(KINDS)}")
    return KINDS[kind]()


def _constitution() -> dict[str, Any]:
    return schema_of(Constitution, "A constitution of cai-lite")


def _recipe() -> dict[str, Any]:
    """Return the schema of a recipe with its profiles, which `load_recipe` takes out before the rest is built."""
    definitions = Definitions()
    root = definitions.section(Recipe)
    profile = definitions.section(Recipe, changes=True)
    definitions.found[Recipe.__name__]["properties"]["profiles"] = {
        "description": "Named sets of changes to the sections; --profile NAME applies one.",
        "type": ["object", "null"],
        "additionalProperties": profile,
    }
    return written("A recipe of cai-lite", root, definitions)


KINDS: dict[str, Callable[[], dict[str, Any]]] = {"recipe": _recipe, "constitution": _constitution}
