"""Chat templates written in the manner of model families: the parts that decide how a turn begins and ends."""

from __future__ import annotations

from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


class Family(NamedTuple):
    """`eos` is the tokenizer's end token, `stops` those of the generation configuration beside it.

    `plain`: added tokens that are not "special". `given`, `generated`: how "<system> + Hi" and "Yes" are expected.
    """

    template: str
    eos: str
    controls: tuple[str, ...]
    given: str
    generated: str
    stops: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    variables: dict[str, Any] = {}  # noqa: RUF012, read only
    system: str = "keep"
    first: bool = False  # whether the system message stands first in the prompt


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3 = (
    "{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set content = m.content %}{%- set thought = '' %}"
    "{%- if '</think>' in content %}{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last and (loop.last or thought) %}"
    "{{- '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + content.lstrip('\n') }}"
    "{%- else %}{{- '<|im_start|>assistant\n' + content }}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
# Qwen 3.5 opens the thought in the generation prompt, unless it is switched off.
QWEN35 = QWEN3.replace("{%- endif %}{%- endif %}", "{%- else %}{{- '<think>\n' }}{%- endif %}{%- endif %}")
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
    "{% endif %}{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' + system + '<|eot_id|>' }}"
    "{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim"
    " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GEMMA3 = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] + '\n\n' -%}"
    "{%- set turns = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set turns = messages -%}{%- endif -%}"
    "{%- for m in turns -%}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + (first if loop.first else '')"
    " + m['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
NEMO = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set turns = messages[1:] %}"
    "{%- else %}{%- set turns = messages %}{%- endif %}{{- bos_token }}{%- for m in turns %}"
    "{%- if m['role'] == 'user' %}{%- if loop.last and system is defined %}"
    "{{- '[INST]' + system + '\n\n' + m['content'] + '[/INST]' }}{%- else %}{{- '[INST]' + m['content'] + '[/INST]' }}"
    "{%- endif %}{%- else %}{{- m['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
GLM = (
    "[gMASK]<sop>{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>\n{{ m.content | trim }}"
    "{% else %}<|{{ m.role }}|>\n{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}{% endif %}"
    "{% if m['role'] == 'assistant' %}{% set content = m['content'] %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<|Assistant|>' + content + '<|end_of_sentence|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"
)
DEEPSEEK31 = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ bos_token }}"
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}{% endif %}"
    "{% if m['role'] == 'assistant' %}{{ '<|Assistant|></think>' + m['content'] + '<|end_of_sentence|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|Assistant|>' + ('<think>' if thinking else '</think>') }}"
    "{% endif %}"
)
HARMONY = (
    "{{- '<|start|>system<|message|>Today: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}{%- for m in messages %}"
    "{%- if m.role == 'system' %}{{- '<|start|>developer<|message|># Instructions\n\n' + m.content + '<|end|>' }}"
    "{%- elif m.role == 'user' %}{{- '<|start|>user<|message|>' + m.content + '<|end|>' }}"
    "{%- elif loop.last and not add_generation_prompt %}"
    "{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}"
    "{%- else %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
)
SMOLLM3 = (
    "{%- set today = strftime_now('%d %B %Y') -%}{%- set think = enable_thinking is not defined or enable_thinking -%}"
    "{%- if messages[0].role == 'system' -%}{%- set system = messages[0].content.rstrip() -%}"
    "{%- set messages = messages[1:] -%}{%- endif -%}"
    "{{- '<|im_start|>system\nToday Date: ' + today + '\nReasoning Mode: ' + ('/think' if think else '/no_think') +"
    " '\n\n' + (system or '') + '<|im_end|>\n' -}}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{{ '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}"
    "{%- elif think -%}{{ '<|im_start|>assistant\n' + m.content.lstrip('\n') + '<|im_end|>\n' }}"
    "{%- else -%}{{ '<|im_start|>assistant\n<think>\n\n</think>\n' + m.content.lstrip('\n') + '<|im_end|>\n' }}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}"
    "{%- if not think -%}{{ '<think>\n\n</think>\n' }}{%- endif -%}{%- endif -%}"
)
GRANITE = (
    "{%- for m in messages %}{{- '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content']"
    " + '<|end_of_text|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}"
)
TULU = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% if not loop.last %}"
    "{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}{% else %}"
    "{{ '<|assistant|>\n' + m['content'] + eos_token }}{% endif %}{% else %}"
    "{{ '<|' + m['role'] + '|>\n' + m['content'] + '\n' }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
KIMI = (
    "{%- for m in messages -%}{{ '<|im_' + m['role'] + '|>' + m['role'] + '<|im_middle|>' + m['content']"
    " + '<|im_end|>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}"
    "{% set first = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set turns = messages %}{% set first = '' %}{% endif %}{% for m in turns %}"
    "{% set content = first + m['content'] if loop.first else m['content'] %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# Nemotron Nano 2 leaves the thought of its generation prompt open in front of trained answers, too.
NEMOTRON = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<A>Assistant\n<think>\n' + m.content + '\n<E>\n' }}"
    "{% else %}{{ '<A>' + m.role + '\n' + m.content + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<A>Assistant\n<think>\n' }}{% endif %}"
)

IM = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
THINK = ("<think>", "</think>")
CHATML_GIVEN = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
GEMMA_CONTROLS = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
GEMMA_GIVEN = "<bos><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
LLAMA3_CONTROLS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
R1_CONTROLS = ("<bos>", "<|end_of_sentence|>")
HARMONY_CONTROLS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>", "<|endoftext|>")
OFF = {"enable_thinking": False}

