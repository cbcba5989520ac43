"""What the embedded teacher was trained for, and what not."""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.embedded.grammar import DOMAINS
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.records import Prompt


def untrained(constitution: Constitution) -> list[str]:
    """Ids of the principles that the teacher was not trained for: its verdicts on them mean nothing. Another wording of
    a known principle is unknown, too.
    """
    known = {
        load_constitution(name).principle(rule.id).text for name, domain in DOMAINS.items() for rule in domain.rules
    }
    return [principle.id for principle in constitution.principles if principle.text not in known]


def unknown_principles(constitution: Constitution, prompts: Sequence[Prompt]) -> list[str]:
    """Those of `untrained` that these prompts meet."""
    names = untrained(constitution)
    return [id_ for id_ in names if any(constitution.principle(id_).applies(prompt) for prompt in prompts)]
