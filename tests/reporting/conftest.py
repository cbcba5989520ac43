import json
import shutil

import pytest

from cai_lite.inputs.pairs import save_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.records import Message, PreferencePair
from cai_lite.run.ledger import Run


def figure(value, n=40):
    return {"value": value, "n": n, "low": value - 0.0625, "high": value + 0.0625}


def comparison(before, after, n=40):
    return {"before": figure(before, n), "after": figure(after, n), "change": figure(after - before, n)}


@pytest.fixture
def evaluation():
    return {
        "format": 1,
        "model": "Qwen/Qwen2.5-7B-Instruct + adapter",
        "against": "Qwen/Qwen2.5-7B-Instruct",
        "constitution": "medical",
        "judge": "Qwen/Qwen3-32B",
        "seed": 3,
        "metrics": {
            "adherence": {
                "overall": comparison(0.511, 0.876, 97),
                "splits": {"unseen_phrasing": comparison(0.412, 0.733, 31)},
                "principles": {"kind-tone": comparison(0.622, 0.844, 53), "safety-net": comparison(0.301, 0.911, 44)},
            },
            "words": comparison(41.25, 39.5),
            "preference_accuracy": figure(0.885, 61),
            "reliability": {"order_consistency": figure(0.775, 58)},
            "confounds": {"length": figure(0.815, 120)},
        },
    }


def answer_line(number, side, text, verdicts, tags=("symptoms",)):
    """A line of answers.jsonl."""
    prompt = [{"role": "user", "content": f"Question {number} <b>of a user</b>"}]
    rest = {"family": f"f{number}", "tags": list(tags), "side": side, "answer": text, "verdicts": verdicts}
    return json.dumps({"key": f"a{number}{side}", "prompt": prompt, **rest}) + "\n"


@pytest.fixture
def run_dir(tmp_path, evaluation):
    """A run directory with everything that a report reads."""
    folder = tmp_path / "run"
    with Run(folder) as run:
        run.count("pair", {"pairs": 2, "margin too small": 7})
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "recipe.yaml").write_text("# versions\nconstitution: medical\n")
    line = {
        "loss": 0.7,
        "rewards/margins": 0.1,
        "rewards/accuracies": 0.5,
        "logps/chosen": -30.0,
        "logps/rejected": -31.0,
    }
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": i, **line}) + "\n" for i in range(1, 6)))
    save_pairs(
        folder / "pairs.jsonl",
        [
            PreferencePair(
                prompt=(Message("user", f"Question {i} <script>alert(1)</script>"),),
                chosen=(Message("assistant", "See a doctor & rest."),),
                rejected=(Message("assistant", 'Ignore it. <img src="http://evil.example/x">'),),
                key=f"k{i}",
                principle="safety-net",
                rule="best_over_worst",
                p_chosen=0.83,
                margin=0.33,
                evidence={
                    "verdicts": [
                        {"principle": "safety-net", "p_chosen": 0.83, "judge": "j", "order": "both", "text": "A<b>"}
                    ]
                },
            )
            for i in range(2)
        ],
    )
    (folder / "adapter").mkdir()
    return folder


SMALL = [
    "prompts.limit=6",
    "prompts.eval_limit=6",
    "draft.n=2",
    "train.epochs=1",
    "pair.min_margin=0.01",
    "pair.rules=[best_over_worst,revision_over_draft]",
    "evaluate.metrics=[adherence]",
]


@pytest.fixture(scope="session")
def small():
    """The recipe of `made`."""
    return load_recipe("medical", SMALL, profile="embedded")


@pytest.fixture(scope="session")
def made(tmp_path_factory, small):
    """A small finished run of the embedded models, made once; not to be changed."""
    out = tmp_path_factory.mktemp("made") / "run"
    run_recipe(small, out, quiet=True)
    with Run(out) as run:
        run.remember("perplexity", {"value": 1.5}, "adapter")
    return out


@pytest.fixture
def made_dir(made, tmp_path):
    """A copy of `made`."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"
