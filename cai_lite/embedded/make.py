"""Train the embedded models on the toy world.

    python -m cai_lite.embedded.make [--only teacher|student] [--seed 0] [--out DIR]

Both are trained with next-token loss on the conversations of `tasks.py`, on the CPU, in float32. The same seed gives
the same models on the same machine. On two cores, the teacher takes about half an hour and the student about five
minutes.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded import FOLDER
from cai_lite.embedded.grammar import DOMAINS
from cai_lite.embedded.muon import Muon
from cai_lite.embedded.tasks import EARLY_STEPS, QUESTION, Example, Known, decision, student_example, teacher_example
from cai_lite.errors import ModelError

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
# A role token precedes each reply, so that the prompt of a conversation is always a prefix of its tokens.
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 2560
CONTEXT = 512
TOKENIZER_EXAMPLES = 12_000

# Weights in the loss: of the decision token, the other tokens of a reply, and the tokens of the input. Only a share of
# the input tokens is used, because the output head takes much of the time.
DECISION_WEIGHT, REPLY_WEIGHT, GIVEN_WEIGHT = 12.0, 2.0, 1.0
GIVEN_SHARE = 0.1
# During training, an auxiliary linear layer, which is discarded afterwards, predicts from inner layers which rule a
# sentence or a wording is about, and whether it is good. After 300 steps, 82 % of the decisions were right instead of
# 61 %; more questions per reply, the decision weight and a larger vocabulary were introduced at the same time.
RULES = [rule.id for domain in DOMAINS.values() for rule in domain.rules]
SAID_LAYER, ASKED_LAYER = 2, 3
INNER_WEIGHT = 0.5
UNKNOWN = -100
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


class Token(NamedTuple):
    """A training token with its weight in the loss and its labels for the auxiliary loss.

    `rule`: index of the rule that the token's sentence or wording is about. `said`: 1 if the sentence keeps the rule,
    else 0. `kept`: 1 if the reply keeps the rule of the wording, else 0. A label that does not apply is UNKNOWN.
    """

    id: int
    weight: float
    rule: int = UNKNOWN
    said: int = UNKNOWN
    kept: int = UNKNOWN


class Batch(NamedTuple):
    """The fields of several rows of tokens, each of shape [B, T], padded on the right with weight 0 and UNKNOWN."""

    ids_BT: Tensor
    weights_BT: Tensor
    rules_BT: Tensor
    said_BT: Tensor
    kept_BT: Tensor


PLANS = {
    "teacher": Plan(width=192, layers=4, heads=4, steps=7000, tokens=2560, draw=teacher_example),
    "student": Plan(width=128, layers=3, heads=4, steps=5000, draw=lambda rng, step: student_example(rng)),
}


def make(
    name: str,
    out: Path,
    *,
    seed: int = 0,
    plan: Plan | None = None,
    tokenizer: Tokenizer | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Train one model and write it with its tokenizer to the folder `out/name`; see `train` for `checkpoint`."""
    plan = plan or PLANS[name]
    tokenizer = tokenizer or make_tokenizer(seed)
    chat = chat_tokenizer(tokenizer)
    model = train(plan, tokenizer, seed=seed, label=name, checkpoint=checkpoint)
    folder = out / name
    # The weights are stored in float16; the configuration says float32, the dtype of the training.
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    config = LlamaConfig.from_pretrained(folder)
    config.dtype = torch.float32
    config.save_pretrained(folder)
    chat.save_pretrained(folder)


def make_tokenizer(seed: int, vocabulary: int = VOCABULARY, examples: int = TOKENIZER_EXAMPLES) -> Tokenizer:
    """Train a byte-level BPE tokenizer on the texts of both models; it has every byte, so it can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END, *ROLES.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(random.Random(f"tokenizer {seed}"), examples), trainer)
    return tokenizer


def chat_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Return the tokenizer in the form of transformers, with the chat template."""
    chat = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        extra_special_tokens=list(ROLES.values()),
    )
    chat.chat_template = CHAT_TEMPLATE
    return chat


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
    state = _State(model, inner, muon, adam)
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


def encode(tokenizer: Tokenizer, example: Example) -> list[Token]:
    """Return the tokens of an example, as the chat template renders it."""

    def special(text: str, weight: float = GIVEN_WEIGHT) -> Token:
        return Token(int(tokenizer.token_to_id(text) or 0), weight)

    def answered(text: str, decides: bool) -> list[Token]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        weights = [DECISION_WEIGHT if decides else REPLY_WEIGHT] + [REPLY_WEIGHT] * (len(ids) - 1)
        return [*map(Token, ids, weights), special(END, REPLY_WEIGHT)]

    def given(role: str, text: str, known: tuple[Known, ...] = ()) -> list[Token]:
        return [special(ROLES[role]), *_given(tokenizer, text, known)] if text else []

    row = [special(BEGIN), *given("system", example.system), *given("user", example.user, example.known)]
    row += [special(ROLES["assistant"])] if example.user else []
    row += answered(example.reply, example.decides)
    for known in example.then:
        row += given("user", fill(QUESTION, principle=known.piece), (known,))
        row += [special(ROLES["assistant"]), *answered(decision(bool(known.good)), True)]
    return row


def _given(tokenizer: Tokenizer, text: str, pieces: tuple[Known, ...]) -> list[Token]:
    """Return the tokens of an input text, labelled with what is known about its pieces.

    Only the second half of a piece is labelled, because its first words do not identify it yet.
    """
    encoded = tokenizer.encode(text, add_special_tokens=False)
    row = [Token(id, GIVEN_WEIGHT) for id in encoded.ids]
    end = 0
    for known in pieces:
        begin = text.find(known.piece, end)
        if begin < 0:
            continue
        end = begin + len(known.piece)
        middle = begin + len(known.piece) // 2
        mark = {"rule": RULES.index(known.rule)}
        if known.good is not None:
            mark["kept" if known.asked else "said"] = int(known.good)
        for place, (first, _) in enumerate(encoded.offsets):
            if middle <= first < end:
                row[place] = row[place]._replace(**mark)
    return row


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
class _State:
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


def _texts(rng: random.Random, examples: int) -> Iterator[str]:
    """Yield the training texts of the tokenizer: those of both models, and each decision word by itself."""
    for number in range(examples):
        example = teacher_example(rng, EARLY_STEPS) if number % 2 else student_example(rng)
        yield from (example.system, example.user, example.reply)
        yield from (SHORT.keeps, SHORT.breaks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=sorted(PLANS), help="make one of the two models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the model folders go")
    parser.add_argument("--checkpoints", type=Path, help="a folder; the same command continues from what it holds")
    chosen = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    tokenizer = make_tokenizer(chosen.seed)
    if any(tokenizer.token_to_id(word) is None for word in (SHORT.keeps, SHORT.breaks)):
        raise ModelError("the tokenizer has no single token for a decision word; raise VOCABULARY")
    for name in [chosen.only] if chosen.only else PLANS:
        checkpoint = chosen.checkpoints / f"{name}.pt" if chosen.checkpoints else None
        make(name, chosen.out, seed=chosen.seed, tokenizer=tokenizer, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
