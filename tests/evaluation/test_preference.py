import pytest

from cai_lite.embedded import STUDENT
from cai_lite.errors import ModelError, PairError
from cai_lite.evaluation.preference import preference_accuracy, reward_margin, reward_margins
from cai_lite.records import Message, PreferencePair

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

# peft asks transformers in a way that newer releases of it call old; no user sees it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

FEW_TOKENS = 64


def pair(question, chosen, rejected):
    return PreferencePair(
        prompt=(Message("user", question),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
    )


PAIRS = [
    pair("My knee hurts.", "Please see a doctor.", "Just ignore it."),
    pair("My knee hurts. " * 40, "Please see a doctor.", "Just ignore it."),  # does not fit
    pair("I have a cough.", "Rest and drink water.", "Take ten pills at once, now."),
]


@pytest.fixture(scope="module")
def student():
    """The smallest real peft model: the embedded student with an adapter of random numbers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (STUDENT / "model.safetensors").is_file():
        pytest.skip("the embedded student's weights are not in this checkout")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(STUDENT)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return get_peft_model(base, lora).eval(), AutoTokenizer.from_pretrained(STUDENT)


def plain_log_prob(model, tokenizer, question, reply):
    """One reply alone: no batch, no padding, no shared prompt."""
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    both = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    whole = tokenizer.apply_chat_template(both, return_dict=True)["input_ids"]
    assert whole[: len(asked)] == asked
    with torch.no_grad():
        log_probs = model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return sum(float(log_probs[at - 1, whole[at]]) for at in range(len(asked), len(whole)))


def test_margins_are_those_of_plain_log_probabilities_with_the_adapter_on_and_off(student):
    model, tokenizer = student
    found = reward_margins(model, tokenizer, PAIRS, max_tokens=FEW_TOKENS)
    assert found[1] is None
    for place in (0, 2):
        question = PAIRS[place].prompt[0].content
        sides = [PAIRS[place].chosen[0].content, PAIRS[place].rejected[0].content]
        on = [plain_log_prob(model, tokenizer, question, side) for side in sides]
        with model.disable_adapter():
            off = [plain_log_prob(model, tokenizer, question, side) for side in sides]
        expected = (on[0] - off[0]) - (on[1] - off[1])
        assert abs(expected) > 0.1
        assert found[place] == pytest.approx(expected, abs=1e-3)


def test_a_student_that_learned_nothing_orders_nothing(student):
    model, tokenizer = student
    held = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_B" in name}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in held:
                p.zero_()
    found = reward_margins(model, tokenizer, [PAIRS[0], PAIRS[2]], max_tokens=FEW_TOKENS)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in held:
                p.copy_(held[name])
    assert found == [0.0, 0.0]
    assert preference_accuracy(found, ["a", "b"]).value == 0.5


def test_without_a_limit_the_models_context_is_the_limit(student):
    model, tokenizer = student
    found = reward_margins(model, tokenizer, [PAIRS[0], pair("Knee. " * 2000, "Rest.", "Run.")])
    assert found[0] == pytest.approx(reward_margins(model, tokenizer, PAIRS[:1], max_tokens=FEW_TOKENS)[0], abs=1e-4)
    assert found[1] is None


def test_no_pair_that_fits_is_said_with_the_mend(student):
    with pytest.raises(PairError, match="none of the 1 held-out pairs can be scored within 8 tokens"):
        reward_margins(*student, PAIRS[:1], max_tokens=8)


def test_a_diverged_student_is_an_error(student):
    model, tokenizer = student
    weight = next(p for name, p in model.named_parameters() if "lora_B" in name)
    held = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    try:
        with pytest.raises(ModelError, match="diverged"):
            reward_margins(model, tokenizer, PAIRS[:1], max_tokens=FEW_TOKENS)
    finally:
        with torch.no_grad():
            weight.copy_(held)


def test_accuracy_counts_ties_as_one_half_and_leaves_out_what_does_not_fit():
    margins, families = [2.0, -1.0, None, 0.0, 0.5], list("abcde")
    accuracy, margin = preference_accuracy(margins, families), reward_margin(margins, families)
    assert (accuracy.value, accuracy.n) == (0.625, 4)
    assert (margin.value, margin.n) == (0.375, 4)
    assert accuracy.low <= accuracy.value <= accuracy.high
