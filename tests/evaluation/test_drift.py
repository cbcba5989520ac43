import math

import pytest

from cai_lite.chat import open_model
from cai_lite.chat.weights import quiet_peft
from cai_lite.evaluation.drift import measure_drift
from cai_lite.evaluation.neutral import TEXTS
from cai_lite.evaluation.perplexity import text_losses


def test_without_an_adapter_only_the_form_of_answers_is_measured(subject):
    found = measure_drift(subject("a b c", "a"))
    assert found.keys() == {"words", "boilerplate"}
    assert found["words"].change.value == 2.0 and found["boilerplate"].after.value == 1.0


def test_neutral_text_is_read_with_the_adapter_and_without(subject, tmp_path):
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model

    base, tokenizer = open_model("embedded:student").opened()
    plain = text_losses(base, tokenizer, TEXTS)
    with quiet_peft():
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear"))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.01)
        adapted.save_pretrained(str(tmp_path))
    measured = subject("a b c")
    measured.answering = {"after": measured.after}
    measured.after = open_model("embedded:student", adapter=tmp_path)
    found = measure_drift(measured)
    mean = sum(loss.nats for loss in plain) / sum(loss.tokens for loss in plain)
    assert found["perplexity"].before.value == pytest.approx(math.exp(mean), rel=1e-5)
    assert found["perplexity"].change.value != pytest.approx(0, abs=0.01)
    assert found["kl"].value > 1e-4
