"""The monitor from end to end: alarms, resume, what is stored, and what a user gets wrong."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cai_lite as cai
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.cli import app
from cai_lite.errors import InputError, RunBusyError, Stopped
from cai_lite.inputs.constitution import load_constitution
from cai_lite.records import Reply
from cai_lite.run.ledger import Budget, lock_directory
from cai_lite.serving import monitoring

CONSTITUTION = """
name: mini
principles:
  - {id: kind, text: Be kind., checks: {forbid: ['\\bstupid\\b']}}
  - {id: help, text: Name help., applies_to: [crisis], checks: {require_any: [hotline]}}
  - {id: true-word, text: Tell the truth.}
"""
START = 1_760_000_000


@pytest.fixture
def policy(tmp_path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(CONSTITUTION)
    return path


def rows(n, change=None, seed=0, first=0, old=0.05, new=0.3):
    rng = random.Random(seed)
    for i in range(first, first + n):
        bad = rng.random() < (new if change is not None and i >= change else old)
        answer = f"You are stupid, ring 0151 1234567 ({i})." if bad else f"Fine, number {i}."
        question = f"Question {i} of ann{i}@mail.org about {rng.choice(['tax', 'rent', 'rash'])}?"
        yield {
            "id": f"r{i}",
            "created": START + 8 * i,
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        }


def write(path, some):
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in some)
    return path


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_planted_change_raises_the_alarm_and_all_is_written(tmp_path, policy):
    log = write(tmp_path / "log.jsonl", rows(3000, change=2000))
    found = cai.monitor(log, policy, baseline=1000, prometheus=tmp_path / "m.prom", failures=tmp_path / "fail.jsonl")
    (alarm,) = found.alarms
    assert alarm.principle == "kind" and alarm.alarm is not None and 2000 < alarm.alarm < 2300 and found.new == 1
    assert abs(alarm.began - 2000) < 100 and abs(alarm.since.value - 0.3) < 0.06
    assert 10_000 < found.per_day < 11_600 and not found.assumed  # one every eight seconds
    out = tmp_path / "log.jsonl.monitor"
    decisions = lines(out / "decisions.jsonl")
    assert len(decisions) == 3000 and decisions[0].keys() >= {"n", "key", "principle", "by", "verdict", "at"}
    broken = [one for one in decisions if one["verdict"] == "broken"]
    assert all(one["evidence"] == "stupid" and one["reason"] for one in broken) and len(broken) == alarm.broken
    page = (out / "monitor.html").read_text()
    assert "Alarm" in page and "default-src 'none'" in page and "<script" not in page
    metrics = (tmp_path / "m.prom").read_text()
    assert 'cai_lite_alarm{principle="kind",by="checks"} 1' in metrics
    assert f'cai_lite_decisions_total{{principle="kind",by="checks",verdict="broken"}} {len(broken)}' in metrics
    assert all(re.fullmatch(r"# (HELP|TYPE) .*|cai_lite_\w+(\{.*\})? [-+.e\d]+", line) for line in metrics.splitlines())
    assert (tmp_path / "fail.jsonl").is_file() and (tmp_path / "fail.seeds.jsonl").is_file()


def test_events_follow_the_semantic_conventions(tmp_path, policy):
    cai.monitor(write(tmp_path / "log.jsonl", rows(200)), policy)
    found = [
        record
        for line in lines(tmp_path / "log.jsonl.monitor" / "events.jsonl")
        for record in line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    ]
    assert found and {record["eventName"] for record in found} == {"gen_ai.evaluation.result"}
    attributes = {item["key"]: next(iter(item["value"].values())) for item in found[0]["attributes"]}
    assert attributes["gen_ai.evaluation.name"] == "kind" and attributes["gen_ai.evaluation.score.label"] == "fail"
    assert attributes["gen_ai.evaluation.score.value"] == 0.0 and attributes["gen_ai.response.id"].startswith("r")
    assert "stupid" in attributes["gen_ai.evaluation.explanation"]


def test_nothing_personal_is_stored(tmp_path, policy):
    write(tmp_path / "log.jsonl", rows(400, old=0.5))
    append(tmp_path / "log.jsonl", '{"secret": "ann@mail.org"\n')
    judge = ScriptedModel(lambda request: "no, ann7@mail.org called 0151 1234567")
    cai.monitor(tmp_path / "log.jsonl", policy, judge=judge, sample=0.2, failures=tmp_path / "fail.jsonl")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "log.jsonl":
            text = path.read_text()
            assert "mail.org" not in text and "1234567" not in text and "secret" not in text, path
    assert "[e-mail]" in (tmp_path / "fail.jsonl").read_text()


def test_read_in_parts_and_after_kills_it_comes_to_the_same(tmp_path, policy, monkeypatch):
    everything = list(rows(3000, change=2200))
    write(tmp_path / "whole.jsonl", everything)
    whole = cai.monitor(tmp_path / "whole.jsonl", policy, baseline=800)
    log, out = tmp_path / "log.jsonl", tmp_path / "log.jsonl.monitor"
    written = monitoring.write_text
    for place in range(0, 3000, 1000):
        write(log, everything[place : place + 1000])

        def killed(path, text):
            if path.name == "state.json":
                raise KeyboardInterrupt
            written(path, text)

        monkeypatch.setattr(monitoring, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            cai.monitor(log, policy, baseline=800)
        monkeypatch.setattr(monitoring, "write_text", written)
        part = cai.monitor(log, policy, baseline=800)
    (one,), (other,) = whole.alarms, part.alarms
    assert (one.alarm, one.began, one.n, one.broken, one.series) == (
        other.alarm,
        other.began,
        other.n,
        other.broken,
        other.series,
    )
    assert [d["key"] for d in lines(out / "decisions.jsonl")] == [
        d["key"] for d in lines(tmp_path / "whole.jsonl.monitor" / "decisions.jsonl")
    ]
    again = cai.monitor(log, policy, baseline=800)
    assert again.conversations == 3000 and again.new == 0 and len(again.alarms) == 1


def test_accepted_the_new_rate_is_the_baseline(tmp_path, policy):
    log = write(tmp_path / "log.jsonl", rows(1500, change=800))
    assert cai.monitor(log, policy, baseline=500).alarms
    assert not cai.monitor(log, policy, baseline=500, accept=True).alarms
    write(log, rows(1500, change=0, first=1500))
    found = cai.monitor(log, policy, baseline=500)
    assert not found.alarms and abs(found.rates[0].baseline.value - 0.3) < 0.05
    write(log, rows(500, change=0, new=0.7, first=3000))
    assert cai.monitor(log, policy, baseline=500).alarms


def test_tags_come_from_the_log_or_from_rules(tmp_path, policy):
    some = [
        {"prompt": "I feel so low", "answer": "Ring a friend and sleep well.", "tags": tags}
        for tags in ([], ["crisis"])
    ]
    rates = {rate.principle: rate for rate in cai.monitor(some, policy).rates}
    assert (rates["help"].n, rates["help"].broken) == (1, 1)
    (tmp_path / "rules.yaml").write_text("tags: {crisis: ['feel so low']}")
    rates = {rate.principle: rate for rate in cai.monitor(some, policy, rules=tmp_path / "rules.yaml").rates}
    assert rates["help"].n == 2 and rates["help"].tags["crisis"] == (2, 2)
    assert not (tmp_path / "mini.yaml.monitor").exists()


def test_a_judge_has_rates_of_its_own_and_what_is_not_watched_is_said(policy):
    some = list(rows(600))
    found = cai.monitor(some, policy)
    assert any("only a judge could decide them: true-word" in note for note in found.notes)
    assert any("no alarm is possible yet" in note for note in found.notes)
    assert any("apply to (does the log have tags?): help" in note for note in found.notes)
    judged = cai.monitor(some, policy, judge=ScriptedModel(lambda _: "yes"), sample=0.25)
    by_judge = {rate.principle: rate.n for rate in judged.rates if rate.by == "judge"}
    assert 100 < by_judge["true-word"] == by_judge["kind"] < 200 and by_judge["help"] == 0


def test_a_run_gives_the_baseline_by_the_same_decider(tmp_path, policy):
    run = tmp_path / "run"
    run.mkdir()
    figure = {"value": 0.95, "n": 400, "low": 0.92, "high": 0.97}
    evaluation = {"model": "m", "against": "b", "constitution": "mini", "judge": "j", "seed": 0}
    metrics = {"adherence_checks": {"principles": {"kind": {"before": figure, "after": figure, "change": figure}}}}
    (run / "evaluation.json").write_text(json.dumps({**evaluation, "metrics": metrics}))
    steady = cai.monitor(list(rows(4000)), policy, run=run)
    assert not steady.alarms and steady.rates[0].baseline.high == pytest.approx(0.08)
    worse = cai.monitor(list(rows(1000, change=0)), policy, run=run)  # no baseline of its own is needed
    assert worse.alarms[0].alarm < 300
    (run / "evaluation.json").write_text(json.dumps({**evaluation, "metrics": {}}))
    with pytest.raises(InputError, match="no adherence by machine checks"):
        cai.monitor(list(rows(10)), policy, run=run)


def test_follow_waits_for_lines_and_ends_at_the_alarm(tmp_path, policy, monkeypatch):
    monkeypatch.setattr(monitoring, "POLL", 0.01)
    log = write(tmp_path / "log.jsonl", rows(1500))
    half = json.dumps(next(rows(1, first=1500)))
    append(log, half[:40])

    def later():
        time.sleep(0.2)
        append(log, half[40:] + "\n")
        write(log, rows(1500, change=0, first=1501))

    writer = threading.Thread(target=later)
    writer.start()
    found = cai.monitor(log, policy, baseline=1000, follow=True)
    writer.join()
    assert found.new == 1 and found.alarms[0].alarm > 1500 and not found.set_aside


def test_a_judge_whose_budget_is_spent_keeps_what_was_decided(tmp_path, policy):
    log = write(tmp_path / "log.jsonl", rows(900))
    judge = ScriptedModel(lambda _: Reply(text="yes", tokens_in=10, tokens_out=1))
    words = {"judge": judge, "sample": 0.5}
    with pytest.raises(Stopped, match="budget"):
        cai.monitor(log, policy, **words, budget=Budget(max_tokens=5000))
    done = len(judge.asked)
    kept = len(lines(tmp_path / "log.jsonl.monitor" / "decisions.jsonl"))
    found = cai.monitor(log, policy, **words)
    assert found.conversations == 900 and kept > 100
    by_judge = sum(rate.n for rate in found.rates if rate.by == "judge")
    assert done + len(judge.asked[done:]) - by_judge < 2 * 200  # at most a chunk is asked twice
    with pytest.raises(InputError, match="other principles or deciders"):
        cai.monitor(log, policy, judge=ScriptedModel(lambda _: "yes", name="other"), sample=0.5)


def test_an_evaluation_that_was_recorded_can_be_watched_as_a_log(tmp_path, policy):
    row = {"prompt": [{"role": "user", "content": "Hi?"}], "family": "f", "tags": [], "verdicts": {}}
    sides = [
        {**row, "key": f"{side}{i}", "side": side, "answer": "stupid"} for i in range(5) for side in ("before", "after")
    ]
    found = cai.monitor(sides, policy)
    assert (found.conversations, found.other) == (5, 5)


def test_hostile_texts_stay_texts_on_the_page(tmp_path, policy):
    evil = "<script>alert(1)</script>\x1b[31m\u202e"
    some = [
        {"prompt": f"{evil} {i}", "answer": "stupid", "tags": [evil, "ann@mail.org"], "family": evil} for i in range(30)
    ]
    write(tmp_path / "log.jsonl", some)
    cai.monitor(tmp_path / "log.jsonl", policy)
    page = (tmp_path / "log.jsonl.monitor" / "monitor.html").read_text()
    assert "mail.org" not in page + (tmp_path / "log.jsonl.monitor" / "state.json").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "\x1b" not in page and "\u202e" not in page


def run(*words):
    return CliRunner().invoke(app, ["monitor", *map(str, words)])


def test_the_command_shows_a_table_and_ends_with_1_while_an_alarm_stands(tmp_path, policy):
    log = write(tmp_path / "log.jsonl", rows(1500))
    calm = run(log, "--constitution", policy, "--baseline", 500)
    assert run(log, "--constitution", policy, "--baseline", 500, "--failures", tmp_path / "f.jsonl").exit_code == 0
    assert calm.exit_code == 0 and "kind" in calm.output and "At most one false alarm a year" in calm.output
    write(log, rows(500, change=0, first=1500))
    loud = run(log, "--constitution", policy, "--baseline", 500, "--json")
    told = json.loads(loud.stdout)
    assert loud.exit_code == 1 and told["alarms"][0]["principle"] == "kind" and told["new"] == 1
    assert run(log, "--constitution", policy, "--baseline", 500).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.jsonl"], "no such file"),
        (["log.jsonl", "--constitution", "medcal"], "did you mean 'medical'"),
        (["log.jsonl", "--sample", "0.5"], "the checks look at every conversation"),
        (["log.jsonl", "--max-tokens", "5"], "budget of a judge"),
        (["log.jsonl", "--false-alarms", "0"], "'false_alarms' should be above 0"),
        (["log.jsonl", "--guard", "nowhere"], "guard.json"),
        (["log.jsonl", "--rules", "nowhere"], "nowhere"),
        (["log.jsonl", "--run", "nowhere"], "no evaluation.json"),
        (["other.txt"], "no conversation that can be read (2 not JSON)"),
    ],
)
def test_a_mistake_is_one_clear_line_and_nothing_is_left_behind(words, says, tmp_path, policy, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log.jsonl", rows(5))
    (tmp_path / "other.txt").write_text("hello\nworld\n")
    before = sorted(tmp_path.iterdir())
    told = run(*words, *([] if "--constitution" in words else ["--constitution", policy]))
    assert told.exit_code == 2 and says in told.output and "Traceback" not in told.output
    assert sorted(tmp_path.iterdir()) == before


def test_another_constitution_or_process_is_refused(tmp_path, policy):
    log = write(tmp_path / "log.jsonl", rows(50))
    cai.monitor(log, policy)
    with pytest.raises(InputError, match="begun with another 'sample'"):
        cai.monitor(log, policy, sample=0.5)
    policy.write_text(CONSTITUTION.replace("Be kind.", "Be nice."))
    with pytest.raises(InputError, match="begun with another 'constitution'"):
        cai.monitor(log, policy)
    lock = lock_directory(tmp_path / "log.jsonl.monitor")
    try:
        with pytest.raises(RunBusyError):
            cai.monitor(log, load_constitution(policy))
    finally:
        lock.close()
