"""What the embedded teacher was trained for, and what not."""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.constitution import Constitution, load_constitution
from cai_lite.embedded.grammar import DOMAINS
from cai_lite.records import Prompt


def unknown_principles(constitution: Constitution, prompts: Sequence[Prompt]) -> list[str]:
    """Ids of the principles that these prompts meet and that the teacher was not trained for: its verdicts on them mean
    nothing. Another wording of a known principle is unknown, too.
    """
    known = {
        load_constitution(name).principle(rule.id).text for name, domain in DOMAINS.items() for rule in domain.rules
    }
    return [
        principle.id
        for principle in constitution.principles
        if principle.text not in known and any(principle.applies(prompt) for prompt in prompts)
    ]
