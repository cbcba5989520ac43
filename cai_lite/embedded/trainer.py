"""Train a small Llama model on the CPU: next-token loss, the Muon optimiser, and checkpoints.

Passes run in bfloat16 and weights are kept in float32.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from cai_lite.embedded.encoding import (
    BEGIN,
    CONTEXT,
    DECISION_WEIGHT,
    END,
    GIVEN_WEIGHT,
    PAD,
    RULES,
    UNKNOWN,
    Token,
    encode,
)
from cai_lite.embedded.examples import Example
from cai_lite.embedded.muon import Muon

# Only this share of the input tokens is in the loss, because the output head takes much of the time.
GIVEN_SHARE = 0.1
# During training, an auxiliary linear layer, which is discarded afterwards, predicts from inner layers which rule a
# sentence or a wording is about, and whether it is good. After 300 steps, 82 % of the decisions were right instead of
# 61 %; more questions per reply, the decision weight and a larger vocabulary were introduced at the same time.
SAID_LAYER, ASKED_LAYER = 2, 3
INNER_WEIGHT = 0.5
# Steps until the learning rate is at its highest, and the share of the steps over which it falls to zero.
WARM_UP, DECAY = 80, 0.35
# Examples are drawn in pools of this many batches and sorted by length within a pool, which reduces padding.
POOL_BATCHES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size and training settings of one model.

    `tokens`: the limit of tokens per batch, padding included. `compiled`: whether PyTorch compiles the forward and
    backward passes, which halves the time and takes a C++ compiler.
    """

    width: int
    layers: int
    heads: int
    steps: int
    draw: Callable[[random.Random, int], Example]
    tokens: int = 1536
    matrix_lr: float = 0.018
    other_lr: float = 6e-3
    compiled: bool = True


class Batch(NamedTuple):
    """The fields of several rows of tokens, each of shape [B, T], padded on the right with weight 0 and UNKNOWN."""

    ids_BT: Tensor
    weights_BT: Tensor
    rules_BT: Tensor
    said_BT: Tensor
    kept_BT: Tensor


