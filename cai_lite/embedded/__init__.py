"""Two tiny Llama models that are part of the package, and the toy world that they were trained on.

world.py      the data structures of the toy world: domain, rule, slot
medical.py, customer_service.py, creative.py    the three domains, as data
grammar.py    draws prompts and replies from a domain; each sentence of a reply is labelled with its rule
examples.py   what a training example is: a conversation with labelled pieces
revising.py   examples of revisions: copy a reply, and change the one sentence that breaks a rule
tasks.py      all tasks of teacher and student, and their shares of the training
encoding.py   examples as tokens: tokenizer, chat template, weights in the loss
muon.py       the optimiser for weight matrices
trainer.py    the training loop and its checkpoints
make.py       trains tokenizer, teacher and student (`python -m cai_lite.embedded.make`)
measure.py    measures the teacher's verdicts, critiques and revisions (`python -m cai_lite.embedded.measure`)
prompts.py    writes the prompts of the demos
knowledge.py  tells which principles the teacher was not trained on
oracle.py     judges any text by the grammar; used for evaluation and tests only, never for training
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
TEACHER = FOLDER / "teacher"
STUDENT = FOLDER / "student"
