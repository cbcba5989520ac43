import json

from typer.testing import CliRunner

from cai_lite.cli import app

FAULTY = """principles:
  - id: one
    text: Always name the price.
  - id: two
    text: Never name the price.
"""


def test_lint_exits_with_1_on_errors_alone(tmp_path):
    (tmp_path / "faulty.yaml").write_text(FAULTY)
    (tmp_path / "vague.yaml").write_text("principles: [{id: a, text: Give appropriate answers.}]\n")
    done = CliRunner().invoke(app, ["lint", str(tmp_path / "faulty.yaml")])
    assert done.exit_code == 1
    assert "faulty.yaml:4: error contradiction two: demands the opposite of 'one' (line 2)" in done.output
    done = CliRunner().invoke(app, ["lint", str(tmp_path / "vague.yaml"), "--json"])
    assert done.exit_code == 0
    assert {row["rule"] for row in json.loads(done.output)} == {"vague", "no-example"}


def test_a_file_that_is_no_constitution_exits_with_2(tmp_path):
    (tmp_path / "broken.yaml").write_text("principles: 3\n")
    done = CliRunner().invoke(app, ["lint", str(tmp_path / "broken.yaml")])
    assert done.exit_code == 2 and "broken.yaml:1" in done.output
