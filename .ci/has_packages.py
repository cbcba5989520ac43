"""Exit status 0 if this Python has all packages of pyproject.toml: `python .ci/has_packages.py [EXTRA ...]`."""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
for requirement in map(Requirement, wanted):
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        sys.exit(f"{requirement.name} is missing")
    if not requirement.specifier.contains(found, prereleases=True):
        sys.exit(f"{requirement} is wanted, {found} is installed")
