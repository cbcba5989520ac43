"""The exam of the toy world: what its grammar has, verified by its oracle; what it lacks is named."""

import pytest

from cai_lite.distill.exam import exam_lines
from cai_lite.distill.exam_coverage import coverage
from cai_lite.distill.exam_kinds import KINDS
from cai_lite.embedded.exam import HAS, grammar_exam
from cai_lite.embedded.grammar import DOMAINS
from cai_lite.embedded.oracle import keeps
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle, load_constitution
from cai_lite.inputs.prompts import load_prompts


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_every_rule_of_the_grammar_has_prompts_that_test_it(domain, tmp_path):
    constitution = load_constitution(f"{domain}-embedded")
    known = grammar_exam(constitution, n=4, held_out=0.3)
    found = coverage(known)
    for rule in DOMAINS[domain].rules:
        assert found["principles"][rule.id]["allowed"] == found["principles"][rule.id]["register"] == 4
    by_id = {principle.id: principle for principle in constitution.principles}
    for row in known.prompts:
        assert keeps(domain, row.principle, row.prompt.text, "Yes.") is not None
        assert by_id[row.principle].applies(row.prompt) and row.side == "allowed"
    path = tmp_path / "exam.jsonl"
    path.write_text(exam_lines(known.prompts))
    report = load_prompts(path).report
    assert report["families_on_both_sides"] == report["contaminated"] == report["duplicates"] == 0
    assert report["train"] > report["held_out"] > 5


def test_what_the_grammar_lacks_is_named():
    found = coverage(grammar_exam(load_constitution("medical-embedded"), n=2))
    named = {(gap["principle"], gap["kind"]): gap for gap in found["gaps"]}
    assert {kind for principle, kind in named if not principle} == {kind.id for kind in KINDS} - set(HAS)
    assert "no rule" in named["explain-results", ""]["why"] and named["explain-results", ""]["do"]
    assert ("kind-tone", "denied") not in named  # told once, for the whole kind


def test_the_same_seed_writes_the_same_exam():
    constitution = load_constitution("creative-embedded")
    first, again = (exam_lines(grammar_exam(constitution, n=2).prompts) for _ in range(2))
    assert first == again != exam_lines(grammar_exam(constitution, n=2, seed=1).prompts)


def test_a_policy_of_the_real_world_is_refused():
    reworded = Constitution(name="medical", principles=(Principle(id="kind-tone", text="Be gentle with patients."),))
    for policy in (load_constitution("hipaa-privacy"), reworded):
        with pytest.raises(InputError, match="medical-embedded"):
            grammar_exam(policy)
