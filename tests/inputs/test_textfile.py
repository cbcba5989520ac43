"""Files of users: endless, broken, deep, huge or special ones end in an error with file and line."""

import os

import pytest

from cai_lite.errors import InputError
from cai_lite.inputs import textfile
from cai_lite.inputs.textfile import RowFault, check_regular, parse_json, path_of, read_lines, read_rows, read_text


def values(path):
    return [value for _, value in read_rows(path, InputError)]


@pytest.fixture
def write(tmp_path):
    def made(content):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        return path

    return made


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_and_byte_order_marks_are_read(write, end):
    path = write(b"\xef\xbb\xbf" + end.join([b"1", b"", b"\xef\xbb\xbf2", b'"\xe2\x80\xa8"']) + end)
    assert list(read_rows(path, InputError)) == [(1, 1), (3, 2), (4, "\u2028")]


def test_a_list_is_read_item_by_item_with_the_line_of_each(write):
    assert list(read_rows(write(b'[\n {"a": 1},\n\n {"a":\n2}, 3]\n'), InputError)) == [
        (2, {"a": 1}),
        (4, {"a": 2}),
        (5, 3),
    ]
    assert values(write(b" []")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2", r":1: not valid JSON: expected ',' or '\]'"),
        (b"[1,\n2 3]", r":2: not valid JSON: expected ',' or '\]'"),
        (b"[1,\n x]", ":2: not valid JSON: Expecting value at column 2"),
        (b"[1]\n[2]", r":1: there is more behind the JSON list"),
        (b"[" * 100_000, ":1: nested too deeply"),
        (b'1\n"\xff"', ":2: byte 0xff is not UTF-8"),
        (b"\xff\xfe1\0", ":1: byte 0xff is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_followed_is_an_error_with_its_line(write, content, message):
    with pytest.raises(InputError, match=rf"rows\.jsonl{message}"):
        values(write(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ("{" * 5 + '"a":' * 100_000, "not valid JSON"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "a number has 5,000 digits"),
        ('{"a": 1, "a": 2}', "the key 'a' appears twice"),
        ("1 2", "not valid JSON: Extra data at column 3"),
    ],
)
def test_a_line_that_is_no_row_is_a_fault(write, text, message):
    with pytest.raises(RowFault, match=message):
        parse_json(text)
    found = values(write(b"1\n" + text.encode()))
    assert isinstance(found[1], RowFault)


def test_an_endless_line_is_not_read_to_its_end(write, monkeypatch):
    monkeypatch.setattr(textfile, "LONGEST_LINE", 10)
    with pytest.raises(InputError, match=r":2: the line has more than 10 bytes"):
        list(read_lines(write(b"short\n" + b"x" * 100), InputError))


def test_special_files_are_refused_before_they_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link"):
        if path.name == "link":
            path.symlink_to("/dev/zero")
        with pytest.raises(InputError, match="is not a regular file"):
            check_regular(path, InputError)
    with pytest.raises(InputError, match="is a folder"):
        check_regular(tmp_path, InputError)
    with pytest.raises(InputError, match="no such file"):
        check_regular(tmp_path / "none", InputError)
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        check_regular(tmp_path / ("x" * 5000), InputError)


@pytest.mark.parametrize("name", ["", "a\0b", "a\ud800", "~nobody-of-this-name/x"])
def test_a_text_that_is_no_path_is_refused(name):
    with pytest.raises(InputError):
        path_of(name, InputError)


def test_a_document_that_is_far_too_large_is_refused(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="has 11 bytes, more than the 10 that"):
        read_text(tmp_path / "big", InputError, 10)
    assert read_text(tmp_path / "big", InputError, 11) == "x" * 11
