"""A Modelfile renders what the chat template renders, or is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

import cai_lite
from cai_lite.chat.modelfiles import tokenizer_of_source
from cai_lite.errors import ModelError
from cai_lite.records import Message
from cai_lite.serving.ollama import form_of, modelfile

STUDENT = str(Path(cai_lite.__file__).parent / "embedded" / "student")
CHATML = (  # with a system message of its own where there is none, as Qwen2.5 has it
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
MERGING = (
    "{% for m in messages %}{% if m['role'] == 'system' %}<u>{{ m['content'] }}\n\n{% elif m['role'] == 'user' %}"
    "{% if not (loop.index0 == 1 and messages[0]['role'] == 'system') %}<u>{% endif %}{{ m['content'] }}</u>"
    "{% else %}<a>{{ m['content'] }}</a>{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture
def tokenizer():
    return tokenizer_of_source(STUDENT, STUDENT, local=True)


def test_the_template_of_the_embedded_student_is_put_into_gos_language(tokenizer):
    text = modelfile("./base.gguf", form_of(tokenizer), tokenizer, adapter="./a.gguf", settings={"temperature": 0.3})
    start = "" if tokenizer("?")["input_ids"][0] == tokenizer.bos_token_id else "<s>"  # llama.cpp adds its own
    assert text == (
        f'FROM ./base.gguf\nADAPTER ./a.gguf\nTEMPLATE """{{{{ if .System }}}}{start}<|system|>{{{{ .System }}}}'
        f'{{{{ else }}}}{start}{{{{ end }}}}{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}<|user|>'
        '{{ .Content }}{{ else if eq .Role "assistant" }}<|assistant|>{{ .Content }}</s>{{ end }}{{ end }}<|assistant|>'
        '"""\nPARAMETER stop "</s>"\nPARAMETER temperature 0.3\n'
    )


def test_a_system_message_of_its_own_and_an_empty_thought_are_kept(tokenizer):
    tokenizer.chat_template = CHATML
    form = form_of(tokenizer)
    assert form.start == "<|im_start|>system\nYou help.<|im_end|>\n"
    assert form.system == ("<|im_start|>system\n", "<|im_end|>\n")
    assert form.generation == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    told = (Message("system", "Be kind."), Message("user", "Hi"))
    assert form.rendered(told).startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n")
    assert "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ else }}" in form.template()


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (MERGING, "puts the system message into the first turn"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "changes or leaves out the text"),
        (
            CHATML.replace("user", "u").replace("{{ m['role'] }}", "{{ m['role'] }}{{ loop.index }}"),
            "Ollama's language",
        ),
    ],
)
def test_what_cannot_be_said_in_gos_language_is_not_written(template, says, tokenizer):
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=says):
        form_of(tokenizer)


def test_braces_and_quotation_marks_of_a_template_do_not_become_code(tokenizer):
    tokenizer.chat_template = CHATML.replace("You help.", "{{ '{{x}}' }}")
    assert '{{ "{{" }}x}}' in form_of(tokenizer).template()
    tokenizer.chat_template = CHATML.replace("You help.", '"""')
    with pytest.raises(ModelError, match='holds """'):
        modelfile("m", form_of(tokenizer), tokenizer, settings={})
