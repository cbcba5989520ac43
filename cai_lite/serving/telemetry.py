"""Write what a monitor decided: lines of decisions.jsonl and failing.jsonl, and OpenTelemetry's evaluation events.

Source: OpenTelemetry semantic conventions 1.38, event `gen_ai.evaluation.result`; a line of events.jsonl is an
OTLP/JSON export request, as the Collector's file receiver reads it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from cai_lite.serving.decisions import Asked, Decision
from cai_lite.serving.redaction import Rules

EVENT = "gen_ai.evaluation.result"
INFO = 9  # severity
LABELS = {"kept": "pass", "broken": "fail"}


def decision_line(decision: Decision, by: str, asked: Asked) -> str:
    """Return a line of decisions.jsonl. Numbers, keys, ids and names of deciders need no escaping."""
    line = f'{{"n": {decision.number}, "key": "{decision.key}", "principle": "{decision.principle}", "by": "{by}"'
    line += f', "verdict": "{decision.verdict}"'
    if asked.logged.at is not None:
        line += f', "at": {asked.logged.at:.3f}'
    if decision.weight != 1:
        line += f', "kept": {json.dumps(decision.kept)}, "weight": {decision.weight:g}'
    if decision.evidence:
        line += f', "evidence": {json.dumps(decision.evidence)}'
    if decision.reason:
        line += f', "reason": {json.dumps(decision.reason)}'
    return line + "}\n"


def event(decision: Decision, by: str, asked: Asked) -> str:
    """Return the log record of a decision. The score is the probability that the answer keeps the principle."""
    said: dict[str, Any] = {"gen_ai.evaluation.name": decision.principle}
    if decision.kept is not None:
        said |= {
            "gen_ai.evaluation.score.value": decision.kept,
            "gen_ai.evaluation.score.label": LABELS[decision.verdict],
        }
    else:
        said["error.type"] = "undecided"
    if explanation := "; ".join(part for part in (decision.reason, decision.evidence) if part):
        said["gen_ai.evaluation.explanation"] = explanation
    if asked.logged.id:
        said["gen_ai.response.id"] = asked.logged.id
    said |= {"cai_lite.decider": by, "cai_lite.conversation.key": decision.key, "cai_lite.weight": decision.weight}
    at = time.time() if asked.logged.at is None else asked.logged.at
    record = {"timeUnixNano": str(int(at * 1e9)), "severityNumber": INFO, "eventName": EVENT}
    if asked.logged.trace:
        record |= {"traceId": asked.logged.trace, "spanId": asked.logged.span}
    attributes = [{"key": name, "value": _value(value)} for name, value in said.items()]
    return json.dumps({**record, "attributes": attributes})


def _value(value: Any) -> dict[str, Any]:
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def log_records(events: Sequence[str]) -> str:
    """Return one line that exports these events."""
    scope = f'{{"scope": {{"name": "cai_lite.monitor"}}, "logRecords": [{", ".join(events)}]}}'
    return f'{{"resourceLogs": [{{"scopeLogs": [{scope}]}}]}}\n'


def failing_line(asked: Asked, principles: Sequence[str], rules: Rules) -> str:
    """Return a line of failing.jsonl: the redacted prompt of an answer that broke these principles."""
    row = {
        "n": asked.number,
        "key": asked.key,
        "principles": list(principles),
        "prompt": rules.redacted_messages(asked.logged.prompt),
        "tags": list(asked.prompt.tags),
        "family": rules.redacted(asked.logged.family),
    }
    return json.dumps(row) + "\n"
