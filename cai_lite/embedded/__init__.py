"""Two tiny Llama models that travel with the package, and the toy world that they were made from.

world.py      the nouns of the toy world: domain, rule, slot
medical.py, customer_service.py, creative.py    the three domains, as data
grammar.py    draws prompts and replies from a domain, and knows what each sentence of a reply is
tasks.py      what the teacher and the student learn, as conversations
muon.py       the optimiser of the matrices
make.py       trains tokenizer, teacher and student (`python -m cai_lite.embedded.make`)
prompts.py    writes the prompts of the demo
oracle.py     judges any text by the grammar: for evaluation and tests only, never for training
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
TEACHER = FOLDER / "teacher"
STUDENT = FOLDER / "student"
