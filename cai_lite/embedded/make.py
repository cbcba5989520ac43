"""Train the embedded models on the toy world.

    python -m cai_lite.embedded.make [--only teacher|student] [--seed 0] [--out DIR] [--checkpoints DIR]

Both are trained with next-token loss on the conversations of `tasks.py`, on the CPU, on one thread each, so that both
can be made at once on two cores. The same seed gives the same models on the same machine. A CPU with bfloat16
instructions and a C++ compiler are needed for a reasonable time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig

from cai_lite.distill.wording import SHORT
from cai_lite.embedded import FOLDER
from cai_lite.embedded.encoding import chat_tokenizer, make_tokenizer
from cai_lite.embedded.tasks import student_example, teacher_example
from cai_lite.embedded.trainer import Plan, train
from cai_lite.errors import ModelError

PLANS = {
    "teacher": Plan(width=192, layers=4, heads=4, steps=10000, tokens=2560, draw=teacher_example),
    "student": Plan(width=128, layers=3, heads=4, steps=4000, draw=lambda rng, step: student_example(rng)),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=sorted(PLANS), help="make one of the two models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the model folders go")
    parser.add_argument("--checkpoints", type=Path, help="a folder; the same command continues from what it holds")
    chosen = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(chosen.seed)
    if any(tokenizer.token_to_id(word) is None for word in (SHORT.keeps, SHORT.breaks)):
        raise ModelError("the tokenizer has no single token for a decision word; raise VOCABULARY")
    for name in [chosen.only] if chosen.only else PLANS:
        checkpoint = chosen.checkpoints / f"{name}.pt" if chosen.checkpoints else None
        make(name, chosen.out, seed=chosen.seed, tokenizer=tokenizer, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
