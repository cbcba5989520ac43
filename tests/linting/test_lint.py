"""The linter on planted faults and on clean principles that were written without a look at its rules."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import ConstitutionError
from cai_lite.inputs.checks import Checks
from cai_lite.inputs.constitution import Conflict, Constitution, Example, Principle, Silence, load_constitution
from cai_lite.linting import RULES, Finding, lint
from cai_lite.records import Message, Prompt

# Each was written without a look at the rules; see CONTRIBUTING.md for what was found on first sight.
SETS = {
    name: yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    for name in ("planted", "planted_second", "planted_third", "planted_fourth")
}
LATER = yaml.safe_load((Path(__file__).parent / "planted_fifth.yaml").read_text(encoding="utf-8"))["planted"]
PACKAGED = (
    "medical",
    "customer-service",
    "creative",
    "hipaa-privacy",
    "financial-advice",
    "legal-information",
    "helpful-honest-harmless",
)


def principle(row):
    checks = row.get("checks") or {}
    return Principle(
        id=row["id"],
        text=row["text"],
        priority=row.get("priority", 5),
        applies_to=tuple(row.get("applies_to", ())),
        checks=Checks(
            forbid=tuple(checks.get("forbid", ())),
            require_any=tuple(checks.get("require_any", ())),
            max_words=checks.get("max_words"),
        )
        if checks
        else None,
        examples=tuple(Example(**example) for example in row.get("examples", ())),
    )


def rules(*principles, **more):
    return {finding.rule for finding in lint(Constitution(name="c", principles=principles, **more))}


KINDS = {entry["kind"] for entry in SETS["planted"]["planted"]}


@pytest.fixture(params=SETS)
def planted(request):
    return SETS[request.param]


def test_the_test_sets_are_what_they_should_be(planted):
    kinds = Counter(entry["kind"] for entry in planted["planted"])
    assert len(kinds) == 10 and set(kinds.values()) == {6} and len(planted["clean"]) == 60
    assert kinds.keys() <= RULES.keys()


def test_at_least_55_of_60_planted_faults_are_found(planted):
    missed = [e for e in planted["planted"] if e["kind"] not in rules(*map(principle, e["principles"]))]
    assert len(missed) <= 5, [(e["kind"], [p["text"] for p in e["principles"]]) for e in missed]


def test_faults_planted_after_the_rules_are_found():
    missed = [e for e in LATER if e["kind"] not in rules(*map(principle, e["principles"]))]
    assert len(LATER) == 36 and len(missed) <= 3, missed


def test_at_most_one_of_twenty_clean_principles_is_blamed(planted):
    alarms = [(row["text"], found) for row in planted["clean"] if (found := rules(principle(row)) & KINDS)]
    assert len(alarms) <= 3, alarms


def test_clean_principles_of_one_constitution_do_not_blame_each_other(planted):
    together = Constitution(name="c", principles=tuple(map(principle, planted["clean"])))
    between = [f for f in lint(together) if f.rule in ("near-duplicate", "contradiction")]
    assert len(between) <= 3, between


@pytest.mark.parametrize("name", PACKAGED)
def test_the_packaged_constitutions_have_no_errors(name):
    assert [f for f in lint(load_constitution(name)) if f.level == "error"] == []


def test_findings_come_in_the_order_of_the_file_and_the_same_each_time():
    constitution = load_constitution("medical")
    found = lint(constitution)
    assert found == lint(constitution)
    assert [f.line for f in found] == sorted(f.line for f in found)


def test_forty_thousand_words_are_not_compared_pair_by_pair():
    """Sentences of the clean set, each made unlike the others by its numbers."""
    clean = [row["text"] for row in SETS["planted"]["clean"]]
    principles, words = [], 0
    while words < 40_000:
        number = len(principles)
        text = f"{clean[number % len(clean)].rstrip('.')}, as section{number} of part{number * 7919 % 1009} says."
        principles.append(Principle(id=f"p{number}", text=text))
        words += len(text.split())
    constitution = Constitution(name="c", principles=tuple(principles))
    lint(replace(constitution, principles=constitution.principles[:50]))  # what is compiled once
    begun = time.perf_counter()
    lint(constitution)
    assert time.perf_counter() - begun < 20  # a hang, not a speed: it takes about one


def test_a_conflict_that_is_decided_is_no_contradiction():
    one = Principle(id="one", text="Always name the price of the article.")
    other = Principle(id="other", text="Never name the price of the article.")
    assert "contradiction" in rules(one, other)
    assert "contradiction" not in rules(one, other, conflicts=(Conflict(between=("one", "other"), prefer="one"),))
    assert "contradiction" not in rules(replace(one, applies_to=("a",)), replace(other, applies_to=("b",)))


def test_different_priorities_break_a_tie():
    short = Principle(id="short", text="Answer in at most 50 words.")
    full = Principle(id="full", text="List every step of the repair.")
    assert "no-tie-break" in rules(short, full)
    assert "no-tie-break" not in rules(short, replace(full, priority=1))


def test_tags_that_no_prompt_bears_are_found_with_the_prompts():
    rule = Principle(id="a", text="Name the emergency number.", applies_to=("red-flags",))
    prompt = Prompt(key="p", messages=(Message("user", "hi"),), family="f", tags=("red-flag",))
    (finding,) = [f for f in lint(Constitution(principles=(rule,)), prompts=[prompt]) if f.rule == "unreachable"]
    assert "did you mean 'red-flag'" in finding.message
    two = (rule, replace(rule, id="b", applies_to=("red-flag",)))
    assert "unreachable" in rules(*two)


def test_a_missing_topic_of_a_known_domain_is_a_note():
    found = lint(Constitution(name="medical", principles=(Principle(id="kind", text="Thank the person."),)))
    topics = [f.message for f in found if f.rule == "missing-topic"]
    assert any("emergencies" in topic for topic in topics)
    assert all(f.level == "note" for f in found if f.rule == "missing-topic")


def test_a_silenced_rule_does_not_speak_and_an_idle_silence_does():
    vague = Principle(id="a", text="Give appropriate answers.")
    reason = {"reason": "the customer's own words"}
    assert "vague" in rules(vague)
    assert "vague" not in rules(vague, silence=(Silence(rule="vague", principle="a", **reason),))
    assert "silence" in rules(vague, silence=(Silence(rule="compound", **reason),))
    (finding,) = [
        f
        for f in lint(Constitution(principles=(vague,), silence=(Silence(rule="nope", **reason),)))
        if f.rule == "silence"
    ]
    assert finding.level == "error" and "not a rule" in finding.message


def test_a_silence_wants_a_reason_and_a_principle_that_is_there(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("principles: [{id: a, text: Say why.}]\nsilence:\n  - {rule: vague, reason: ''}\n")
    with pytest.raises(ConstitutionError, match=r"c\.yaml:3: .*'reason' is empty"):
        load_constitution(file)
    file.write_text("principles: [{id: a, text: Say why.}]\nsilence:\n  - {rule: vague, principle: b, reason: x}\n")
    with pytest.raises(ConstitutionError, match=r"c\.yaml:3: the silence names the unknown principle 'b'"):
        load_constitution(file)


def test_the_same_twice_is_found_however_short_it_is():
    assert "near-duplicate" in rules(Principle(id="a", text="Be kind."), Principle(id="b", text="Be kind."))
    assert "contradiction" in rules(Principle(id="a", text="Be polite."), Principle(id="b", text="Never be polite."))


def test_a_rule_that_is_added_from_outside_finds_and_is_silenced(monkeypatch, tmp_path):
    def shouting(subject):
        for principle in subject.constitution.principles:
            if principle.text.isupper():
                yield Finding(
                    line=principle.line,
                    rule="shouting",
                    level="warning",
                    principle=principle.id,
                    message="is written in capitals",
                    mend="write it in lower case",
                )

    monkeypatch.setitem(RULES, "shouting", shouting)
    loud = {"id": "kind", "text": "GREET THE USER BY NAME."}
    assert "shouting" in rules(principle(loud))
    silence = Silence(rule="shouting", principle="kind", reason="the client wants it so", line=1)
    assert "shouting" not in rules(principle(loud), silence=(silence,))
    file = tmp_path / "loud.yaml"
    file.write_text("name: loud\nprinciples:\n  - {id: kind, text: GREET THE USER BY NAME.}\n")
    shown = CliRunner().invoke(app, ["lint", str(file)])
    assert "shouting" in shown.output and "loud.yaml:3" in shown.output


def checked(*, forbid=(), require_any=(), good="Rest.", bad=""):
    example = Example(prompt="What now?", good=good, bad=bad)
    return Principle(
        id="one", text="Name no dose.", checks=Checks(forbid=forbid, require_any=require_any), examples=(example,)
    )


def misread(principle):
    return [f.message for f in lint(Constitution(name="c", principles=(principle,))) if f.rule == "misread-check"]


def test_a_pattern_that_swallows_the_negation_is_shown_with_a_sentence_that_it_misreads():
    (found,) = misread(checked(forbid=(r"[^.]*\b\d+ mg\b",), bad="Take 400 mg."))
    assert found == r"forbid '[^.]*\b\d+ mg\b' finds a violation in: Never say that Take 400 mg."
    assert not misread(checked(forbid=(r"\b\d+ mg\b",), bad="Take 400 mg."))


def test_a_requirement_that_a_denial_satisfies_is_shown():
    (found,) = misread(checked(require_any=(r".*\bhospital\b",), good="Go to the hospital."))
    assert "is satisfied by: Never say that Go to the hospital." in found
    assert not misread(checked(require_any=(r"\bhospital\b",), good="Go to the hospital."))


def test_a_pattern_without_an_example_is_tried_on_a_sample_of_what_it_matches():
    assert misread(checked(forbid=(r".*\byour (own )?fault\b",)))
    assert not misread(checked(forbid=(r"\byour (own )?fault\b",)))


def test_a_pattern_that_means_the_negation_or_a_question_is_left_in_peace():
    assert not misread(checked(require_any=(r"\b(not|never|no)\b",), good="That is not so."))
    assert not misread(checked(require_any=(r"\b(do|are)\b[^.!?]*\?",), good="Do you smoke?"))


def test_an_example_that_the_checks_cannot_decide_is_reported():
    principle = checked(require_any=(r"\bhospital\b",), good="Some people say that you need a hospital.")
    (found,) = [f for f in lint(Constitution(name="c", principles=(principle,))) if f.rule == "dead-check"]
    assert found.level == "warning" and "cannot decide the good reply of example 1" in found.message


def test_a_bad_example_that_only_denies_the_forbidden_words_is_accepted_with_the_reason():
    principle = checked(forbid=(r"\bhospital\b",), bad="You do not need a hospital.")
    (found,) = [f for f in lint(Constitution(name="c", principles=(principle,))) if f.rule == "dead-check"]
    assert found.level == "error" and r"it denies what forbid '\bhospital\b' matches" in found.message


@pytest.mark.parametrize("name", PACKAGED)
def test_the_checks_of_the_packaged_constitutions_read_denials(name):
    assert [f for f in lint(load_constitution(name)) if f.rule == "misread-check"] == []
