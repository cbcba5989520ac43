"""The metrics as `evaluate` modules, from the installed package, with the network off."""

import subprocess
import sys

import pytest

from cai_lite.errors import InputError
from cai_lite.evaluation.modules import NAMES, metric

NO = "I'm sorry, but I can't help with that."
YES = "Call an ambulance now, then sit down."


def test_each_module_loads_and_computes():
    assert metric("refusal_rate").compute(predictions=[NO, YES])["value"] == 0.5
    assert metric("boilerplate").compute(predictions=[NO, NO, YES])["value"] == pytest.approx(2 / 3)
    found = metric("constitution_checks").compute(
        predictions=[YES, "You can wait."], constitution="medical", principles=["urgent-care"]
    )
    assert found == {"urgent-care": {**found["urgent-care"], "value": 0.5, "n": 2}}
    checks = metric("constitution_checks").compute(
        predictions=[YES, "Some people say you need a hospital.", ""],
        constitution="medical",
        principles=["urgent-care"],
    )
    assert checks["urgent-care"]["n"] == 2 and checks["urgent-care"]["abstained"] == 1
    won = metric("win_rate").compute(predictions=["a b", "a"], references=["a", "a b"], wins=[1.0, 0.0])
    assert won["win_rate"]["value"] == 0.5
    assert metric("preference_accuracy").compute(predictions=[1.5, -0.2, 0.0, 2.0])["value"] == 0.625
    agreed = metric("judge_agreement").compute(predictions=["A", "B", "A", ""], references=["A", "B", "B", "A"])
    assert agreed["value"] == pytest.approx(1 - 5 * 2 / 18) and agreed["n"] == 3
    assert len(NAMES) == 6


def test_they_load_without_a_network():
    program = (
        "import socket\n"
        "def no(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = no; socket.getaddrinfo = no\n"
        "import cai_lite as cai\n"
        f"print(cai.metric('refusal_rate').compute(predictions=[{NO!r}])['value'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1.0", done.stderr[-500:]


def test_an_unknown_one_is_named():
    with pytest.raises(InputError, match="did you mean 'refusal_rate'"):
        metric("refusal_rates")
