"""Run directories as a finished run leaves them, for which nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import base_record, open_weights, quiet_peft
from cai_lite.inputs.pairs import save_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import run_recipe
from cai_lite.records import Message, PreferencePair
from cai_lite.training.folder import save_adapter

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ASKED = [f"I have had a cough for {days} days. What helps?" for days in range(2, 10)]


def measured(out: Path, prompts: int) -> Path:
    """Write a run to `out` whose student is of no use without its adapter, and measure it, at temperature 0.

    The adapter takes the eight largest singular components over from each matrix of the embedded student (PiSSA: Meng
    et al. 2024, arXiv 2404.02948), so what is left is a base that babbles, and both together are the student again. A
    training that makes as much of a difference would take a minute.
    """
    weights, tokenizer = open_weights("embedded:student")
    lora = LoraConfig(r=8, lora_alpha=8, target_modules=LAYERS, task_type="CAUSAL_LM", init_lora_weights="pissa")
    with quiet_peft():
        adapted = get_peft_model(weights, lora)
    lora.init_lora_weights = True  # whoever opens the adapter takes the weights as they are stored
    names = {name: name.removeprefix("base_model.model.").replace(".base_layer", "") for name in adapted.state_dict()}
    left = {names[name]: weight for name, weight in adapted.state_dict().items() if "lora_" not in name}
    plain, _ = open_weights("embedded:student")
    plain.load_state_dict(left, strict=False)  # the output layer is that of the embeddings
    base = out.with_name("base")
    plain.half().save_pretrained(base)
    tokenizer.save_pretrained(base)
    record = base_record(str(base), weights.config, tokenizer)
    served = Turns.of_model(adapted, tokenizer).served_template()
    save_adapter(adapted, tokenizer, out / "adapter", served=served, base=record)
    settings = [f"student.model={base}", f"prompts.eval_limit={prompts}", "draft.max_tokens=64"]
    settings += ["evaluate.metrics=[adherence]", "evaluate.baselines=[]", "evaluate.temperature=0"]
    run_recipe(load_recipe("medical", settings, profile="embedded"), out, adapter=out / "adapter", quiet=True)
    return out


def unfinished(out: Path) -> Path:
    """Write a run to `out` with an adapter of random weights; what it says was measured is made up."""
    weights, tokenizer = open_weights("embedded:student")
    record = base_record("embedded:student", weights.config, tokenizer)
    with quiet_peft(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        adapted = get_peft_model(weights, LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS, task_type="CAUSAL_LM"))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
    out.mkdir(parents=True)
    served = Turns.of_model(adapted, tokenizer).served_template()
    save_adapter(adapted, tokenizer, out / "adapter", served=served, base=record)
    (out / "recipe.yaml").write_text(load_recipe("medical", profile="embedded").resolved())
    said = {"before": "Rest.", "after": "A cough can have several causes. See a doctor if it lasts."}
    lines = [
        {
            "key": f"{side}{place}",
            "prompt": [{"role": "user", "content": asked}],
            "family": asked,
            "tags": [],
            "side": side,
            "answer": answer,
            "verdicts": {},
        }
        for place, asked in enumerate(ASKED)
        for side, answer in said.items()
    ]
    (out / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = dict.fromkeys(("model", "against", "constitution", "judge"), "embedded:student")
    (out / "evaluation.json").write_text(json.dumps({"format": 1, **texts, "seed": 0, "metrics": {}}))
    pairs = [
        PreferencePair(
            prompt=(Message("user", asked),),
            chosen=(Message("assistant", said["after"]),),
            rejected=(Message("assistant", said["before"]),),
            key=f"k{place}",
            principle="kind-tone",
            p_chosen=0.9,
            rule="revision_over_draft",
            family=asked,
            evidence={"votes": [1, 2]},
        )
        for place, asked in enumerate(ASKED)
    ]
    save_pairs(out / "pairs.jsonl", pairs)
    (out / "dataset_card.md").write_text("---\ntags: [cai_lite]\n---\n\n# Preference pairs of the run 'toy'\n\nText.\n")
    return out