FAMILIES = {
    "ChatML": Family(CHATML, "<|im_end|>", IM, CHATML_GIVEN, "Yes<|im_end|>"),
    "ChatML, end of text as the tokenizer's end": Family(
        CHATML, "<|endoftext|>", IM, CHATML_GIVEN, "Yes<|im_end|>", stops=("<|im_end|>",)
    ),
    "Qwen3, thinking off": Family(
        QWEN3, "<|im_end|>", IM, CHATML_GIVEN + "<think>\n\n</think>\n\n", "Yes<|im_end|>", plain=THINK, variables=OFF
    ),
    "Qwen3, thinking on": Family(
        QWEN3, "<|im_end|>", IM, CHATML_GIVEN + "<think>\n\n</think>\n\n", "Yes<|im_end|>", plain=THINK
    ),
    "Qwen3.5, thinking off": Family(
        QWEN35, "<|im_end|>", IM, CHATML_GIVEN + "<think>\n\n</think>\n\n", "Yes<|im_end|>", plain=THINK, variables=OFF
    ),
    "Qwen3.5, thinking on": Family(
        QWEN35, "<|im_end|>", IM, CHATML_GIVEN + "<think>\n\n</think>\n\n", "Yes<|im_end|>", plain=THINK
    ),
    "Llama 3": Family(
        LLAMA3,
        "<|eot_id|>",
        LLAMA3_CONTROLS,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 05 Nov 2026\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "Yes<|eot_id|>",
    ),
    "Gemma 2": Family(GEMMA2, "<eos>", GEMMA_CONTROLS, GEMMA_GIVEN, "Yes<end_of_turn>", system="merge"),
    "Gemma 3": Family(GEMMA3, "<eos>", GEMMA_CONTROLS, GEMMA_GIVEN, "Yes<end_of_turn>", stops=("<end_of_turn>",)),
    "Mistral v0.1": Family(
        MISTRAL, "</s>", ("<s>", "</s>"), "<s>[INST] Be kind.\n\nHi [/INST]", "Yes</s>", system="merge"
    ),
    "Mistral Nemo": Family(
        NEMO, "</s>", ("<s>", "</s>", "[INST]", "[/INST]"), "<s>[INST]Be kind.\n\nHi[/INST]", "Yes</s>"
    ),
    "Phi-3": Family(
        PHI3,
        "<|endoftext|>",
        ("<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
        "<|system|>\nBe kind.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n",
        "Yes<|end|>",
        stops=("<|end|>", "<|assistant|>"),
    ),
    "GLM-4": Family(
        GLM,
        "<|endoftext|>",
        ("[gMASK]", "<sop>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        "[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>",
        "\nYes<|user|>",
        stops=("<|user|>", "<|observation|>"),
    ),
    "DeepSeek V3.1": Family(
        DEEPSEEK31,
        "<|end_of_sentence|>",
        R1_CONTROLS,
        "<bos>Be kind.<|User|>Hi<|Assistant|></think>",
        "Yes<|end_of_sentence|>",
        plain=("<|User|>", "<|Assistant|>", *THINK),
    ),
    "gpt-oss": Family(
        HARMONY,
        "<|return|>",
        HARMONY_CONTROLS,
        "<|start|>system<|message|>Today: 2026-11-05<|end|>"
        "<|start|>developer<|message|># Instructions\n\nBe kind.<|end|>"
        "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>final<|message|>",
        "Yes<|return|>",
        stops=("<|endoftext|>", "<|call|>"),
    ),
    "SmolLM3, thinking off": Family(
        SMOLLM3,
        "<|im_end|>",
        IM,
        "<|im_start|>system\nToday Date: 05 November 2026\nReasoning Mode: /no_think\n\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
        "Yes<|im_end|>",
        plain=THINK,
        variables=OFF,
    ),
    "Granite": Family(
        GRANITE,
        "<|end_of_text|>",
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        "<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        "Yes<|end_of_text|>",
    ),
    "Tulu": Family(TULU, "</s>", ("<s>", "</s>"), "<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\n", "Yes</s>"),
    "Zephyr": Family(
        ZEPHYR, "</s>", ("<s>", "</s>"), "<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\n", "Yes</s>"
    ),
    "Kimi": Family(
        KIMI,
        "[EOS]",
        ("[EOS]", "<|im_end|>", "<|im_middle|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>"),
        "<|im_system|>system<|im_middle|>Be kind.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>",
        "Yes<|im_end|>",
    ),
    "Llama 2": Family(
        LLAMA2,
        "</s>",
        ("<s>", "</s>"),
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]",
        " Yes </s>",
    ),
}
OPEN = {
    "DeepSeek R1": Family(R1, "<|end_of_sentence|>", R1_CONTROLS, "", "", plain=("<|User|>", "<|Assistant|>", *THINK)),
    "Nemotron Nano 2": Family(NEMOTRON, "<E>", ("<A>", "<E>"), "", "", plain=THINK),
    "DeepSeek V3.1, thinking on": FAMILIES["DeepSeek V3.1"]._replace(variables={"thinking": True}),
}


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per byte, two merges, and the control tokens of a family."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = ["ĊĊ", "ss"]  # two line breaks; a merge that may reach over a boundary
    made = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate([*letters, *merged])}, merges=[("Ċ", "Ċ"), ("s", "s")])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=family.eos,
        bos_token=family.controls[0],
        additional_special_tokens=list(family.controls),
    )
    fast.add_tokens([AddedToken(token, special=False, normalized=False) for token in family.plain])
    fast.chat_template = family.template
    return fast
