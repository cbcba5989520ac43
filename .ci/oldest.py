"""Print the oldest version that pyproject.toml allows of each package: `python .ci/oldest.py [CONSTRAINTS]`.

Packages that the constraints file names already are left out.
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else ""
held = {Requirement(line).name for line in text.splitlines() if line and not line.startswith("#")}
for requirement in map(Requirement, project["dependencies"]):
    (floor,) = (part.version for part in requirement.specifier if part.operator == ">=")
    if requirement.name not in held:
        print(f"{requirement.name}=={floor}")
