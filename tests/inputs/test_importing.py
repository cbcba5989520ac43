"""Policies that others wrote come in whole, word for word, with file and line."""

import json
import re

import pytest
import yaml

from cai_lite.errors import ConstitutionError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.importing import import_constitution


def imported(tmp_path, name, text):
    source = tmp_path / name
    source.write_text(text, encoding="utf-8")
    made = tmp_path / "made.yaml"
    made.write_text(import_constitution(source), encoding="utf-8")
    return load_constitution(made).principles


def test_sentences_one_a_line(tmp_path):
    rows = imported(tmp_path, "rules.txt", "Be brief.\n\nSay why.\nBe brief.\n")
    assert [(row.id, row.text, row.source) for row in rows] == [
        ("be-brief", "Be brief.", "rules.txt, line 1"),
        ("say-why", "Say why.", "rules.txt, line 3"),
        ("be-brief-2", "Be brief.", "rules.txt, line 4"),
    ]


def test_bullets_and_paragraphs_of_markdown_with_their_headings(tmp_path):
    text = (
        "# Policy\n\nOne paragraph\nover two lines.\n\n## Refunds\n- First rule: say *why*\n  and when.\n1. Second.\n"
    )
    rows = imported(tmp_path, "policy.md", text)
    assert [(row.text, row.source) for row in rows] == [
        ("One paragraph over two lines.", "policy.md, line 3, under 'Policy'"),
        ("First rule: say *why* and when.", "policy.md, line 7, under 'Refunds'"),
        ("Second.", "policy.md, line 9, under 'Refunds'"),
    ]


def test_critique_and_revision_requests_by_name(tmp_path):
    held = {
        "harmful0": {"prompt": "Identify harm in the reply.", "edit_request": "Rewrite it without harm."},
        "harmful1": {"prompt": "Say what is rude.", "edit_request": "Rewrite it politely."},
    }
    rows = imported(tmp_path, "critiques.json", json.dumps(held, indent=1))
    assert [(row.id, row.critique, row.revise) for row in rows] == [
        ("harmful0", "Identify harm in the reply.", "Rewrite it without harm."),
        ("harmful1", "Say what is rude.", "Rewrite it politely."),
    ]
    assert rows[1].source == "critiques.json, entry harmful1, line 7"


def test_a_list_of_comparisons(tmp_path):
    rows = imported(tmp_path, "compare.json", json.dumps(["Which reply is less rude?", "Which is shorter?"], indent=0))
    assert [(row.text, row.source) for row in rows] == [
        ("Which reply is less rude?", "compare.json, entry 1, line 2"),
        ("Which is shorter?", "compare.json, entry 2, line 3"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", r"a\.json:1: not valid JSON"),
        ("a.json", "[3]", "should be a sentence, or an object with 'text'"),
        ("a.json", "42", "should contain a list or an object of principles, got int"),
        ("a.jsonl", '"Be kind."\n{', r"a\.jsonl:2: not valid JSON"),
        ("a.md", "# Only a title\n", "contains no principle"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, message):
    with pytest.raises(ConstitutionError, match=message):
        imported(tmp_path, name, text)


def test_texts_that_yaml_reads_otherwise_come_back_as_they_were(tmp_path):
    said = ["yes", "- not a bullet: {really}", "it's 'quoted' \"twice\" # no comment", "überall ☃", "3.50", "null"]
    rows = imported(tmp_path, "odd.json", json.dumps(said))
    assert [row.text for row in rows] == said


def test_a_real_retail_policy_comes_through_without_loss(tmp_path, shared):
    source = shared / "data" / "taubench_retail_wiki_policy.md"
    text = source.read_text(encoding="utf-8")
    document = yaml.safe_load(import_constitution(source))
    said = " ".join(row["text"] for row in document["principles"])
    headings = {re.search(r"under '(.*)'$", row["source"])[1] for row in document["principles"]}
    for line in text.splitlines():
        if title := re.match(r"#+ (.*)", line):
            assert title[1].strip() in headings or line.startswith("# "), line
        else:
            plain = re.sub(r"^\s*[-*] ", "", line).strip()
            assert plain in said, line
    for row in document["principles"]:
        number = int(re.search(r"line (\d+)", row["source"])[1])
        assert row["text"].split()[0] in text.splitlines()[number - 1]


def test_an_underlined_line_is_a_heading(tmp_path):
    rows = imported(tmp_path, "policy.md", "Our policy\n==========\n\nSay why.\n\nRefunds\n---\n- Pay back.\n")
    assert [(row.text, row.source.split("'")[1]) for row in rows] == [
        ("Say why.", "Our policy"),
        ("Pay back.", "Refunds"),
    ]
