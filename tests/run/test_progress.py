from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cai_lite.errors import UNSAFE
from cai_lite.run.progress import Screen, Terminal

HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b1m\u202eb\u200b [red]c[/nothing]"


def test_stages_and_notices_are_in_the_log(tmp_path, capsys):
    with Screen(log=tmp_path / "log.txt") as screen:
        with screen.stage("draft") as tick:
            tick(3, 4)
        screen.say("a notice with [brackets] in it")
        screen.warn("mind this")
    assert (tmp_path / "log.txt").read_text() == "draft: 3 of 4\na notice with [brackets] in it\n! mind this\n"
    shown = capsys.readouterr().err
    assert "draft: 3 of 4" in shown and "[brackets]" in shown


def test_quiet_says_nothing_and_still_logs(tmp_path, capsys):
    with Screen(quiet=True, log=tmp_path / "log.txt") as screen:
        screen.say("hello")
    assert capsys.readouterr().err == "" and (tmp_path / "log.txt").read_text() == "hello\n"


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
