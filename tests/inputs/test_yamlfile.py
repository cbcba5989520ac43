from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from cai_lite.errors import InputError, RecipeError
from cai_lite.inputs.yamlfile import (
    FILE,
    LINE,
    build,
    dotted,
    find_packaged,
    packaged_files,
    parse_document,
    parse_value,
    read_document,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oven:
    degrees: float = 180.0
    fan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cake:
    name: str
    eggs: int = 2
    oven: Oven = field(default_factory=Oven)
    toppings: tuple[str, ...] = ()
    size: Literal["small", "large"] = "small"
    note: str | None = None
    from_: str = "home"
    line: int = field(default=0, metadata=LINE)

    def __post_init__(self) -> None:
        if self.eggs < 1:
            raise ValueError(f"'eggs' should be at least 1, got {self.eggs}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    cakes: tuple[Cake, ...]
    path: str = field(default="", metadata=FILE)


def read(text: str, cls: type = Cake) -> object:
    return build(parse_document(text, "cake.yaml", RecipeError), cls, RecipeError)


def faults(text: str, cls: type = Cake) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(text, cls)
    return str(caught.value).splitlines()


def test_a_section_becomes_its_dataclass_with_defaults_for_what_is_left_out() -> None:
    assert read("name: plum\noven: {degrees: 200}\ntoppings: [sugar, cream]\nfrom: here\nnote: null") == Cake(
        name="plum", oven=Oven(degrees=200.0), toppings=("sugar", "cream"), from_="here", line=1
    )


def test_each_item_of_a_list_knows_its_line_and_the_whole_its_file() -> None:
    book = read("# ours\ncakes:\n  - name: plum\n\n  - {name: nut}\n", Book)
    assert isinstance(book, Book)
    assert [cake.line for cake in book.cakes] == [3, 5]
    assert book.path == "cake.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\noven:\n  degrees: 5e-6",
            "cake.yaml:3: 'oven.degrees' should be a number, got text '5e-6' (YAML reads 5e-6 as text; write 5.0e-6)",
        ),
        (
            "name: a\noven: {degrees: 1.5e3}",
            "cake.yaml:2: 'oven.degrees' should be a number, got text '1.5e3' (YAML reads 1.5e3 as text; write 1.5e+3)",
        ),
        ("name: a\neggs: '2'", "cake.yaml:2: 'eggs' should be a whole number, got text '2' (remove the quotes)"),
        ("name: a\neggs: 2.5", "cake.yaml:2: 'eggs' should be a whole number, got number 2.5"),
        ("name: a\neggs: true", "cake.yaml:2: 'eggs' should be a whole number, got true"),
        ("name: 1.0", "cake.yaml:1: 'name' should be text, got number 1.0 (write it in quotes)"),
        (
            "name: no",
            "cake.yaml:1: 'name' should be text, got false "
            "(YAML reads yes, no, on and off as true and false; write it in quotes)",
        ),
        ("name:", "cake.yaml:1: 'name' should be text, got nothing (the value is missing)"),
        ("name: a\noven: {fan: 1}", "cake.yaml:2: 'oven.fan' should be true or false, got number 1"),
        ("name: a\noven: 200", "cake.yaml:2: 'oven' should be a section of 'key: value' lines, got number 200"),
        (
            "name: a\ntoppings: sugar",
            "cake.yaml:2: 'toppings' should be a list, got text 'sugar' (write [a, b], or one line '- a' per item)",
        ),
        ("name: a\ntoppings: [x, 3]", "cake.yaml:2: 'toppings[1]' should be text, got number 3 (write it in quotes)"),
        (
            "name: a\nsize: lage",
            "cake.yaml:2: 'size' should be one of small, large, got text 'lage' (did you mean 'large'?)",
        ),
        ("name: a\negs: 3", "cake.yaml:2: unknown key 'egs'; did you mean 'eggs'?"),
        ("name: a\noven:\n  fann: true", "cake.yaml:3: unknown key 'fann' in 'oven'; did you mean 'fan'?"),
        ("name: a\nline: 3", "cake.yaml:2: unknown key 'line'; known: eggs, from, name, note, oven, size, toppings"),
        ("eggs: 3", "cake.yaml:1: 'name' is missing"),
        ("name: a\n\neggs: 0", "cake.yaml:3: 'eggs' should be at least 1, got 0"),
        ("name: a\nname: b", "cake.yaml:2: 'name' appears twice, first on line 1; keep one"),
        ("name: !!python/name:os.system ''", "cake.yaml:1: 'name': the tag tag:yaml.org,2002:python/name:os.system"),
        ("a: &x 1\nb: *x", "cake.yaml:2: not valid YAML: anchors and aliases are not supported; write the value out"),
        ("name: !!bool foo", "cake.yaml:1: 'name': 'foo' is not a valid bool; quote it if it is text"),
        (
            "name: a\neggs: " + "9" * 30,
            "cake.yaml:2: 'eggs': the number 9999",
        ),
        ("name: a\neggs: " + "9" * 5000, "cake.yaml:2: 'eggs': '99999"),
        ("name: a\noven: {degrees: .nan}", "cake.yaml:2: 'oven.degrees' should be a finite number, got number nan"),
        ('name: "a\\0b"', "cake.yaml:1: 'name' contains the character NUL at character 2"),
        ('name: "\\ud800"', "cake.yaml:1: 'name' contains half of a surrogate pair (U+D800) at character 1"),
        ('name: "\\UFFFFFFFF"', "cake.yaml: not valid YAML: "),
        ("name: a\ntoppings: " + "[" * 5000, "cake.yaml:2: not valid YAML: nested more than 60 levels deep"),
        ("name: [a", "cake.yaml:1: not valid YAML: expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "cake.yaml:2: not valid YAML: but found another document"),
        ("", "cake.yaml: the file is empty"),
        ("# only a comment", "cake.yaml: the file is empty"),
        ("- a", "cake.yaml:1: the file should consist of 'key: value' lines, got a list"),
        ("name: a\x07", "cake.yaml: not valid YAML: unacceptable character #x0007"),
    ],
)
def test_a_fault_names_file_line_field_and_mend(text: str, message: str) -> None:
    assert faults(text)[0].startswith(message)


