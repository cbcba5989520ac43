import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.chat.terminal import talk
from cai_lite.errors import UNSAFE
from cai_lite.records import Reply


@pytest.fixture
def said(monkeypatch):
    """A scripted model in place of the one that would be opened."""
    model = ScriptedModel(
        lambda r: Reply(text="", outcome="failed", fault="HTTP 500") if r.messages[-1].content == "fail" else "[b]hm"
    )
    monkeypatch.setattr("cai_lite.chat.terminal.open_model", lambda *args, **more: model)
    return model


def test_a_conversation_remembers_what_was_said(said, capsys):
    talk("x", adapter=None, name=None, load=None, questions=["one", "two"], max_tokens=8)
    assert [m.content for m in said.asked[1].messages] == ["one", "[b]hm", "two"]
    assert capsys.readouterr().out.count("[b]hm") == 2  # a reply is text, never markup


def test_a_fault_is_shown_as_what_it_is(said, capsys):
    talk("x", adapter=None, name=None, load=None, questions=["fail"], max_tokens=8)
    assert "failed: HTTP 500" in capsys.readouterr().out


def test_an_empty_line_ends_it(said, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *args: "")
    talk("x", adapter=None, name=None, load=None, questions=[], max_tokens=8)
    assert said.asked == []


def test_what_a_model_writes_is_shown_and_not_obeyed(monkeypatch, capsys):
    reply = "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202eno"
    monkeypatch.setattr("cai_lite.chat.terminal.open_model", lambda *args, **more: ScriptedModel(lambda r: reply))
    talk("x", adapter=None, name=None, load=None, questions=["hi"], max_tokens=8)
    shown = capsys.readouterr().out
    assert not UNSAFE.search(shown) and r"\x1b[2J" in shown and r"\u202eno" in shown
