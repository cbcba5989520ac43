"""Measure a step of reinforcement learning, generation apart and together: `python -m cai_lite.bench.sampled`.

Ours is beside a plain loop on transformers and, with `--against trl`, beside TRL's GRPOTrainer, or with `--form rloo`
its RLOOTrainer. The plain loop does what TRL's published trainers do for a step without their framework: `generate` for
every copy of a prompt, then one padded pass of the reference, with RLOO another one of the policy, and one with a
gradient over all completions, with the logits of every completion token and their entropies. All draw completions of
the same length, take the same number of samples of the same prompts, and do one update. They take turns in one process,
and medians are shown; a ratio is the median over the turns of the other's time divided by ours. The output layer of the
model, which has random weights, is scaled so that its distributions are about as sharp as a language model's.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, get_args

import torch

from cai_lite.bench.case import RATE, SHAPES, Case, model_of
from cai_lite.bench.contenders import trl_module
from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import open_weights
from cai_lite.errors import InputError
from cai_lite.logps.attention import attention_of
from cai_lite.logps.fused import fuse
from cai_lite.records import Message, Prompt
from cai_lite.run.progress import Terminal
from cai_lite.training.batch import Passes
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.on_policy import OnPolicy
from cai_lite.training.rewards import Feedback
from cai_lite.training.rl_settings import Form, Rl
from cai_lite.training.source import Asked
from cai_lite.training.student import lora_parameters, with_adapter
from cai_lite.training.tokens import Row
from cai_lite.training.update import Objective

OURS, PLAIN, TRL = "cai_lite", "plain loop", "trl"
KL, CLIP = 0.04, 0.2
SHARP = 4.8  # standard deviation of the logits, with which 256 of 32,000 tokens hold 96 % of the probability


class Seconds(NamedTuple):
    """Wall and CPU seconds of a step: of drawing the completions, and of learning from them."""

    drawing: float
    learning: float
    cpu_drawing: float
    cpu_learning: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What is measured: `prompts` of `prompt_tokens`, `samples` completions each, of `completion_tokens`."""

    shape: str = "small"
    form: Form = "grpo"
    prompts: int = 4
    samples: int = 4
    prompt_tokens: int = 128
    completion_tokens: int = 64
    steps: int = 3


Step = Callable[[int], Seconds]


