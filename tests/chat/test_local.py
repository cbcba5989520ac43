"""The decoding loop against transformers' own `generate`, and against itself in other batches."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cai_lite.chat import local, open_model
from cai_lite.chat.asking import ask
from cai_lite.chat.local import LocalModel, _option_log_probs
from cai_lite.chat.rendering import write_template
from cai_lite.errors import ModelError
from cai_lite.records import Message, Request, Sampling, dicts_of
from cai_lite.run.ledger import Run

TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'][0] }}{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<s>a{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random Llama over bytes; sharp enough (large weights) that greedy choices are clear."""
    path = tmp_path_factory.mktemp("tiny")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(["<s>", "</s>", *letters])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def requests(n, **sampling):
    return [
        Request(messages=(Message("user", "ab" * (i + 1)),), sampling=Sampling(**sampling), index=i) for i in range(n)
    ]


def test_greedy_decoding_in_a_padded_batch_equals_generate_row_by_row(folder):
    handle = open_model(str(folder))
    model, tokenizer = handle.opened()
    asked = requests(5, temperature=0, max_tokens=12)
    for request, reply in zip(asked, ask(handle, asked, run=Run(), stage="s"), strict=True):
        text = tokenizer.apply_chat_template(dicts_of(request.messages), tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert reply.text == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_a_sample_depends_on_its_request_not_on_its_company(folder):
    handle = open_model(str(folder))
    asked = requests(6, temperature=1.0, max_tokens=10)
    together = ask(handle, asked, run=Run(), stage="s")
    alone = [ask(handle, [request], run=Run(), stage="s")[0] for request in asked]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert len({reply.text for reply in together}) > 1


def runs_out_above(rows, monkeypatch, error):
    """Let decoding of more than `rows` rows fail with `error`; return the list of batch sizes that were tried."""
    tried, decode = [], local.decode

    def limited(model, prompts, asked, **options):
        tried.append(len(prompts))
        if len(prompts) > rows:
            raise error
        return decode(model, prompts, asked, **options)

    monkeypatch.setattr(local, "decode", limited)
    return tried


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")],
    ids=["GPU", "CPU"],
)
def test_a_batch_that_runs_out_of_memory_is_decoded_in_halves(folder, monkeypatch, error):
    asked = requests(8, temperature=1.0, max_tokens=6)
    expected = ask(LocalModel(str(folder)), asked, run=Run(), stage="s")
    tried = runs_out_above(3, monkeypatch, error)
    handle = LocalModel(str(folder))
    found = ask(handle, asked, run=Run(), stage="s")
    assert [reply.text for reply in found] == [reply.text for reply in expected]
    assert tried == [8, 4, 2, 2, 4, 2, 2]
    tried.clear()
    ask(handle, requests(8, temperature=1.0, max_tokens=7), run=Run(), stage="s")
    assert tried[0] < 4  # what did not fit is not tried again


