import pytest

from cai_lite.reporting.markdown import code, inline


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("best_over_worst", "best_over_worst"),
        ("a | b", r"a \| b"),
        ("[free](http://evil.example)", r"\[free\](http&#58;//evil.example)"),
        ("![x](y)", r"!\[x\](y)"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("www.evil.example", "www&#46;evil.example"),
        ("one\n---\nlicense: mit\n# two", "one --- license: mit # two"),
        ("---", r"\---"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("`code` *bold* __b__", r"\`code\` \*bold\* \_\_b\_\_"),
        ("https://u:pw@h", "https&#58;//\\*\\*\\*@h"),
        ("\x1b[31m", r"\\x1b\[31m"),
    ],
)
def test_a_name_is_text_and_never_markup(text, written):
    assert inline(text) == written


def test_a_code_span_cannot_be_left():
    assert code("a` <b> | c\n\n# d") == "`a' <b> \\| c # d`"
    assert code("") == ""
