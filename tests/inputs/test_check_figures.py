"""The machine checks of the packaged constitutions on replies that people labelled."""

from collections import Counter

import pytest

from tests.inputs.check_figures import Figures, label_files, measured, on_public_replies, wrong

FALSE_ALARMS = 0.05  # the most, of the replies that keep a principle
FOUND = 0.4  # the least, of the replies that break one: a check that finds nothing is no evidence


@pytest.mark.parametrize("path", label_files(), ids=lambda path: path.stem)
def test_checks_raise_few_false_alarms_on_labelled_replies(path):
    found = sum(measured(path).values(), Figures())
    assert found.kept > 0
    assert found.false_alarm_rate <= FALSE_ALARMS, "\n".join(wrong(path))


@pytest.mark.parametrize("path", label_files(), ids=lambda path: path.stem)
def test_checks_find_violations_on_labelled_replies(path):
    found = sum(measured(path).values(), Figures())
    assert found.found >= FOUND * found.broken > 0


def test_public_replies_are_read(shared):
    found = {(source, id_): counts for source, id_, counts in on_public_replies(shared / "data")}
    assert found and all(isinstance(counts, Counter) and counts.total() > 40 for counts in found.values())
