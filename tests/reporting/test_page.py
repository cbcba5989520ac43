import base64
import hashlib
import json
import re
import time
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.evaluation.paths import figures, value_at
from cai_lite.inputs.pairs import load_pairs, save_pairs
from cai_lite.records import Message, PreferencePair, Reply
from cai_lite.reporting import report
from cai_lite.reporting.page import write_figure
from cai_lite.run.ledger import Run
from cai_lite.stats import Figure
from tests.reporting.conftest import answer_line


def test_every_number_on_the_page_is_that_of_the_evaluation(run_dir, evaluation):
    page, metrics = report(run_dir).read_text(), evaluation["metrics"]
    values = re.findall(r'data-path="([^"]+)"[^>]*>([^<]+)<', page)
    spans = re.findall(r'data-interval="([^"]+)"[^>]*>([^<]+) to ([^<]+)<', page)
    assert {path for path, _ in values} >= {"adherence.after", "adherence.kind-tone.change", "words.before"}
    for path, shown in values:
        close(shown, value_at(metrics, path))
    for path, low, high in spans:
        close(low, value_at(metrics, f"{path}.low"))
        close(high, value_at(metrics, f"{path}.high"))
    for path, figure in figures(metrics).items():  # and none is missing
        sides = [path] if isinstance(figure, Figure) else [f"{path}.{side}" for side in ("before", "after", "change")]
        assert set(sides) <= {shown for shown, _ in values}, path


def close(shown, wanted):
    """Whether a number on the page is the wanted one, rounded to its digits."""
    digits = len(shown.partition(".")[2])
    assert abs(float(shown.replace(",", "")) - wanted) <= 0.5001 * 10**-digits, (shown, wanted)


def test_text_of_a_model_is_text_and_never_markup(run_dir):
    page = report(run_dir).read_text()
    assert page.count("<script") == 1 and "<script>alert" not in page  # ours, which filters the pairs
    assert "<img" not in page and "A<b>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_loads_nothing_and_allows_its_own_script_alone(run_dir):
    page = report(run_dir).read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in page
    assert not re.search(r"<[^>]*\s(src|action)=", page) and not re.search(r"<[^>]*\son\w+=", page)
    assert set(re.findall(r'href="(.)', page)) == {"#"}
    assert "@import" not in page and "url(" not in page


def test_what_was_not_measured_is_absent(run_dir, evaluation):
    del evaluation["metrics"]["preference_accuracy"], evaluation["metrics"]["reliability"]
    (run_dir / "evaluation.json").write_text(json.dumps(evaluation))
    (run_dir / "metrics.jsonl").unlink()
    page = report(run_dir).read_text()
    for word in ("preference accuracy", "Judge reliability", "<h2>Training<"):
        assert word not in page


def test_a_loud_confound_is_called_one(run_dir):
    assert "the student may learn just that" in report(run_dir).read_text()


def test_pairs_alone_make_a_report(run_dir):
    (run_dir / "evaluation.json").unlink()
    page = report(run_dir).read_text()
    assert "2 of 2 pairs shown" in page and "margin too small" in page


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(InputError, match="not a run directory"):
        report(tmp_path)
    with Run(tmp_path) as run, pytest.raises(InputError, match="nothing to report yet"):
        report(run)


def test_ten_thousand_pairs_stay_small(run_dir):
    pairs = load_pairs(run_dir / "pairs.jsonl")
    save_pairs(run_dir / "pairs.jsonl", pairs * 5000)
    started = time.perf_counter()
    page = report(run_dir)
    assert page.stat().st_size < 2_000_000
    assert time.perf_counter() - started < 60  # a hang, not a speed
    assert "200 of 10,000 pairs shown" in page.read_text()


def test_an_alarm_is_marked_on_the_curves_and_told(run_dir):
    (run_dir / "log.txt").write_text("train: 5 of 5\n! step 3: warning: the log-probability fell\n")
    page = report(run_dir).read_text()
    assert page.count('class="alarm"') >= 4 and "step 3: the log-probability fell" in page


def test_held_out_numbers_stand_beside_those_of_training_and_a_warning_is_told(run_dir):
    metrics = run_dir / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines[1::2]:
        line["eval/loss"] = 0.4321
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run_dir / "log.txt").write_text("warning: the student has learnt next to nothing: raise it\n")
    page = report(run_dir).read_text()
    assert ">held out 0.432<" in page and "the student has learnt next to nothing: raise it" in page
    assert 'class="alarm"' not in page


def test_gates_stand_on_top_with_what_was_found(run_dir, evaluation):
    evaluation["gates"] = [{"name": "adherence", "wanted": ">= 0.9", "found": 0.876, "holds": False}]
    (run_dir / "evaluation.json").write_text(json.dumps(evaluation))
    page = report(run_dir).read_text()
    assert "Do not ship: 1 of 1 gates failed." in page and "gate FAILS: adherence &gt;= 0.9, is 0.876" in page