def bench_sampled(asked: Sampling, others: Sequence[str], progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the medians of each contender, and the ratios of the others to ours."""
    batches = _prompts(asked)
    steps = {name: CONTENDERS[name](_model(asked), batches, asked) for name in (OURS, *others)}
    lines: dict[str, list[Seconds]] = {name: [] for name in steps}
    for number in range(asked.steps + 1):
        for name in list(steps) if number % 2 else list(reversed(steps)):
            progress(f"step {number} of {asked.steps}: {name}")
            found = steps[name](number)
            if number:  # the first warms up
                lines[name].append(found)

    def together(each: Seconds, cpu: bool) -> float:
        return each.cpu_drawing + each.cpu_learning if cpu else each.drawing + each.learning

    def ratio(name: str, part: Callable[[Seconds], float]) -> float:
        return median(part(other) / part(ours) for ours, other in zip(lines[OURS], lines[name], strict=True))

    return {
        "format": 1,
        "case": asdict(asked),
        "threads": torch.get_num_threads(),
        "contenders": {
            name: {part: median(getattr(each, part) for each in found) for part in Seconds._fields}
            for name, found in lines.items()
        },
        "ratios": {
            name: {
                "together": ratio(name, lambda each: together(each, cpu=False)),
                "drawing": ratio(name, lambda each: each.drawing),
                "learning": ratio(name, lambda each: each.learning),
                "cpu_together": ratio(name, lambda each: together(each, cpu=True)),
                "cpu_drawing": ratio(name, lambda each: each.cpu_drawing),
                "cpu_learning": ratio(name, lambda each: each.cpu_learning),
            }
            for name in others
        },
    }


def ours(model: Any, batches: list[list[tuple[int, ...]]], asked: Sampling) -> Step:
    """Return the step of this library: prompts read once, fused layers, the head in chunks."""
    fuse(model)
    tokenizer = open_weights("embedded:student")[1]
    turns = Turns(tokenizer, ends=[-1])  # no token ends a completion, so that all are of the same length
    config = TrainingConfig(
        method="rl",
        rl=Rl(
            form=asked.form,
            samples=asked.samples,
            max_completion_tokens=asked.completion_tokens,
            kl_weight=KL,
            clip=CLIP,
            missing_end=0.0,
            malformed=0.0,
        ),
        batch_size=asked.prompts,
        epochs=len(batches),
        shuffle=False,
    )
    # A number in front tells prompts apart; what is drawn from is the ids alone.
    rows = [Row(ids, ((1,),), key=str(i)) for i, ids in enumerate(ids for batch in batches for ids in batch)]
    prompts = [Prompt(key=row.key, messages=(Message("user", row.key),), family=row.key) for row in rows]
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE)
    passes = Passes("shared", 1 << 20, 0, "token_logps")
    drawn: list[float] = []

    def reward(some: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
        drawn[:] = [time.perf_counter(), time.process_time()]  # drawing ends where the reward is asked
        return [float(i % asked.samples) for i in range(len(replies))]

    source = OnPolicy(
        Objective(model, rows, None, config, passes), Asked(turns, prompts, None, print), Feedback(reward=reward)
    )
    model.train()
    whole = source.batches(0)

    def step(number: int) -> Seconds:
        began, cpu = time.perf_counter(), time.process_time()
        with attention_of(model, "shared"):
            batch = next(whole)
            batch.objective.accumulate(batch.rows)
        _stepped(parameters.values(), optimizer)
        return Seconds(drawn[0] - began, time.perf_counter() - drawn[0], drawn[1] - cpu, time.process_time() - drawn[1])

    return step


def plain(model: Any, batches: list[list[tuple[int, ...]]], asked: Sampling) -> Step:
    """Return the step of a plain loop on transformers, as TRL's published trainers do it."""
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE)
    model.generation_config.eos_token_id = None
    length, many = asked.completion_tokens, asked.samples
    options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "pad_token_id": 0}

    def logps(ids_BT: torch.Tensor, *, entropy: bool) -> torch.Tensor:
        logits = model(ids_BT, attention_mask=torch.ones_like(ids_BT), logits_to_keep=length + 1).logits[:, :-1]
        found = logits.gather(-1, ids_BT[:, -length:, None])[..., 0] - logits.logsumexp(-1)
        if entropy:
            with torch.no_grad():
                log_probs = logits.log_softmax(-1)
                _ = -(log_probs.exp() * log_probs).sum(-1).mean()
        return torch.as_tensor(found)

    def step(number: int) -> Seconds:
        began, cpu = time.perf_counter(), time.process_time()
        prompts_BT = torch.tensor([list(ids) for ids in batches[number] for _ in range(many)])
        model.eval()
        with torch.no_grad():
            ids_BT = model.generate(
                prompts_BT, attention_mask=torch.ones_like(prompts_BT), max_new_tokens=length, **options
            )
        drawn, cpu_drawn = time.perf_counter(), time.process_time()
        rewards_BK = torch.arange(float(many)).repeat(len(batches[number]), 1)
        with torch.no_grad():
            old = logps(ids_BT, entropy=False) if asked.form == "rloo" else None
            with model.disable_adapter():
                before = logps(ids_BT, entropy=False)
        model.train()
        policy = logps(ids_BT, entropy=True)
        if old is None:
            spread_B1 = rewards_BK.std(1, keepdim=True) + 1e-4
            advantages_B1 = ((rewards_BK - rewards_BK.mean(1, keepdim=True)) / spread_B1).view(-1, 1)
            ratio = torch.exp(policy - policy.detach())
        else:
            shaped_BK = rewards_BK - KL * (old - before).sum(1).view_as(rewards_BK)
            others_BK = (shaped_BK.sum(1, keepdim=True) - shaped_BK) / (many - 1)
            advantages_B1 = (shaped_BK - others_BK).view(-1, 1)
            ratio = torch.exp((policy - old).sum(1, keepdim=True))
        loss = -torch.min(ratio * advantages_B1, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages_B1)
        if old is None:
            loss = loss + KL * ratio * (torch.exp(before - policy) - (before - policy) - 1)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        _stepped(parameters.values(), optimizer)
        return Seconds(drawn - began, time.perf_counter() - drawn, cpu_drawn - cpu, time.process_time() - cpu_drawn)

    return step