def test_all_faults_of_a_file_are_told_at_once() -> None:
    assert faults("nam: a\neggs: many\noven: {degrees: hot}") == [
        "cake.yaml:1: unknown key 'nam'; did you mean 'name'?",
        "cake.yaml:1: 'name' is missing",
        "cake.yaml:2: 'eggs' should be a whole number, got text 'many'",
        "cake.yaml:3: 'oven.degrees' should be a number, got text 'hot'",
    ]


def test_a_date_stays_the_text_it_was() -> None:
    assert read("name: 2026-11-01") == Cake(name="2026-11-01", line=1)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: plum\n")
    assert read_document(tmp_path / "a.yaml", InputError).data == {"name": "plum"}


def test_a_byte_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"name: a\nnote: caf\xe9\n")
    with pytest.raises(InputError, match=r"a\.yaml:2: byte 0xe9 is not UTF-8"):
        read_document(tmp_path / "a.yaml", InputError)


def test_an_option_of_the_command_line_takes_a_number_as_programmers_write_it() -> None:
    assert parse_value("5e-6", "--set x=5e-6", InputError) == 5e-6
    assert parse_value("[a, 2]", "--set", InputError) == ["a", 2]
    assert parse_value("", "--set", InputError) is None


def test_a_path_is_written_as_people_read_it() -> None:
    assert dotted(("principles", 2, "text")) == "principles[2].text"


def test_a_packaged_name_a_path_and_neither(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine")
    assert find_packaged("constitutions", str(tmp_path / "mine.yaml"), InputError) == tmp_path / "mine.yaml"
    assert find_packaged("constitutions", "medical", InputError) == packaged_files("constitutions")["medical"]
    with pytest.raises(
        InputError, match=r"'medicl' is neither a file nor a packaged constitution; did you mean 'medical'"
    ):
        find_packaged("constitutions", "medicl", InputError)
    with pytest.raises(InputError, match=r"other\.yaml: no such file"):
        find_packaged("constitutions", tmp_path / "other.yaml", InputError)
    with pytest.raises(InputError, match="is a folder; give a file"):
        find_packaged("constitutions", tmp_path, InputError)


def test_what_is_read_twice_is_nobody_elses():
    """The parsed text is kept, the data is not: who changes it changes it for himself."""
    first, second = (parse_document("name: a\nlist: [1]\n", "f", InputError).data for _ in range(2))
    first["list"].append(2)
    assert second == {"name": "a", "list": [1]}
