"""A real server: `transformers serve` with the embedded teacher, its batches refilled as replies end, or not. It takes
`logprobs` with HTTP 200 and ignores them.
"""

import sys
from pathlib import Path

import pytest

import cai_lite
from cai_lite.chat import open_model
from cai_lite.chat.probe import probe
from cai_lite.distill.verdicts import judge
from cai_lite.records import Candidate, Message, Prompt, Request, Sampling
from cai_lite.run.ledger import Run
from tests.real_server import serving

TEACHER = str(Path(cai_lite.__file__).parent / "embedded" / "teacher")


@pytest.fixture(scope="module", params=["--no-continuous-batching", "--continuous-batching"])
def server(tmp_path_factory, request):
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
    program = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", program, "serve", TEACHER, "--port", "PORT", "--device", "cpu", request.param]
    if not request.param.startswith("--no-"):  # by default its cache takes most of the memory of the machine
        command += ["--cb-num-blocks", "64", "--cb-block-size", "32", "--cb-max-batch-tokens", "256"]
    with serving(command, tmp_path_factory.mktemp("serve") / "log.txt") as url:
        yield url


@pytest.mark.slow
def test_a_served_model_says_what_the_same_weights_say_here(server, constitution):
    served, here = open_model(server, model=TEACHER, concurrency=4), open_model("embedded:teacher")
    served.wording = "short"  # that of the embedded teacher
    prompt = Prompt(key="p", messages=(Message("user", "I have a cough. What helps?"),), family="f")
    texts = ["You definitely have the flu.", "A cough can have several causes. See a doctor if it lasts."]
    asked = [
        Request(messages=prompt.messages, sampling=Sampling(temperature=0.0, max_tokens=48)),
        Request(messages=(Message("user", "My knee hurts."),), sampling=Sampling(temperature=0.0, max_tokens=48)),
    ]

    def said(model):
        return [
            {place: reply for batch in model.answer(asked) for place, reply in batch.items()}[i].text for i in (0, 1)
        ]

    assert said(served) == said(here)
    rows = [Candidate(key=text, prompt=prompt, text=text, author="s", parents=("p",)) for text in texts]
    settings = {"rule": "best_over_worst", "mode": "pointwise", "principles": 3}
    run = Run()
    far = judge(served, rows, constitution, run=run, **settings)
    near = judge(here, rows, constitution, log_probs="never", **settings)
    assert [v.p_first for v in far] == [v.p_first for v in near]
    assert all(v.p_first is not None for v in far)
    assert sum(row["tokens_out"] for row in run.calls()) > 0


@pytest.mark.slow
def test_the_probe_finds_out_that_it_tells_no_log_probabilities(server):
    found = probe(open_model(server, model=TEACHER))
    assert found.log_probs is False