def test_a_single_request_that_does_not_fit_into_memory_is_a_clear_error(folder, monkeypatch):
    runs_out_above(0, monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(ModelError, match=r"out of memory while decoding a single request of up to \d+ tokens; lower"):
        ask(LocalModel(str(folder)), requests(2, max_tokens=6), run=Run(), stage="s")


def test_another_fault_of_the_model_is_not_taken_for_lack_of_memory(folder, monkeypatch):
    runs_out_above(0, monkeypatch, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        ask(LocalModel(str(folder)), requests(2, max_tokens=6), run=Run(), stage="s")


def test_the_rows_of_a_batch_follow_the_memory_and_leave_the_texts_alone(folder, monkeypatch):
    asked = requests(12, temperature=1.0, max_tokens=8)
    expected = [reply.text for reply in ask(LocalModel(str(folder)), asked, run=Run(), stage="s")]
    monkeypatch.setattr(local, "SMALL", 10)
    sizes = {}
    for budget in (1, 2_000_000, 4 << 30):
        tried = runs_out_above(99, monkeypatch, RuntimeError())
        monkeypatch.setattr(local, "free_bytes", lambda device, budget=budget: budget)
        found = ask(LocalModel(str(folder)), asked, run=Run(), stage="s")
        assert [reply.text for reply in found] == expected
        sizes[budget] = tried[0]
        monkeypatch.undo()
        monkeypatch.setattr(local, "SMALL", 10)
    assert sizes[1] == 1 < sizes[2_000_000] < sizes[4 << 30] == 12


def test_replies_stored_under_a_former_digest_are_not_asked_again(folder):
    asked, run = requests(3, max_tokens=4), Run()
    handle = LocalModel(str(folder))
    before = ask(handle, asked, run=run, stage="s")
    handle.digest, handle.former_digests = "of this version", (handle.digest,)
    handle.answer = None
    assert ask(handle, asked, run=run, stage="s") == before


def test_option_log_probs_are_the_first_tokens_own(folder):
    _, tokenizer = open_model(str(folder)).opened()
    logits = torch.randn(258)
    found = _option_log_probs(tokenizer, logits, ("A", "B"))
    log_probs = logits.log_softmax(-1)
    # A letter and its capital are the same here; a blank before it is a token of its own that belongs to neither.
    assert found["A"] == pytest.approx(float(log_probs[tokenizer.convert_tokens_to_ids("A")]), abs=1e-5)
    assert found["B"] == pytest.approx(float(log_probs[tokenizer.convert_tokens_to_ids("B")]), abs=1e-5)


def test_options_that_begin_alike_have_no_first_token_verdict(folder):
    _, tokenizer = open_model(str(folder)).opened()
    assert _option_log_probs(tokenizer, torch.randn(258), ("yes", "yep")) is None


@pytest.mark.parametrize(
    ("where", "says"), [("./nowhere", "no such folder"), ("embedded:taecher", "embedded:teacher"), ("/", "config.json")]
)
def test_a_model_that_is_not_there_is_a_clear_error(where, says):
    with pytest.raises(ModelError, match=says):
        open_model(where)


def test_a_hub_id_without_network_or_cache_is_a_clear_error():
    with pytest.raises(ModelError, match="nobody/nothing"):
        open_model("nobody/nothing").opened()


def test_a_quantised_model_answers_on_a_cpu():
    from cai_lite.chat import open_model

    model = open_model("embedded:student", load="nf4")
    asked = Request(messages=(Message("user", "I have a headache."),), sampling=Sampling(max_tokens=8))
    (replies,) = list(model.answer([asked]))
    assert replies[0].outcome in {"ok", "cut"}
    assert replies[0].text


@pytest.fixture
def templated(folder):
    """Sets the chat template of a model that is opened already."""

    def put(handle, template):
        handle.opened()[1].chat_template = template
        return handle

    return put


def test_variables_of_the_template_and_a_merged_system_message_reach_the_prompt(folder, templated):
    template = TEMPLATE + "{% if enable_thinking is false %}!{% endif %}"
    handle = templated(open_model(str(folder), template={"enable_thinking": False}, system="merge"), template)
    turns = (Message("system", "be"), Message("user", "hi"))
    request = Request(messages=turns, sampling=Sampling(max_tokens=2))
    _, tokenizer = handle.opened()
    assert tokenizer.decode(handle.token_ids(tokenizer, request)) == "<s>ube\n\nhi<s>a!"
    base = handle.without_adapter()
    assert base.token_ids(tokenizer, request) == handle.token_ids(tokenizer, request)
    assert base.digest == handle.digest != open_model(str(folder)).digest
    assert open_model(str(folder), template={}).digest == open_model(str(folder)).digest


def test_a_reply_that_begins_inside_a_thought_says_so(folder, templated):
    handle = templated(open_model(str(folder)), TEMPLATE.replace("<s>a{%", "<s>a<think>\n{%"))
    asked = [*requests(1, temperature=0, max_tokens=4)]
    asked += [Request(messages=asked[0].messages, sampling=asked[0].sampling, options=("A", "B"))]
    for reply in ask(handle, asked, run=Run(), stage="s"):
        assert reply.text.startswith("<think>") and reply.log_probs is None
        assert (reply.outcome, reply.fault) == ("cut", "cut while thinking")


def test_an_adapter_brings_the_variables_it_was_trained_with(folder, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    write_template(tmp_path, {"enable_thinking": False})
    base = open_model(str(folder))
    assert base.with_adapter(tmp_path).template == {"enable_thinking": False}
    assert base.with_adapter(tmp_path).without_adapter().template == {"enable_thinking": False}
    other = open_model(str(folder), template={"enable_thinking": True})
    assert other.with_adapter(tmp_path).template == {"enable_thinking": True}
    assert open_model(str(folder), adapter=tmp_path, template={}).template == {}


def test_a_student_is_asked_behind_what_training_puts_in_front_of_answers(tmp_path):
    model, tokenizer = local.open_weights("embedded:student")
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
        "{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    request = Request(messages=(Message("user", "Hi"),), sampling=Sampling())
    asked, served = LocalModel("embedded:student"), LocalModel("embedded:student", bridged=True)
    served._opened = model, tokenizer
    assert tokenizer.decode(asked.token_ids(tokenizer, request)).endswith("<|assistant|>")
    assert tokenizer.decode(served.token_ids(tokenizer, request)).endswith("<|assistant|><think></think>")
    assert served.without_adapter().bridged and asked.digest == served.digest
