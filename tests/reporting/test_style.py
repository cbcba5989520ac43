import re

from cai_lite.reporting.style import STYLE


def test_every_colour_has_a_dark_twin():
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")[:2]
    names = set(re.findall(r"--([a-z]+):", light))
    assert names == set(re.findall(r"--([a-z]+):", dark.split("}")[0]))
    assert set(re.findall(r"var\(--([a-z]+)\)", STYLE)) <= names | {"heat"}  # a number, written at each cell
