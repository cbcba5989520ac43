from cai_lite.run.progress import Screen


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
