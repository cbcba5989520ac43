import re

from cai_lite.records import Reply
from cai_lite.reporting.summary import summary
from cai_lite.run.ledger import Run
from tests.reporting.conftest import comparison, figure

RECIPE = """# Python 3.11, cai-lite 1.0
# constitution medical 1.1.0: d479327fcc5b2be2
student: {model: Qwen/Qwen2.5-7B-Instruct}
teacher: {model: Qwen/Qwen3-32B}
train: {method: dpo}
"""


def made(run_dir, evaluation, pairs=2):
    with Run(run_dir) as run:
        return summary(run, evaluation, pairs=pairs)


def test_it_says_what_was_trained_on_what_by_whom_and_when(run_dir, evaluation):
    (run_dir / "recipe.yaml").write_text(RECIPE)
    (run_dir / "training.json").write_text('{"method": "dpo"}')
    with Run(run_dir) as run:
        run.keep_replies("draft", "m", {"k": Reply(text="x")})
    page = made(run_dir, evaluation)
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", page))
    assert facts["student"] == "Qwen/Qwen2.5-7B-Instruct" and facts["teacher"] == facts["judge"] == "Qwen/Qwen3-32B"
    assert facts["method"] == "DPO (preference pairs)" and facts["trained on"] == "2 pairs"
    assert facts["constitution"] == "medical 1.1.0" and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d.* UTC", facts["when"])


def test_what_the_run_does_not_know_is_absent(run_dir, evaluation):
    (run_dir / "recipe.yaml").write_text("[no recipe of ours")
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", made(run_dir, evaluation, pairs=0)))
    assert set(facts) == {"student", "judge", "constitution"}


def test_the_verdict_has_the_colour_of_the_gates(run_dir, evaluation):
    assert "verdict-open" in made(run_dir, evaluation)
    evaluation["gates"] = [{"name": "adherence", "wanted": ">= 0.8", "found": 0.876, "holds": True}]
    assert "verdict-good" in made(run_dir, evaluation)
    evaluation["gates"][0]["holds"] = False
    assert "verdict-bad" in made(run_dir, evaluation)


def test_base_prompted_trained_and_teacher_stand_in_one_line(run_dir, evaluation):
    evaluation["metrics"] |= {
        "adherence_over_prompted": comparison(0.75, 0.876),
        "adherence_teacher": {"overall": figure(0.95)},
    }
    page = made(run_dir, evaluation)
    heads = re.findall(r'<th scope="col">([^<]*)', page)
    assert heads[:6] == ["", "base", "base, prompted", "trained", "teacher", "change"]
    for path, value in (("adherence_over_prompted.before", "0.75"), ("adherence_teacher", "0.95")):
        assert re.search(rf'data-path="{path}"[^>]*>{value}<', page)


def test_columns_that_were_not_measured_are_absent(run_dir, evaluation):
    heads = re.findall(r'<th scope="col">([^<]*)', made(run_dir, evaluation))
    assert heads == ["", "base", "trained", "change"]
    evaluation["metrics"] = {}
    assert "<table" not in made(run_dir, evaluation)
