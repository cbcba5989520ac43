"""Two tiny Llama models that are part of the package, and the toy world that they were trained on.

world.py      the data structures of the toy world: domain, rule, slot
medical.py, customer_service.py, creative.py    the three domains, as data
grammar.py    draws prompts and replies from a domain; each sentence of a reply is labelled with its rule
tasks.py      the training examples of teacher and student, as conversations
muon.py       the optimiser for weight matrices
make.py       trains tokenizer, teacher and student (`python -m cai_lite.embedded.make`)
prompts.py    writes the prompts of the demos
knowledge.py  tells which principles the teacher was not trained on
oracle.py     judges any text by the grammar; used for evaluation and tests only, never for training
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
TEACHER = FOLDER / "teacher"
STUDENT = FOLDER / "student"
