"""The order of the house: who may import whom, what stands where, which names are public."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import cai_lite

PACKAGE = Path(cai_lite.__file__).parent
REPOSITORY = PACKAGE.parent

# Floors from the ground up. A module may import only what stands on a lower floor, or in its own folder; two rooms of
# one floor never meet. What is not named here fails the test, so that a new module is given its place.
FLOORS: list[set[str]] = [
    {"errors", "records", "intervals", "stats"},
    {"run", "logps"},
    {"inputs", "chat"},
    {"linting"},
    {"distill", "training"},
    {"embedded", "bench"},
    {"evaluation"},
    {"reporting"},
    {"pipeline"},
    {"preflight", "serving"},
    {"cli"},
    {"__main__"},
]
LOOSE = ["errors", "records", "intervals", "stats"]  # the modules outside of rooms, each importing only earlier ones
MAY_IMPORT_TORCH = {"logps", "training", "embedded", "bench", "evaluation"}  # at module level
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "safetensors", "tokenizers"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if name in rooms]
    assert found, f"'{name}' has no floor: name it in FLOORS of tests/test_house.py"
    return found[0]


def imports(path: Path, *, module_level_only: bool = False) -> Iterator[tuple[int, str]]:
    """(line, full module name) of each import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if module_level_only and node in inside:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from cai_lite import x` names the room in what it takes.
            yield from (
                (node.lineno, f"{node.module}.{alias.name}" if node.module == "cai_lite" else node.module)
                for alias in node.names
            )


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    own = room(path)
    for line, name in imports(path):
        if name == "cai_lite":
            pytest.fail(f"{path}:{line}: the package imports its modules, not itself")
        if name.startswith("cai_lite."):
            other = name.split(".")[1]
            if own in LOOSE:
                assert other in LOOSE[: LOOSE.index(own)], f"{path}:{line}: {own} may not import {other}"
                continue
            assert other == own or floor(other) < floor(own), f"{path}:{line}: {own} may not import {other}"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_the_rooms_that_compute_import_torch_at_module_level(path: Path) -> None:
    if room(path) in MAY_IMPORT_TORCH:
        return
    for line, name in imports(path, module_level_only=True):
        assert name.split(".")[0] not in HEAVY, f"{path}:{line}: import {name} inside the function that uses it"


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in MODULES if path.parent != PACKAGE}), ids=lambda p: p.name
)
def test_modules_of_one_folder_do_not_import_each_other_in_a_ring(folder: Path) -> None:
    names = {path.stem: path for path in folder.glob("*.py")}
    prefix = f"cai_lite.{folder.relative_to(PACKAGE).as_posix().replace('/', '.')}."
    needs = {
        stem: {name.removeprefix(prefix).split(".")[0] for _, name in imports(path) if name.startswith(prefix)}
        & names.keys()
        for stem, path in names.items()
        if stem != "__init__"
    }
    while free := [stem for stem, others in needs.items() if not others & needs.keys()]:
        for stem in free:
            del needs[stem]
    assert not needs, f"a ring in {folder.name}: {needs}"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_every_module_can_be_imported(path: Path) -> None:
    if path.stem == "__main__":
        return
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    importlib.import_module(".".join(part for part in parts if part != "__init__"))


def test_everything_is_printed_through_the_one_console_that_escapes() -> None:
    """What models and files wrote reaches a terminal through `run.progress.Terminal` and `cli.shared.say` alone."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if path != PACKAGE / "run" / "progress.py":
            assert not re.search(r"(?<!\w)Console\(", text), f"{path}: use run.progress.Terminal, which escapes"
        if room(path) == "cli" and path.name != "shared.py":
            assert not re.search(r"typer\.echo\((?!plain)", text), f"{path}: use say or show_json of cli.shared"


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc", "tools"}
    assert not [path for path in MODULES if path.stem in drawers]


def test_a_public_name_is_the_same_object_after_every_module_is_imported() -> None:
    before = {name: getattr(cai_lite, name) for name in cai_lite.__all__}
    for path in MODULES:
        test_every_module_can_be_imported(path)
    for name, thing in before.items():
        assert getattr(cai_lite, name) is thing, f"cai_lite.{name} is {thing} first, then {getattr(cai_lite, name)}"


def test_the_public_names_are_named_once_and_documented() -> None:
    assert len(cai_lite.__all__) == len(set(cai_lite.__all__))
    assert set(cai_lite.__all__) <= set(dir(cai_lite))
    for name in cai_lite.__all__:
        thing = getattr(cai_lite, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, f"cai_lite.{name} has no docstring"


def test_importing_the_package_imports_neither_torch_nor_what_is_slow() -> None:
    slow = HEAVY | {"openai", "pydantic", "numpy"}
    program = f"import cai_lite, sys, json; print(json.dumps(sorted({slow!r} & sys.modules.keys())))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert json.loads(done.stdout) == []


def test_the_top_level_holds_what_the_design_names() -> None:
    if not (REPOSITORY / "pyproject.toml").is_file():
        pytest.skip("the package is installed, not a checkout")
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    folders = {"cai_lite", "constitutions", "recipes", "tests"}
    habits = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "MANIFEST.in"}
    assert not {name for name in top if not name.startswith(".")} - folders - habits


def test_every_folder_with_code_travels_in_the_wheel() -> None:
    if not (REPOSITORY / "pyproject.toml").is_file():
        pytest.skip("the package is installed, not a checkout")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = set(project["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(REPOSITORY).as_posix().replace("/", ".") for path in PACKAGE.rglob("*.py")}
    assert folders <= packaged


def test_every_package_that_is_imported_is_asked_for() -> None:
    if not (REPOSITORY / "pyproject.toml").is_file():
        pytest.skip("the package is installed, not a checkout")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    asked = {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in (*project["dependencies"], *extras)}
    module_of = {"pyyaml": "yaml"}
    comes_with = {"datasets": {"pyarrow"}, "torch": {"jinja2"}, "transformers": {"tokenizers", "huggingface_hub"}}
    known = {module_of.get(name, name) for name in asked} | {m for name in asked for m in comes_with.get(name, ())}
    for path in MODULES:
        for line, name in imports(path):
            top = name.split(".")[0]
            assert top in known | {"cai_lite"} or top in sys.stdlib_module_names, f"{path}:{line}: {top}"


def test_every_test_file_mirrors_a_module() -> None:
    if not (REPOSITORY / "tests").is_dir():
        pytest.skip("the package is installed, not a checkout")
    homes = {"house", "readme", "packaging"}  # tests of the whole
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        parts = path.relative_to(REPOSITORY / "tests").with_name(path.name.removeprefix("test_")).parts
        module = PACKAGE.joinpath(*parts)
        if len(parts) == 1 and module.stem in homes:
            continue
        assert module.is_file() or module.parent.is_dir(), f"{path}: no module {module}"
