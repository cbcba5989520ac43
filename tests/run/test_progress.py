import gc
import re
import sys
from types import SimpleNamespace

import pytest
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cai_lite.errors import UNSAFE
from cai_lite.run.progress import Bar, Pace, Screen, Terminal, tick_of

HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b1m\u202eb\u200b [red]c[/nothing]"


def logged(folder):
    """The lines of the log without their times."""
    return [line[20:] for line in (folder / "log.txt").read_text().splitlines()]


def test_stages_and_notices_are_in_the_log(tmp_path, capsys):
    with Screen(log=tmp_path / "log.txt") as screen:
        with screen.stage("draft") as tick:
            tick(3, 4)
        screen.say("a notice with [brackets] in it")
        screen.warn("mind this")
    assert logged(tmp_path) == ["draft: begins", "draft: 3 of 4", "a notice with [brackets] in it", "! mind this"]
    shown = capsys.readouterr().err
    assert "draft: 3 of 4" in shown and "[brackets]" in shown


def test_quiet_says_nothing_and_still_logs(tmp_path, capsys):
    with Screen(quiet=True, log=tmp_path / "log.txt") as screen:
        screen.say("hello")
    assert capsys.readouterr().err == "" and logged(tmp_path) == ["hello"]


def test_every_line_of_the_log_has_its_time(tmp_path):
    with Screen(quiet=True, log=tmp_path / "log.txt") as screen:
        screen.say("one\ntwo")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (one|two)", line) for line in lines) and len(lines) == 2


@pytest.fixture
def clock(monkeypatch):
    """Seconds on the clock of `Pace`, to be set."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("cai_lite.run.progress.time.monotonic", lambda: now.seconds)
    return now


def test_a_stage_says_how_far_it_is_each_minute_and_each_tenth_after_ten_seconds(clock):
    pace, said = Pace("draft"), []
    for second in range(0, 601):
        clock.seconds = 1000.0 + second
        if line := pace.line(2 * second, 2000):
            said.append((second, line))
    assert [second for second, _ in said] == [60, 100, 160, 200, 260, 300, 360, 400, 460, 500, 560, 600]
    assert said[1][1] == "draft: 200 of 2,000 (10%), about 15 min left"


def test_what_an_earlier_session_did_is_no_measure_of_the_time_left(clock):
    """900 of 1,000 were known at the start; 10 more took 60 s, so 90 more take 540 s."""
    pace = Pace("judge")
    assert pace.line(900, 1000) == ""
    clock.seconds += 60
    assert pace.line(910, 1000) == "judge: 910 of 1,000 (91%), about 9 min left"


def test_a_stage_that_is_done_and_a_short_one_say_nothing_in_between(clock):
    pace = Pace("draft")
    assert pace.line(0, 4) == pace.line(2, 4) == ""
    clock.seconds += 300
    assert pace.line(4, 4) == ""


def test_without_a_terminal_the_lines_of_a_stage_are_printed_and_logged(clock, tmp_path, capsys):
    with Screen(log=tmp_path / "log.txt") as screen, screen.stage("draft") as tick:
        tick(0, 1000)
        clock.seconds += 61
        tick(100, 1000)
        shown = capsys.readouterr().err
    assert "draft: 100 of 1,000 (10%), about 9 min left" in shown
    assert logged(tmp_path)[1] == "draft: 100 of 1,000 (10%), about 9 min left"


def test_a_bar_of_a_pipe_is_ten_lines_on_standard_error(capsys):
    tick = tick_of(True, "draft")
    for done in range(101):
        tick(done, 100)
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert shown.out == "" and len(lines) == 11
    assert lines[0] == "draft: 0 of 100" and lines[-1] == "draft: 100 of 100"


def test_a_bar_of_a_notebook_is_one_line_that_is_rewritten(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda line, raw: shown.append(line["text/plain"]))
    display = SimpleNamespace(display=lambda line, raw, display_id: shown.append(line["text/plain"]) or handle)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    bar = Bar("draft")
    bar.console.is_jupyter = True
    for done in range(3):
        bar(done, 2)
    assert shown == ["draft: 0 of 2", "draft: 1 of 2", "draft: 2 of 2"]


def test_a_bar_of_a_terminal_ends_with_its_stage_or_with_its_object():
    for last in (1, 2):
        bar = Bar("draft")
        bar.console._force_terminal = True
        for done in range(last + 1):
            bar(done, 2)
        live = bar._bars.live
        assert live.is_started == (last < 2)
        del bar
        gc.collect()
        assert not live.is_started


def test_a_tick_of_ones_own_is_called_and_none_shows_nothing():
    seen = []
    tick_of(lambda done, total: seen.append((done, total)), "draft")(1, 2)
    assert seen == [(1, 2)] and tick_of(None, "draft") is None and tick_of(False, "draft") is None


def test_escape_sequences_are_shown_and_not_obeyed_wherever_they_stand(tmp_path, capsys):
    terminal = Terminal()
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    tree = Tree(HOSTILE)
    tree.add(Text(HOSTILE))
    for shown in (HOSTILE, Text(HOSTILE), table, tree):
        terminal.print(shown, soft_wrap=True)
    with Screen(log=tmp_path / "log.txt") as screen:
        with screen.stage(HOSTILE) as tick:
            tick(1, 1)
        screen.say(HOSTILE)
        screen.warn(f"{HOSTILE} https://u:hunter2@h/v1")
    seen = capsys.readouterr()
    for text in (seen.out, seen.err, (tmp_path / "log.txt").read_text()):
        assert not UNSAFE.search(text) and r"\x1b[2J" in text and "hunter2" not in text
    assert "[red]c[/nothing]" in seen.out + seen.err
