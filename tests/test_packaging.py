"""The wheel holds all that a run needs, and works from any folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline from the files that git knows, so that nothing lying about gets in."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=repository, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-q",
        "-w",
        out,
        ".",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=source, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_code_data_and_models(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"cai_lite/py.typed", "cai_lite/cli/__init__.py"} <= names
    for folder in ("constitutions", "recipes"):
        for path in (repository / folder).rglob("*.*"):
            if path.parent.name == "results":  # measured figures are for readers of the repository
                continue
            assert f"cai_lite/_data/{path.relative_to(repository).as_posix()}" in names
    for model in ("teacher", "student"):
        files = [path.name for path in (repository / "cai_lite" / "embedded" / model).iterdir()]
        assert {f"cai_lite/embedded/{model}/{file}" for file in files} <= names
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert not [name for name in names if name.startswith("tests/")]


def test_the_unpacked_wheel_finds_its_data_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import cai_lite as cai\n"
        "recipe = cai.load_recipe('creative', profile='embedded')\n"
        "print(cai.__file__, recipe.prompts.file, cai.load_constitution('medical').path, sep='\\n')\n"
        "cai.load_prompts(recipe.prompts.file)\n"
    )
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "elsewhere", check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path / "site")) for line in done.stdout.splitlines())
