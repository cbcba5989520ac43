"""The two tiny models that travel in the package: `embedded:teacher` and `embedded:student`."""

from __future__ import annotations

from cai_lite.constitution import Constitution, load_constitution

TRAINED_ON = ("medical", "customer-service", "creative")


def unknown_principles(constitution: Constitution) -> list[str]:
    """Ids of the principles that the embedded teacher was not trained for: its verdicts on them mean nothing."""
    known = {principle.text for name in TRAINED_ON for principle in load_constitution(name).principles}
    return [principle.id for principle in constitution.principles if principle.text not in known]