def train(
    plan: Plan, tokenizer: Tokenizer, *, seed: int, label: str = "", checkpoint: Path | None = None
) -> LlamaForCausalLM:
    """Train a model as planned and return it; `label` is its name in the progress lines.

    `checkpoint`: a file for the state after each pool of examples; if it exists, the training continues from there and
    ends with the same weights as an unbroken one.
    """
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(plan, tokenizer))
    # On a CPU, its backward pass is faster than that of PyTorch's fused attention.
    model.set_attn_implementation("eager")
    if plan.compiled:
        model.model.compile(dynamic=True)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    inner = torch.nn.Linear(plan.width, len(RULES) + 2)
    muon = Muon(matrices, plan.matrix_lr)
    adam = torch.optim.AdamW([*others, *inner.parameters()], lr=plan.other_lr, betas=(0.9, 0.98), weight_decay=0.0)
    state = State(model, inner, muon, adam)
    if checkpoint and checkpoint.is_file():
        state.load(checkpoint)
    begun, first = time.monotonic(), state.step
    while state.step < plan.steps:
        for batch in _pool(plan, tokenizer, random.Random(f"{label} {seed} {state.pools}"), state.step):
            share = _share(state.step, plan.steps)
            adam.param_groups[0]["lr"] = plan.other_lr * share
            loss, right = _forward(model, inner, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            muon.step(share)
            adam.step()
            model.zero_grad(set_to_none=True)
            inner.zero_grad(set_to_none=True)
            state.count(loss.item(), right)
            if state.step % 100 == 0 or state.step == plan.steps:
                pace = (time.monotonic() - begun) / (state.step - first)
                print(f"{label} {state.step}/{plan.steps} {state.figures()} {pace:.2f} s a step", flush=True)
            if state.step == plan.steps:
                break
        state.pools += 1
        if checkpoint:
            state.save(checkpoint)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _config(plan: Plan, tokenizer: Tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=plan.width,
        intermediate_size=plan.width * 8 // 3 // 16 * 16,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BEGIN),
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def _share(step: int, steps: int) -> float:
    """Return the factor of the learning rate: a short warm-up, then 1, then a linear decay to zero.

    Until the decay begins it does not depend on `steps`, so a checkpoint from before can be trained for longer.
    """
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (DECAY * steps))


class Step(NamedTuple):
    """The result of a forward pass: the weighted mean loss in nats, and the share of right decisions, if any."""

    loss: Tensor
    right: float | None


def _forward(model: LlamaForCausalLM, inner: torch.nn.Module, batch: Batch) -> Step:
    # No attention mask is needed: the padding is on the right, which a causal model does not see.
    counts = batch.weights_BT[:, 1:] > 0
    with torch.autocast("cpu", torch.bfloat16):
        out = model.model(input_ids=batch.ids_BT[:, :-1], use_cache=False, output_hidden_states=True)
        logits = model.lm_head(out.last_hidden_state[counts])
    nats = F.cross_entropy(logits.float(), batch.ids_BT[:, 1:][counts], reduction="none")
    weights = batch.weights_BT[:, 1:][counts]
    decisions = weights == DECISION_WEIGHT
    # A decision counts as right if its probability is above one half.
    right = (nats[decisions] < math.log(2)).float().mean().item() if decisions.any() else None
    loss = (nats * weights).sum() / weights.sum()
    return Step(loss + INNER_WEIGHT * _inner_loss(inner, out.hidden_states, batch), right)


def _inner_loss(inner: torch.nn.Module, hidden: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Return the auxiliary loss of the inner layers, in nats; zero if the batch has no labels."""
    loss = torch.zeros(())
    for layer, labels_BT, outputs in (
        (SAID_LAYER, batch.rules_BT, slice(0, len(RULES))),
        (SAID_LAYER, batch.said_BT, slice(len(RULES), None)),
        (ASKED_LAYER, batch.kept_BT, slice(len(RULES), None)),
    ):
        labels_BT = labels_BT[:, :-1]
        known_BT = labels_BT != UNKNOWN
        if known_BT.any():
            loss = loss + F.cross_entropy(inner(hidden[layer][known_BT])[:, outputs], labels_BT[known_BT])
    return loss


@dataclass(slots=True)
class State:
    """All that a training needs to continue: weights, optimisers, steps and pools done, and running figures."""

    model: LlamaForCausalLM
    inner: torch.nn.Module
    muon: Muon
    adam: torch.optim.Optimizer
    step: int = 0
    pools: int = 0
    loss: float = 0.0
    decided: float = 0.5

    def count(self, loss: float, right: float | None) -> None:
        """Count a step, and update the running means of loss and share of right decisions."""
        self.loss = 0.98 * self.loss + 0.02 * loss if self.step else loss
        self.decided = self.decided if right is None else 0.98 * self.decided + 0.02 * right
        self.step += 1

    def figures(self) -> str:
        return f"loss {self.loss:.3f} decisions {self.decided:.3f}"

    def save(self, file: Path) -> None:
        """Write the state to a file, which replaces the one before only when it is complete."""
        file.parent.mkdir(parents=True, exist_ok=True)
        parts = {"model": self.model.state_dict(), "inner": self.inner.state_dict(), "adam": self.adam.state_dict()}
        counts = (self.step, self.pools, self.loss, self.decided)
        new = file.with_suffix(".new")
        torch.save({**parts, "momenta": self.muon.momenta, "counts": counts}, new)
        new.replace(file)

    def load(self, file: Path) -> None:
        """Continue from the state in a file."""
        parts = torch.load(file, weights_only=True)
        self.model.load_state_dict(parts["model"])
        self.inner.load_state_dict(parts["inner"])
        self.adam.load_state_dict(parts["adam"])
        self.muon.momenta = parts["momenta"]
        self.step, self.pools, self.loss, self.decided = parts["counts"]


def _pool(plan: Plan, tokenizer: Tokenizer, rng: random.Random, step: int) -> list[Batch]:
    """Draw batches of examples of similar length, of up to `plan.tokens` tokens each, in random order."""
    rows: list[list[Token]] = []
    while sum(map(len, rows)) < POOL_BATCHES * plan.tokens:
        rows.append(encode(tokenizer, plan.draw(rng, step)))
    rows.sort(key=len)
    groups: list[list[list[Token]]] = [[]]
    for row in rows:
        if groups[-1] and len(row) * (len(groups[-1]) + 1) > plan.tokens:
            groups.append([])
        groups[-1].append([_thinned(token, rng) for token in row])
    rng.shuffle(groups)
    return [_padded(group) for group in groups]


def _thinned(token: Token, rng: random.Random) -> Token:
    return token._replace(weight=0.0) if token.weight == GIVEN_WEIGHT and rng.random() > GIVEN_SHARE else token


def _padded(rows: list[list[Token]]) -> Batch:
    columns = [list(zip(*row, strict=True)) for row in rows]
    fillings = (0, 0.0, UNKNOWN, UNKNOWN, UNKNOWN)
    return Batch(
        *(
            torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(column[place]) for column in columns], batch_first=True, padding_value=filling
            )
            for place, filling in enumerate(fillings)
        )
    )