def test_conflicts_are_a_matrix_of_what_the_run_judged(run_dir):
    with Run(run_dir) as run:
        run.keep_rows(
            "verdict",
            [
                (f"{i}{p}", ("a", f"b{i}"), {"principle": p, "choice": choice, "p_first": 0.9})
                for i in range(4)
                for p, choice in (("kind", "first"), ("short", "first" if i else "second"))
            ],
        )
    page = report(run_dir).read_text()
    assert "Conflicts between principles" in page and ">25%<" in page


def test_runs_stand_beside_each_other_and_the_unbeaten_bear_a_star(run_dir, evaluation, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for principle in evaluation["metrics"]["adherence"]["principles"].values():
        principle["after"]["value"] -= 0.1
    (other / "evaluation.json").write_text(json.dumps(evaluation))
    page = report(run_dir, compare=[other]).read_text()
    assert f"{run_dir} *</th>" in page and f"{other}</th>" in page
    with pytest.raises(InputError, match=r"no evaluation\.json"):
        report(run_dir, compare=[tmp_path])


def test_ten_thousand_pairs_and_two_thousand_answers_take_little_time_and_room(run_dir):
    words = "Please see a doctor if it gets worse, and ask a pharmacist about the dose before you take it. " * 12
    pairs = load_pairs(run_dir / "pairs.jsonl")
    long = [replace(pairs[0], key=f"k{i}", chosen=(Message("assistant", f"{i} {words}"),)) for i in range(10_000)]
    save_pairs(run_dir / "pairs.jsonl", long)
    with (run_dir / "answers.jsonl").open("w") as file:
        for number in range(1000):
            for side, kept in (("before", number % 3 > 0), ("after", number % 2 > 0)):
                file.write(answer_line(number, side, f"{number} {words}", {"kind-tone": kept, "safety-net": True}))
    (run_dir / "dataset_card.md").write_text("The run wrote it already.")
    started = time.perf_counter()
    page = report(run_dir)
    assert page.stat().st_size <= 3_000_000
    assert time.perf_counter() - started < 60  # a hang, not a speed
    assert "120 of 1,000 prompts shown" in page.read_text()


def test_the_main_figure_stands_alone(run_dir, tmp_path):
    write_figure(run_dir, tmp_path / "figure.svg")
    drawn = ElementTree.fromstring((tmp_path / "figure.svg").read_text())
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "kind-tone" in texts and "+0.22" in texts


def test_hostile_strings_in_every_field_are_text(run_dir, evaluation):
    hostile = """<img src=x onerror="alert(1)">'"</script></details>\x1b[2J\u202e"""
    overall = evaluation["metrics"]["adherence"]["overall"]
    evaluation["metrics"]["adherence"]["principles"][hostile] = overall
    evaluation |= {"model": hostile, "against": hostile, "constitution": hostile, "judge": hostile}
    evaluation["gates"] = [{"name": hostile, "wanted": hostile, "found": 0.5, "holds": False}]
    (run_dir / "evaluation.json").write_text(json.dumps(evaluation))
    (run_dir / "recipe.yaml").write_text(hostile)
    (run_dir / "log.txt").write_text(f"! {hostile}\n")
    said = {"principle": hostile, "p_chosen": 0.9, "judge": hostile, "order": hostile, "text": hostile}
    pair = PreferencePair(
        prompt=(Message("user", hostile),),
        chosen=(Message("assistant", hostile),),
        rejected=(Message("assistant", "No."),),
        key=hostile,
        principle=hostile,
        rule=hostile,
        parents=(hostile, "other"),
        evidence={"verdicts": [said], "chosen_by": hostile, "rejected_by": hostile},
    )
    save_pairs(run_dir / "pairs.jsonl", [pair])
    with Run(run_dir) as run:
        run.count(hostile, {hostile: 1})
        run.keep_replies(hostile, hostile, {"k": Reply(text=hostile, fault=hostile)})
        run.keep_rows("critique", [("c", [hostile], {"principle": hostile, "violated": "yes", "text": hostile})])
    (run_dir / "answers.jsonl").write_text(
        answer_line(hostile, "before", hostile, {hostile: True}, [hostile])
        + answer_line(hostile, "after", hostile, {hostile: False}, [hostile])
    )
    page = report(run_dir).read_text()
    assert page.count("&lt;img src=x onerror=") > 30
    assert "<img" not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("<script") == page.count("</script>") == 1


def test_the_command_prints_the_figures_and_the_verdict_as_json(run_dir, evaluation):
    shown = CliRunner().invoke(app, ["report", str(run_dir), "--json"])
    found = json.loads(shown.stdout)
    assert found["evaluation"] == evaluation and found["decision"]["ship"] is None
    assert found["report"] == str(run_dir / "report.html")
