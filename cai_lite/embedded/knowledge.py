"""Tell which principles the embedded teacher was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cai_lite.embedded.grammar import DOMAINS
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.records import Prompt


def untrained(constitution: Constitution) -> list[str]:
    """Return the ids of the principles that the embedded teacher was not trained on.

    Its verdicts on them are meaningless. A known principle in other words counts as unknown too.
    """
    known = _known()
    return [principle.id for principle in constitution.principles if principle.text not in known]


def unknown_principles(constitution: Constitution, prompts: Sequence[Prompt]) -> list[str]:
    """Return the ids of the `untrained` principles that apply to at least one of the prompts."""
    names = untrained(constitution)
    return [id_ for id_ in names if any(constitution.principle(id_).applies(prompt) for prompt in prompts)]


@lru_cache
def _known() -> frozenset[str]:
    """Return the texts of the principles that the embedded teacher was trained on."""
    packaged = {name: load_constitution(f"{name}-embedded") for name in DOMAINS}
    return frozenset(
        packaged[name].principle(rule.id).text for name, domain in DOMAINS.items() for rule in domain.rules
    )
