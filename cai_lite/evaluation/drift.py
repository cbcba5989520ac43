"""Drift: what training changed besides adherence, in the form of answers and on neutral text."""

from __future__ import annotations

from collections.abc import Sequence

from cai_lite.chat.local import LocalModel
from cai_lite.embedded import oracle as grammar
from cai_lite.evaluation.form import boilerplate, well_formed, words
from cai_lite.evaluation.neutral import TEXTS
from cai_lite.evaluation.perplexity import TextLoss, kl, perplexity, text_kl, text_losses
from cai_lite.evaluation.subject import Subject
from cai_lite.run.ledger import Run
from cai_lite.stats import Comparison, Figure


def measure_drift(subject: Subject) -> dict[str, Figure | Comparison]:
    """Measure words, boilerplate and well-formedness; perplexity and KL where the adapter can be switched off."""
    sides, seed = subject.sides, subject.seed
    found = {"words": words(sides, seed=seed), "boilerplate": boilerplate(sides, seed=seed)}
    if subject.oracle:
        found["well_formed"] = well_formed(sides, grammar.well_formed, seed=seed)
    if subject.adapted:
        texts = grammar.neutral_texts(subject.constitution.name) if subject.oracle else list(TEXTS)
        before, after, divergence = _neutral_losses(subject.adapted, texts, subject.run)
        found["perplexity"] = perplexity(before, after, seed=seed)
        found["kl"] = kl(divergence, seed=seed)
    return found


def _neutral_losses(adapted: LocalModel, texts: Sequence[str], run: Run) -> list[list[TextLoss]]:
    """Return the losses of each text before and after training, and the KL divergence; kept in the run."""
    known = run.recall("neutral text", adapted.digest, texts)
    if known is None:
        model, tokenizer = adapted.opened()
        with model.disable_adapter():
            before = text_losses(model, tokenizer, texts)
        known = [before, text_losses(model, tokenizer, texts), text_kl(model, tokenizer, texts)]
        run.remember("neutral text", known, adapted.digest, texts)
    return [[TextLoss(*loss) for loss in losses] for losses in known]
