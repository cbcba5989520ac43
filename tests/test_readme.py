"""The README runs as printed."""

import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_python_block_runs_as_printed(readme, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prompts = [
        {"prompt": f"I have had {what} since {when}. What should I do?"}
        for what in ("a headache", "back pain", "a cough")
        for when in ("Monday", "this morning", "last week", "my holiday")
    ]
    prompts = [
        {**row, "family": str(i), "split": "held_out" if i % 4 == 0 else "train"} for i, row in enumerate(prompts)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (code,) = [block for block in blocks(readme, "python") if "import cai_lite" in block]
    exec(compile(code, "README.md", "exec"), {})
    assert "'adherence'" in capsys.readouterr().out
    assert (tmp_path / "runs" / "first" / "adapter" / "adapter_config.json").exists()


def test_every_command_line_is_one_that_the_program_takes(readme):
    whole = [block.replace("\\\n", " ") for block in blocks(readme, "sh")]
    lines = [shlex.split(line, comments=True) for block in whole for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["cai-lite"]]
    assert len(commands) >= 3
    for words in commands:
        options = [word for word in words[1:] if word.startswith("--")]
        named = words[: 2 if words[0] in ("constitution", "prompts") else 1]
        shown = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        for option in options:
            assert option in shown, words


def test_make_has_the_targets_that_the_readme_names(readme, repository):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z-]+)", "\n".join(blocks(readme, "sh")), re.MULTILINE)
    assert set(targets) >= {"demo", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
