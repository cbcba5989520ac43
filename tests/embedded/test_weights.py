"""The models that travel with the package."""

from __future__ import annotations

import random

import pytest

from cai_lite.chat.local import LocalModel
from cai_lite.distill.wording import SHORT, fill
from cai_lite.embedded import STUDENT, TEACHER
from cai_lite.embedded.grammar import DOMAINS, draw_ask, draw_poles, draw_reply, keeps, text_of
from cai_lite.embedded.measure import CASES, measure, writer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MOST_BYTES = 12_000_000
SAMPLE = 60
LEAST_RIGHT = 0.85
TEXTS = ("Grüße, naïve café", "日本語 и русский", "🙂\u200d🔥", "a\tb\r\nc  d", "\x00\x7f", "Ω≠∑ ''\"", " lead, trail ")


@pytest.fixture(scope="module", params=[TEACHER, STUDENT], ids=["teacher", "student"])
def folder(request):
    return request.param


@pytest.fixture(scope="module")
def teacher():
    model = transformers.AutoModelForCausalLM.from_pretrained(TEACHER)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(TEACHER)


def test_both_models_take_at_most_twelve_megabytes():
    files = [file for folder in (TEACHER, STUDENT) for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


def test_a_model_opens_in_full_precision(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.config.model_type == "llama"


def test_the_tokenizer_loses_no_character(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_tokens_of_a_prompt_are_a_prefix_of_prompt_and_reply(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "system", "content": "Rules:"}, {"role": "user", "content": "My kettle leaks."}]
    given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "no way."}], tokenize=False)
    given_ids, whole_ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (given, whole))
    assert whole_ids[: len(given_ids)] == given_ids
    assert whole_ids[-1] == tokenizer.eos_token_id


def test_the_decision_words_are_single_tokens():
    tokenizer = transformers.AutoTokenizer.from_pretrained(TEACHER)
    for word in (SHORT.keeps, SHORT.breaks, SHORT.first, SHORT.second):
        assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_the_teacher_judges_new_replies_right(teacher, domain):
    """On new pairs of words, worded as the constitution words them. The floor lies below what was measured."""
    model, tokenizer = teacher
    rng = random.Random(11)
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in (SHORT.keeps, SHORT.breaks))
    right = 0
    for _ in range(SAMPLE):
        ask = draw_ask(domain, rng, slice="held_out_pairs")
        rule = rng.choice(ask.rules)
        reply = draw_reply(ask, draw_poles(ask, rng, good=0.5), rng)
        user = fill(SHORT.pointwise, prompt=ask.text, reply=text_of(reply), principle=rule.wordings[0])
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": user}], add_generation_prompt=True, tokenize=False
        )
        with torch.no_grad():
            logits = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, -1]
        right += bool(logits[yes] > logits[no]) == keeps(rule, reply)
    assert right / SAMPLE >= LEAST_RIGHT


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)
def test_the_teacher_mends_what_a_critique_names_and_keeps_the_rest(domain):
    """On words that it was not trained on. Of 96 replies a domain, it mended 96 to 98 % and kept 86 to 100 %."""
    found = measure(writer(LocalModel(str(TEACHER))), domain, CASES["held-out words"], examples=SAMPLE)
    assert found.revised >= 20
    assert found.critiques >= 0.9 and found.mended >= 0.85 and found.kept >= 0.75
