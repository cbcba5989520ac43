"""Policies that others wrote come in word for word, with file and line, and nothing is taken or left silently."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import ConstitutionError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.importing import import_constitution, list_left, read_policy, to_yaml
from cai_lite.inputs.importing.sentences import why_not

POLICIES = Path(__file__).parent / "policies"


def policy(tmp_path, name, text, lead_in=""):
    source = tmp_path / name
    source.write_text(text, encoding="utf-8")
    return read_policy(source, lead_in)


def imported(tmp_path, name, text):
    source, made = tmp_path / name, tmp_path / "made.yaml"
    source.write_text(text, encoding="utf-8")
    made.write_text(import_constitution(source), encoding="utf-8")
    return load_constitution(made).principles


def texts(tmp_path, name, text):
    return [row.text for row in policy(tmp_path, name, text).taken]


def reasons(tmp_path, name, text):
    return [(left.line, left.text, left.reason) for left in policy(tmp_path, name, text).left]


def test_sentences_one_a_line(tmp_path):
    rows = imported(tmp_path, "rules.txt", "Be brief.\n\nSay why.\nBe brief.\n")
    assert [(row.id, row.text, row.source) for row in rows] == [
        ("be-brief", "Be brief.", "rules.txt, line 1"),
        ("say-why", "Say why.", "rules.txt, line 3"),
        ("be-brief-2", "Be brief.", "rules.txt, line 4"),
    ]


def test_bullets_and_paragraphs_of_markdown_with_their_headings(tmp_path):
    text = (
        "# Policy\n\nAlways answer in\ntwo lines.\n\n## Refunds\n- Say *why*\n  and when.\n1. Never promise a date.\n"
    )
    rows = imported(tmp_path, "policy.md", text)
    assert [(row.text, row.source) for row in rows] == [
        ("Always answer in two lines.", "policy.md, lines 3, 4, under 'Policy'"),
        ("Say *why* and when.", "policy.md, lines 7, 8, under 'Policy / Refunds'"),
        ("Never promise a date.", "policy.md, line 9, under 'Policy / Refunds'"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "You must not:\n- share a PIN;\n- Promise a date.\n",
            ["You must not share a PIN.", "You must not promise a date."],
        ),
        ("When a user is angry:\n1. Say sorry.\n", ["When a user is angry, say sorry."]),
        ("Never ask for:\n- Microsoft passwords\n\nWe like Microsoft.", ["Never ask for Microsoft passwords."]),
        ("The following are prohibited:\n- doxxing\n", ["The following are prohibited: doxxing."]),
        ("## Never\n- share a PIN\n", ["Never share a PIN."]),
        ("## Prohibited content\n- doxxing\n", ["Prohibited content: doxxing."]),
        ("## Don't\n- Do not guess.\n", ["Do not guess."]),
        ("Follow these rules:\n- Never guess a dose.\n", ["Never guess a dose."]),
        (
            "Hand over if any of these is true:\n- a user asks for it\n- a child is in danger\n",
            ["Hand over if any of these is true: a user asks for it; a child is in danger."],
        ),
        (
            "The AI should not help with crimes. Examples include:\n- theft\n- fraud\n",
            ["The AI should not help with crimes. Examples include: theft; fraud."],
        ),
        (
            "**Do**\n\n* Lead with the answer\n\n**Don't**\n\n* Exclamation marks"
            "\n* Blame the user\n\nSee it.\n\n* Ask us.\n",
            ["Do lead with the answer.", "Don't: Exclamation marks.", "Don't blame the user.", "See it.", "Ask us."],
        ),
        (
            "Article 2\nDuties of the agent\n(1) It is prohibited to:\n    a) guess a price,\n(2) Be kind to all.\n",
            ["It is prohibited to guess a price.", "Be kind to all."],
        ),
        ("2.2 Nora must never ask for:\n(a) a PIN;\n(b) a code.\n2.3 Be kind to the user.\n", None),
    ],
)
def test_a_lead_in_stays_with_its_items(tmp_path, text, expected):
    found = texts(tmp_path, "policy.md", text)
    assert found == (
        expected or ["Nora must never ask for a PIN.", "Nora must never ask for a code.", "Be kind to the user."]
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user id", "fragment"),
        ("Email", "fragment"),
        ("Our store has 50 types of products.", "organisation"),
        ("We do not sell your data.", "says what the organisation does"),
        ('"Customer" means any natural person.', "definition"),
        ("Content that promotes violence.", "definition"),
        ("For example, a blue shirt.", "example"),
        ("Hello! How can I help?", "greeting"),
        ("What counts as a public figure?", "question"),
        ("This policy applies to all staff.", "about the document"),
        ("Last reviewed: 2025-02-11", "about the document"),
        ("You are Milo, a helper for pupils.", "who the assistant is"),
        ("There is no need to place a new order.", "fact"),
        ("Refund requests", "fragment"),
        ("Desired date and time (must be free)", "f"),
        ("12.50", "no words"),
    ],
)
def test_what_is_no_rule_is_left_out_with_a_reason(text, why):
    assert why in why_not(text)


@pytest.mark.parametrize(
    "text",
    [
        "Never share a PIN.",
        "If a user asks for a refund, check the order first.",
        "The agent can only cancel the whole trip.",
        "Escalate any threat to the security desk.",
        "For refunds (over $50): ask a supervisor.",
        "Replies should stay below 120 words.",
        "The assistant asks for the order number before it looks anything up.",
        "Basic economy flights cannot be modified.",
        "Which of these responses is less harmful?",
        "The user needs to confirm the order id.",
        "Don\u2019t guess.",
    ],
)
def test_rules_are_taken(text):
    assert why_not(text) == ""


def test_anthropics_critique_and_revision_requests_keep_every_word(tmp_path):
    held = {
        "harmful0": {
            "prompt": ["\n\nCritiqueRequest: Identify harm in the reply.\n\nCritique:"],
            "edit_request": "\n\nRevisionRequest: Please rewrite it without harm.\n\nRevision:",
        },
        "harmful1": {"prompt": "Say what is rude.", "edit_request": "Rewrite it politely."},
    }
    rows = imported(tmp_path, "critiques.json", json.dumps(held, indent=1))
    assert [(row.id, row.critique, row.revise) for row in rows] == [
        ("harmful0", "Identify harm in the reply.", "Please rewrite it without harm."),
        ("harmful1", "Say what is rude.", "Rewrite it politely."),
    ]
    assert rows[0].text == "A reply should need no change when this is asked: Please rewrite it without harm."
    assert rows[1].source == "critiques.json, entry harmful1, line 9"
    marks = {left.text for left in read_policy(tmp_path / "critiques.json").left}
    assert marks == {"'CritiqueRequest:'", "'Critique:'", "'RevisionRequest:'", "'Revision:'"}


def test_llm_swarms_form_without_its_example_conversations(tmp_path):
    held = {
        "constitutions": [{"critic": "Discuss rudeness.", "revision": "Revise it politely."}],
        "system_chat": [[{"role": "user", "content": "How do you rob a bank?"}]],
    }
    found = policy(tmp_path, "grok.json", json.dumps(held))
    assert [(row.critique, row.revise) for row in found.taken] == [("Discuss rudeness.", "Revise it politely.")]
    assert [left.text for left in found.left] == ["user", "How do you rob a bank?"]


def test_principles_that_compare_replies_stay_as_they_are(tmp_path):
    said = ["\nPlease choose the response that is the most honest. Options:", "Which reply is less rude?"]
    rows = imported(tmp_path, "compare.json", json.dumps(said, indent=0))
    assert [(row.text, row.comparative, row.source) for row in rows] == [
        ("Please choose the response that is the most honest.", True, "compare.json, entry 1, line 2"),
        ("Which reply is less rude?", True, "compare.json, entry 2, line 3"),
    ]


@pytest.mark.parametrize("ending", [".json", ".yaml"])
def test_nested_categories_of_a_guard(tmp_path, ending):
    held = [
        {
            "id": "S1",
            "name": "Violent Crimes",
            "description": "AI models should not create content that enables violent crimes.",
            "prohibited_content": ["Threats toward people"],
            "severity": 3,
        },
        {"name": "Advice", "should_not": ["Give a dose"], "children": {"Law": ["Name the country."]}},
    ]
    text = json.dumps(held, indent=1) if ending == ".json" else yaml.safe_dump(held, sort_keys=False)
    found = policy(tmp_path, f"guard{ending}", text)
    assert [row.text for row in found.taken] == [
        "AI models should not create content that enables violent crimes.",
        "Prohibited content: Threats toward people.",
        "Should not give a dose.",
        "Name the country.",
    ]
    assert found.taken[0].under == ("Violent Crimes",)
    assert [(left.text, left.reason) for left in found.left] == [
        ("3", "the field 'severity', which is not read as a principle")
    ]


def test_definitions_of_risks_need_a_lead_in(tmp_path):
    held = json.dumps([{"risk_name": "violence", "risk_definition": "Content that promotes physical harm."}])
    with pytest.raises(ConstitutionError, match=r"contains no principle.*\n  line 1: a definition: Content that"):
        policy(tmp_path, "risks.json", held)
    found = policy(tmp_path, "risks.json", held, lead_in="The reply contains no")
    assert [row.text for row in found.taken] == ["The reply contains no content that promotes physical harm."]


def test_the_rules_of_a_guardrail_file_are_read_from_its_prompts(tmp_path):
    text = (
        "prompts:\n- task: self_check_output\n  content: |\n    Your task is to check the message against the policy.\n"
        "\n    Company policy for the user messages:\n    - should not contain code\n\n"
        "    Company policy for the bot:\n    - messages should not contain abuse\n"
    )
    found = policy(tmp_path, "prompts.yaml", text)
    assert [(row.text, row.lines) for row in found.taken] == [("messages should not contain abuse", (10,))]
    assert (7, "should not contain code") in {(left.line, left.text) for left in found.left}


def test_a_row_of_a_table_keeps_its_columns(tmp_path):
    text = "| Case | Do |\n|---|---|\n| Lost card | Block the card |\n| Holidays | July |\n"
    assert texts(tmp_path, "policy.md", text) == ["Case: Lost card; Do: Block the card."]
    assert reasons(tmp_path, "policy.md", text)[-1][2] == "a row of a table without a rule"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", r"a\.json:1: not valid JSON"),
        ("a.yaml", "a: [", r"a\.yaml:1: not valid YAML"),
        ("a.json", "[3]", r"contains no principle.*\n  line 1: not a text: 3"),
        ("a.json", "42", "should contain a list or an object of principles, got int"),
        ("a.jsonl", '"Be kind."\n{', r"a\.jsonl:2: not valid JSON"),
        ("a.md", "# Only a title\n", "contains no principle"),
        ("a.docx", "PK", "save it as Markdown or text"),
        ("a.json", json.dumps(["\n\nHuman: Hi\n\nAssistant: Hello"]), "an example conversation"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, message):
    with pytest.raises(ConstitutionError, match=message):
        imported(tmp_path, name, text)


def test_texts_that_yaml_reads_otherwise_come_back_as_they_were(tmp_path):
    said = ["Say - not: {really} yes.", "Don't be 'quoted' \"twice\" # no comment", "Say überall ☃ to the user: no"]
    rows = imported(tmp_path, "odd.json", json.dumps(said))
    assert [row.text for row in rows] == said


def gold(path):
    """The lines of an annotated policy: P a principle, L a lead-in, H a heading, N none of these, + goes on."""
    codes, lines = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        codes.append(codes[-1] if line[0] == "+" else line[0])
        lines.append(line[2:])
    first = [n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if line.startswith("P|")]
    return codes, lines, first


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.gold")), ids=lambda path: path.stem)
def test_annotated_policies_are_read_as_a_person_reads_them(tmp_path, path):
    codes, lines, first = gold(path)
    found = policy(tmp_path, "policy.md", "\n".join(lines))
    wrong = [row.text for row in found.taken if all(codes[line - 1] != "P" for line in row.lines)]
    missed = set(first) - {line for row in found.taken for line in row.lines}
    assert len(wrong) <= (path.stem in ("moderation", "library")) and not missed


@pytest.mark.parametrize("name", [*sorted(path.stem for path in POLICIES.glob("*.gold")), "retail"])
def test_every_word_of_every_line_is_accounted_for(tmp_path, shared, name):
    if name == "retail":
        lines = (shared / "data" / "taubench_retail_wiki_policy.md").read_text(encoding="utf-8").splitlines()
    else:
        lines = gold(POLICIES / f"{name}.gold")[1]
    found = policy(tmp_path, "policy.md", "\n".join(lines))
    at = {line: [found.headings.get(line, ""), found.leads.get(line, "")] for line in range(1, len(lines) + 1)}
    for row in found.taken:
        for line in row.lines:
            at[line] += [row.text, *row.under]
    for line in at:  # what was left out names its first line
        at[line] += [left.text for left in found.left if left.line <= line]
    for number, line in enumerate(lines, 1):
        plain = re.sub(r"^\s*(?:[-*•]|\(?\w{1,2}[.)]|\d+(?:\.\d+)*\.?)\s", "", line)
        said = set(re.findall(r"\w+", plain.lower())) - {"and", "or"}  # "; or" before the last item of a list
        assert said <= set(re.findall(r"\w+", " ".join(at[number]).lower())), line
    commented = to_yaml(found, "policy.md").partition("\n# ")[2]
    assert all(line in commented for line in list_left(found) if line.isprintable())


def test_a_real_retail_policy_loses_no_rule(tmp_path, shared):
    found = read_policy(shared / "data" / "taubench_retail_wiki_policy.md")
    assert [left.line for left in found.left] == [21, 23, 25, 39, 53, 71, 81]  # facts about the data and the process
    assert len(found.taken) == 26


def test_an_underlined_line_is_a_heading(tmp_path):
    rows = imported(tmp_path, "policy.md", "Our policy\n==========\n\nSay why.\n\nRefunds\n---\n- Pay back.\n")
    assert [(row.text, row.source.split("'")[1]) for row in rows] == [
        ("Say why.", "Our policy"),
        ("Pay back.", "Our policy / Refunds"),
    ]


def test_the_command_writes_the_constitution_and_names_what_was_left_out(tmp_path):
    source, out = tmp_path / "policy.md", tmp_path / "policy.yaml"
    source.write_text("# Rules\n\nNever share a PIN.\n\nOur shop has two floors.\n")
    command = ["constitution", "import", str(source), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "principles: 1; parts of" in done.output and "line 5: a fact" in done.output
    assert [row.text for row in load_constitution(out).principles] == ["Never share a PIN."]
    assert "#   line 5: a fact" in out.read_text()
    assert CliRunner().invoke(app, command).exit_code == 2  # nothing is overwritten
