"""`cai-lite constitution new`: five principles from a few answers, which lint clean of errors."""

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.interview import IDS, interview, read_answers, written
from cai_lite.linting import lint

LINES = [
    "booking rooms, for guests of our hotel",
    "confirm the dates before a booking",
    *("Book me a room.", "Gladly. From which day to which?", "Done, see you soon!"),
    "Promise a refund",
    "",
    "say so and give the number of the front desk",
    "",
    "Politely name what it can help with",
    "",
    "in at most five sentences",
    "",
    "never, always",
]
FILE = """\
purpose: booking rooms
always: {text: confirm the dates, prompt: Book a room., good: From when to when}
never: promise a refund
cannot-help: say so
other-subjects: The assistant should name what it can help with.
form: Keep replies short.
first: [cannot-help, always]
"""


def answers(lines):
    given = iter(lines)
    return interview(lambda question: next(given), again=False)


def test_five_principles_with_examples_priorities_and_a_decided_conflict(tmp_path):
    path = tmp_path / "hotel.yaml"
    path.write_text(written(answers(LINES), "hotel"), encoding="utf-8")
    read = load_constitution(path)
    assert [(p.id, p.text, p.priority) for p in read.principles] == [
        ("always", "Always confirm the dates before a booking.", 2),
        ("never", "Never promise a refund.", 1),
        (
            "cannot-help",
            "When the answer is not known or the assistant cannot help, say so and give the number of the front desk.",
            3,
        ),
        ("other-subjects", "When a request is about something else, politely name what it can help with.", 4),
        ("form", "Write replies in at most five sentences.", 5),
    ]
    assert read.principles[0].examples[0].bad == "Done, see you soon!"
    assert [(c.between, c.prefer) for c in read.conflicts] == [(("never", "always"), "never")]
    assert read.description == "An assistant for this: booking rooms, for guests of our hotel."
    assert not [finding for finding in lint(read) if finding.level == "error"]


def test_an_answers_file_serves_as_well(tmp_path):
    (tmp_path / "a.yaml").write_text(FILE)
    made = CliRunner().invoke(
        app, ["constitution", "new", str(tmp_path / "my.yaml"), "--answers", str(tmp_path / "a.yaml")]
    )
    assert made.exit_code == 0, made.output
    read = load_constitution(tmp_path / "my.yaml")
    assert [p.id for p in sorted(read.principles, key=lambda p: p.priority)][:2] == ["cannot-help", "always"]
    assert read.principle("other-subjects").text == "The assistant should name what it can help with."


def test_answers_come_through_a_pipe_and_nothing_is_overwritten(tmp_path):
    target = tmp_path / "hotel.yaml"
    made = CliRunner().invoke(app, ["constitution", "new", str(target)], input="\n".join(LINES) + "\n")
    assert made.exit_code == 0 and load_constitution(target).name == "hotel", made.output
    before = target.read_text()
    again = CliRunner().invoke(app, ["constitution", "new", str(target)], input="\n".join(LINES) + "\n")
    assert again.exit_code == 2 and target.read_text() == before


def test_input_that_ends_early_leaves_nothing(tmp_path):
    ended = CliRunner().invoke(app, ["constitution", "new", str(tmp_path / "x")], input="booking\n")
    assert ended.exit_code == 2 and "the input ended at: What must it always do?" in ended.output
    assert not list(tmp_path.iterdir())


def test_at_a_terminal_an_empty_or_unknown_answer_is_asked_for_again():
    given = iter(["", *LINES[:-1], "everything", "form"])
    assert interview(lambda question: next(given), again=True)["first"] == "form"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("never: promise", "nevr: promise"), "a.yaml:3: unknown key 'nevr'"),
        (("never: promise a refund\n", ""), "no answer for 'never': What must it never do"),
        (("never: promise a refund", "never: 3"), "'never' should be a text"),
        (("good: From", "goood: From"), "'always' has the unknown key 'goood'"),
        ((", good: From when to when", ""), "the example of 'always' lacks 'good'"),
    ],
)
def test_a_faulty_answers_file_is_named(tmp_path, change, message):
    (tmp_path / "a.yaml").write_text(FILE.replace(*change))
    with pytest.raises(InputError, match=message):
        read_answers(tmp_path / "a.yaml")


def test_an_order_of_unknown_principles_is_refused():
    with pytest.raises(InputError, match=f"'nver' is none of {', '.join(IDS)}; did you mean 'never'"):
        answers([*LINES[:-1], "nver"])
