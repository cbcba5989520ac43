"""The linter on policies as they are written: which of its findings their author would agree with.

`policies/labels.yaml` says of each finding whether it is right. Four policies were looked at while the rules were
written (`seen`); four were labelled before, and looked at now and then (`apart`); four were written after the rules
(`unseen`), which found 29 of 33 right on first sight. The labels come from the author of the rules; findings of
`no-example`, which are facts, do not count.
"""

import re
from pathlib import Path

import pytest
import yaml

from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.linting import lint

POLICIES = Path(__file__).parent / "policies"
LABELS = yaml.safe_load((POLICIES / "labels.yaml").read_text(encoding="utf-8"))


def judged(constitution, labels):
    """Return (level, right) of each finding; one that nobody has judged fails the test."""
    found = []
    for finding in lint(constitution):
        if finding.rule == "no-example":
            continue
        name = f"{finding.rule} {finding.principle}".strip()
        assert name in labels["right"] or name in labels["wrong"], f"judge '{name}': {finding.message}"
        found.append((finding.level, name in labels["right"]))
    return found


def precision(found):
    return sum(right for _, right in found) / len(found)


def share(part):
    names = [name for name, labels in LABELS.items() if labels["part"] == part]
    return [f for name in names for f in judged(load_constitution(POLICIES / f"{name}.yaml"), LABELS[name])]


@pytest.mark.parametrize("part", ["seen", "apart", "unseen"])
def test_three_of_four_findings_on_policies_are_right(part):
    found = share(part)
    assert len(found) >= 25 and precision(found) >= 0.75


def test_errors_on_policies_are_right():
    errors = [f for part in ("seen", "apart", "unseen") for f in share(part) if f[0] == "error"]
    assert errors and precision(errors) >= 0.85


def test_findings_on_a_real_policy_are_right(shared):
    """The retail policy of tau-bench, a principle for each bullet."""
    lines = (shared / "data" / "taubench_retail_wiki_policy.md").read_text(encoding="utf-8").splitlines()
    principles = tuple(
        Principle(id=f"l{number}", text=re.sub(r"^-\s*", "", line), line=number)
        for number, line in enumerate(lines, 1)
        if line.startswith("- ")
    )
    found = judged(Constitution(name="retail", principles=principles), LABELS["retail"])
    assert len(found) >= 15 and precision(found) >= 0.75
    assert not [level for level, _ in found if level == "error"]
