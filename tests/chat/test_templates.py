"""Rendering within limits gives what transformers gives."""

from datetime import date

import pytest
from transformers import PreTrainedTokenizerBase

from cai_lite.chat.templates import TemplateLimit, apply_template
from tests.chat import families

FAMILIES = {name: text for name, text in vars(families).items() if isinstance(text, str) and "{%" in text}
TURNS = [
    {"role": "user", "content": "Hi, 50% off \u4f60\u597d?"},
    {"role": "assistant", "content": "<think>\nHm\n</think>\n\nHello"},
    {"role": "user", "content": " Bye {{ no }} "},
]


class Bare(PreTrainedTokenizerBase):
    """A tokenizer with nothing but a template."""

    @property
    def special_tokens_map(self):
        return {"bos_token": "<s>", "eos_token": "</s>"}

    def __init__(self, template):
        self.chat_template = template


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("first", [[], [{"role": "system", "content": "Be kind."}]])
@pytest.mark.parametrize("generation", [True, False])
def test_what_is_rendered_equals_transformers(name, first, generation):
    tokenizer, turns = Bare(FAMILIES[name]), first + TURNS
    try:
        expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation)
    except Exception as error:
        with pytest.raises(type(error)):
            apply_template(tokenizer, turns, add_generation_prompt=generation)
        return
    assert apply_template(tokenizer, turns, add_generation_prompt=generation) == expected


FORMS = """
{%- set ns = namespace(n=0, t='') -%}
{%- macro both(a, b='x') -%}[{{ a }}|{{ b }}|{{ caller() if caller else '' }}]{%- endmacro -%}
{%- for m in messages[::-1] if m.role != 'system' -%}
  {%- set ns.n = ns.n + loop.index * 2 ** 3 % 5 -%}{%- set ns.t = ns.t ~ m.role ~ loop.last ~ loop.length -%}
  {%- if loop.index > 1 -%}{%- break -%}{%- endif -%}
{%- endfor -%}
{{ ns.n }} {{ ns.t }} {{ both(1) }} {% call both('a', b=[1, (2, 3)]) %}inside{% endcall %}
{{ messages | map(attribute='content') | map('upper') | join(', ') }} {{ {'a': [1, {'b': none}]} | tojson(indent=2) }}
{{ 'a-b-c'.split('-') | last }} {{ '%s and %05.2f' % ('x', 3.14159) }} {{ '%d' | format(7) }}
{{ '{} {}'.format('p', 'q') }}
{% set block %}one{{ bos_token }}two{% endset %}{{ block | trim | replace('one', '1') | length }}
{{ 'x\ny' | indent(4) }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ range(3) | list }} {{ -7 // 2 }}
{{ 'ab' * 3 }}
{{ tools is none }} {{ undefined_thing is defined }} {{ strftime_now('%Y') }} {{ dict(a=1).items() | list }}
{% generation %}said{% endgeneration %}
"""


def test_every_form_of_the_language_equals_transformers():
    tokenizer = Bare(FORMS)
    expected = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    assert str(date.today().year) in expected
    assert apply_template(tokenizer, TURNS, add_generation_prompt=True) == expected


def test_a_long_conversation_may_be_rendered_and_an_endless_template_may_not():
    turns = [{"role": "user", "content": "word " * 20_000}, {"role": "assistant", "content": "x"}] * 40
    assert len(apply_template(Bare(families.QWEN3), turns, add_generation_prompt=True)) > 4_000_000
    with pytest.raises(TemplateLimit, match="too long"):
        apply_template(Bare("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"), turns[:1])
