import copy
import re

from cai_lite.reporting.card import card, write_card

HOSTILE = "evil\n---\nlicense: mit\n# Heading\n| a | b |\n[x](http://evil.example)<script>alert(1)</script>\x1b[2J"


def unharmed(text):
    """Whether nothing of HOSTILE became front matter, a heading, a row, a link or a tag."""
    text = re.sub("`[^`\n]*`", "", text)  # nothing in a code span is markup
    lines = text.splitlines()
    return (
        lines.count("---") == 2
        and not {"license: mit", "# Heading", "| a | b |"} & set(lines)
        and "](http:" not in text
        and "<script" not in text
        and "\x1b" not in text
    )


def test_the_card_has_the_numbers_of_the_evaluation_and_its_limits(run_dir, evaluation):
    text = write_card(run_dir).read_text()
    assert text.startswith("---\nbase_model: Qwen/Qwen2.5-7B-Instruct\n")
    assert "| kind-tone | 0.622 | 0.844 | +0.222 |" in text
    assert "0.885 [0.823, 0.948], n = 61" in text or "0.885 [0.822, 0.948], n = 61" in text
    assert "## Limits" in text


def test_toy_models_are_called_so_and_are_no_hub_model(evaluation):
    text = card({**evaluation, "against": "embedded:student"})
    assert "toy size" in text and "base_model" not in text


def test_without_an_adapter_there_is_no_card(tmp_path):
    assert write_card(tmp_path) is None


def test_names_inject_no_front_matter_and_no_markdown(evaluation):
    hostile = copy.deepcopy(evaluation)
    hostile |= {"against": f"a/{HOSTILE}", "constitution": HOSTILE, "judge": HOSTILE}
    hostile["metrics"]["adherence"]["principles"][HOSTILE] = evaluation["metrics"]["adherence"]["overall"]
    hostile["gates"] = [{"name": HOSTILE, "wanted": ">=0", "found": 1.0, "holds": True}]
    text = card(hostile)
    assert unharmed(text) and "base_model" not in text
    for against in ("a/b: c", "a/b\nlicense: mit", "../up", "https://u:pw@h/v1"):
        assert "base_model" not in card({**evaluation, "against": against})