def trl(model: Any, batches: list[list[tuple[int, ...]]], asked: Sampling) -> Step:
    """Return the step of TRL's trainer of the form: its `training_step` on the copies of the prompts of a batch.

    A prompt is named by a number, which stands for its ids, as random ids do not survive being written as text. Drawing
    ends where the reward is asked. Raises MissingPackageError where trl is not installed.
    """
    module, datasets = trl_module("trl"), trl_module("datasets")
    tokenizer = open_weights("embedded:student")[1]
    drawn: list[float] = []

    def reward(completions: Sequence[str], **_: Any) -> list[float]:
        drawn[:] = [time.perf_counter(), time.process_time()]
        return [float(i % asked.samples) for i in range(len(completions))]

    numbered = [ids for batch in batches for ids in batch]
    size = asked.prompts * asked.samples
    base, arguments = (
        (module.GRPOTrainer, module.GRPOConfig) if asked.form == "grpo" else (module.RLOOTrainer, module.RLOOConfig)
    )

    class OnTokens(base):  # type: ignore[misc, valid-type]
        def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(numbered[int(prompt)]) for prompt in prompts], None, {}

    trainer: Any = OnTokens(
        model=model,
        reward_funcs=reward,
        args=arguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=size,
            num_generations=asked.samples,
            max_completion_length=asked.completion_tokens,
            generation_kwargs={"min_new_tokens": asked.completion_tokens},
            beta=KL,
            epsilon=CLIP,
            **({"loss_type": "grpo"} if asked.form == "grpo" else {}),
            learning_rate=RATE,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            logging_steps=10**6,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": str(number)} for number in range(len(numbered))]),
        processing_class=tokenizer,
    )
    if "ref" in trainer.model.peft_config:  # a copy of the adapter for the reference, where without one costs less
        trainer.model.delete_adapter("ref")
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # as `train` would set it
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    trainer.model.train()

    def step(number: int) -> Seconds:
        began, cpu = time.perf_counter(), time.process_time()
        first = number * asked.prompts
        asked_for = [{"prompt": str(first + i)} for i in range(asked.prompts) for _ in range(asked.samples)]
        trainer.training_step(trainer.model, asked_for, None)
        _stepped(trained, trainer.optimizer)
        return Seconds(drawn[0] - began, time.perf_counter() - drawn[0], drawn[1] - cpu, time.process_time() - drawn[1])

    return step


CONTENDERS: dict[str, Callable[[Any, list[list[tuple[int, ...]]], Sampling], Step]] = {
    OURS: ours,
    PLAIN: plain,
    TRL: trl,
}


def _stepped(parameters: Any, optimizer: Any) -> None:
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _model(asked: Sampling) -> Any:
    """Return a model of random weights with an adapter, the same for every contender."""
    case = Case(shape=asked.shape, prompt_tokens=asked.prompt_tokens, completion_tokens=max(3, asked.completion_tokens))
    model = model_of(case)
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        head.mul_(SHARP / (float(head.std()) * head.shape[1] ** 0.5))
    return with_adapter(model, lora=Lora(rank=case.rank), init_adapter=None, seed=case.seed)


def _prompts(asked: Sampling) -> list[list[tuple[int, ...]]]:
    """Return the ids of the prompts of each step, of the embedded models' tokenizer, which every contender can read."""
    drawn, known = random.Random(0), len(open_weights("embedded:student")[1])
    known = min(known, SHAPES[asked.shape]["vocab_size"])
    return [
        [tuple(drawn.randrange(10, known) for _ in range(asked.prompt_tokens)) for _ in range(asked.prompts)]
        for _ in range(asked.steps + 1)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m cai_lite.bench.sampled", description="Measure a step of RL.")
    default = Sampling()
    for name, value in asdict(default).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--against", nargs="+", choices=(PLAIN.replace(" ", "-"), TRL), default=["plain-loop"])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    given = vars(parser.parse_args(arguments))
    if given["form"] not in (known := get_args(Form)):
        raise InputError(f"--form should be one of {', '.join(known)}, got '{given['form']}'")
    file, against = given.pop("json"), [name.replace("-", " ") for name in given.pop("against")]
    asked = Sampling(**given)
    if min(asked.prompts, asked.steps, asked.completion_tokens, asked.prompt_tokens) < 1 or asked.samples < 2:
        raise InputError("every number should be at least 1, and --samples at least 2")
    found = bench_sampled(asked, against, Terminal(stderr=True).print)
    Terminal().print(json.dumps(found, indent=1))
    if file is not None:
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
