"""Whatever a file contains, reading it ends in a value or in an error of this library; what is written is read again.

`FUZZ_EXAMPLES` sets the number of examples of each test; `make soak` runs many more than the tests do.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import yaml

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cai_lite.errors import ConstitutionError, InputError, PairError, PromptError, RecipeError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.forms import PROMPT_COLUMNS, RAW
from cai_lite.inputs.importing import import_constitution
from cai_lite.inputs.pairs import from_dataset, load_pairs, read_pairs, save_pairs, to_dataset
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import load_recipe, training_config
from cai_lite.records import Message, PreferencePair

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))


def fuzzed(share: float = 1.0):
    """Return the settings of a test: seeded, unless many examples are asked for, and without a limit of time."""
    return settings(
        max_examples=max(1, math.ceil(EXAMPLES * share)),
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# ---- what people and accidents put into files

# Every character but lone surrogates, which UTF-8 cannot encode; and those, too.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
ANY_TEXT = st.text(max_size=20) | st.sampled_from(["", " ", "\0", "\ud800", "\ufeff", "a\r\nb", "\x1b[31m", "x" * 2000])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**299, -1, 0, 1e308])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
ROLE = st.sampled_from(["system", "user", "assistant", "tool", "human", "gpt", "bot", ""])
MESSAGE = st.builds(lambda r, c: {"role": r, "content": c}, ROLE, ANY_TEXT | JSON) | st.builds(
    lambda r, c: {"from": r, "value": c}, ROLE, ANY_TEXT
)
USER, ANSWER = ({"role": role, "content": f"{role} speaks"} for role in ("user", "assistant"))
SIDE = ANY_TEXT | st.lists(MESSAGE, max_size=3) | MESSAGE | st.sampled_from([[ANSWER], [USER, ANSWER], ["a", "b"]])
COLUMN = SIDE | JSON | st.lists(st.lists(ANY_TEXT, max_size=3), max_size=2)
PAIR_ROW = st.fixed_dictionaries(
    {"chosen": SIDE, "rejected": SIDE},
    optional={
        **dict.fromkeys(PROMPT_COLUMNS, COLUMN),
        **dict.fromkeys(("p_chosen", "margin", "key", "parents", "evidence", "label", "output"), JSON),
    },
)
PROMPT_ROW = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("prompt", "messages", "system"), SIDE),
        **dict.fromkeys(("family", "tags", "split", "context"), JSON),
    },
)
NASTY = [
    *(
        b"[" * 20_000,
        b'{"a":' * 20_000,
        b"9" * 5000,
        b'{"chosen": "a", "chosen": "b"}',
        b"\xff\xfe\0",
        b"\xef\xbb\xbf{}",
    ),
    *(b"{", b"[1, 2", b"[]", b"null", b'"\\ud800"', b'{"prompt": NaN}', b"\0", b"", b'{"prompt": "x"}', b"\x80"),
]
END = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\xe2\x80\xa8"])


@st.composite
def files(draw, row):
    """The bytes of a file of such rows, with accidents."""
    lines = draw(st.lists(row.map(lambda value: json.dumps(value).encode()) | st.sampled_from(NASTY), max_size=5))
    content = b"[" + b",\n".join(lines) + b"]" if draw(st.booleans()) else draw(END).join(lines)
    return draw(cut(content))


@st.composite
def cut(draw, content):
    """The bytes, sometimes with a part left out or overwritten."""
    if not content or draw(st.integers(0, 3)):
        return content
    start = draw(st.integers(0, len(content) - 1))
    return content[:start] + draw(st.binary(max_size=4)) + content[start + draw(st.integers(0, 8)) :]


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


# ---- pairs


@fuzzed()
@given(content=files(PAIR_ROW))
def test_a_preference_file_is_read_or_refused(folder, content):
    try:
        pairs, bad = read_pairs(written(folder, "pairs.jsonl", content), max_bad=0.9)
    except PairError:
        return
    assert all(row.reason and row.kind for row in bad)
    for pair in pairs:
        assert pair.chosen != pair.rejected and 0 < pair.p_chosen <= 1 and math.isfinite(pair.margin)
        for side in (pair.chosen, pair.rejected):
            assert {side[0].role, side[-1].role} <= {RAW, "assistant"}
            assert all(message.content.strip() and "\0" not in message.content for message in side)
    save_pairs(folder / "again.jsonl", pairs)
    again = load_pairs(folder / "again.jsonl", max_bad=0)
    assert repr(again) == repr(pairs)  # as text, since NaN in `evidence` equals nothing


@fuzzed()
@given(row=PAIR_ROW)
def test_no_text_that_may_belong_to_the_prompt_is_lost(folder, row):
    try:
        (pair,) = load_pairs(written(folder, "pair.jsonl", json.dumps(row).encode()))
    except PairError:
        return
    texts = [message.content for message in (*pair.prompt, *pair.chosen, *pair.rejected)]
    for name in (*PROMPT_COLUMNS, "chosen", "rejected"):
        for text in said_in(row.get(name)):
            assert any(text.strip() in found for found in texts) or text in row["chosen"], (name, text)


def said_in(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key in ("content", "value") for text in said_in(value.get(key))]
    return [text for item in value for text in said_in(item)] if isinstance(value, list) else []


SAID = TEXT.filter(lambda text: text.strip() and "\0" not in text)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORD = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)


@st.composite
def preference_pairs(draw, raw=None):
    def message(role):
        return st.builds(Message, st.just(role), SAID)

    if draw(st.booleans()) if raw is None else raw:
        prompt = (Message(RAW, draw(TEXT.filter(lambda text: "\0" not in text))),)
        chosen, rejected = ((draw(message(RAW)),) for _ in range(2))
    else:
        turns = draw(st.lists(st.sampled_from(["user", "assistant", "tool"]), max_size=2))
        roles = [*draw(st.sampled_from([[], ["system"]])), *turns, "user"]
        prompt = tuple(draw(message(role)) for role in roles)
        between = draw(st.sampled_from([[], ["user", "assistant"], ["tool", "assistant"]]))
        chosen, rejected = (tuple(draw(message(role)) for role in ("assistant", *between)) for _ in range(2))
    if chosen == rejected:
        rejected = (*rejected[:-1], Message(rejected[-1].role, rejected[-1].content + "."))
    return PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        p_chosen=draw(st.floats(0, 1, exclude_min=True)),
        margin=draw(FINITE),
        parents=tuple(draw(st.lists(WORD, max_size=3))),
        evidence=draw(st.dictionaries(WORD, PLAIN_JSON, max_size=3)),
        **{name: draw(WORD) for name in ("key", "principle", "rule", "family")},
    )


@fuzzed()
@given(pairs=st.lists(preference_pairs(), min_size=1, max_size=4))
def test_saved_pairs_are_loaded_exactly(folder, pairs):
    save_pairs(folder / "saved.jsonl", pairs)
    assert load_pairs(folder / "saved.jsonl", max_bad=0) == pairs


@fuzzed(0.2)
@given(pairs=st.booleans().flatmap(lambda raw: st.lists(preference_pairs(raw), min_size=1, max_size=3)))
def test_pairs_go_through_a_data_set_exactly(pairs):
    assert from_dataset(to_dataset(pairs)) == pairs


# ---- prompts


@fuzzed()
@given(content=files(PROMPT_ROW))
def test_a_prompts_file_is_read_or_refused(folder, content):
    try:
        prompts = load_prompts(written(folder, "prompts.jsonl", content), max_bad=0.9)
    except PromptError:
        return
    for prompt in (*prompts.train, *prompts.held_out):
        assert prompt.messages[-1].role == "user" and prompt.text.strip() and "\0" not in prompt.text


# ---- YAML: constitution, recipe, --set

SCALARS = [
    *("!!bool foo", "!!int x", "!!int ''", "!!float x", "!!null x", "!!binary x", "!!python/name:os.system ''"),
    *("!<tag:yaml.org,2002:int> z", "!!timestamp x", "!!set {a}", "!a%ff b", "1:99:", ".inf", "-.inf", ".nan", "1e999"),
    *("0x" + "f" * 5000, "9" * 5000, "1" * 400, "-1", "0", "5e-6", "1e+400", "2026-01-01", "null", "yes", "~"),
    *("*a", "&a [*a]", '"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', '"\\e[31m"', "''", "'", '"', "|", ">", "{}", "[]"),
    *("[" * 500, "{a: " * 500, "- " * 500, "? " * 300, "[" * 50 + "]" * 50, "%YAML 9.9", "---", "...", "<<: {a: 1}"),
    *("${HOME}", "${NOBODY_SETS_THIS}", "~nobody/x", "x" * 5000, "/dev/zero", "/dev", "a/" * 3000, "\t", "\r"),
    *("(a+)+$", "(?:(?:x{9999}){9999}){9999}", "(" * 300, "[[a]", "\u2028", "\x85"),
]
SCALAR = st.sampled_from(SCALARS) | ANY_TEXT | st.integers().map(str) | st.floats().map(str)
KEY = st.sampled_from(["name", "id", "text", "weight", "checks", "train", "loss", "model", "n", "", "?", "<<", "a.b"])

CONSTITUTION = """name: desk
version: 1.0.0
principles:
  - id: be-kind
    text: Reply kindly.
    weight: 2.0
    priority: 1
    applies_to: [a, b]
    checks:
      forbid: ['stupid', 'id+iot']
      require_any: ['please']
      max_words: 50
    examples:
      - {prompt: hi, good: hello, bad: go away, why: rude}
  - id: be-brief
    text: |
      Reply in
      few words.
conflicts:
  - {between: [be-kind, be-brief], prefer: be-kind, when: somebody grieves}
silence:
  - {rule: vague, reason: kindly is enough, principle: be-kind}
"""
RECIPE = """constitution: medical
prompts: {file: PROMPTS, held_out: 0.2, limit: 20, eval_limit: null}
student: {model: 'embedded:student', load: null}
teacher: {model: m, url: 'http://localhost:1/v1', concurrency: 2, weight: 1.0, prices: {input: 1.0, output: 2.0}}
draft: {from: student, n: 2, temperature: 1.0, top_p: 1.0, max_tokens: 20}
critique: {principles_per_draft: 2}
judge: {votes: 3, until: 0.9}
pair: {rules: [best_over_worst], min_margin: 0.1, soft_labels: false, clamp: null, near: 0.8}
train:
  loss: {name: dpo, beta: 0.1}
  lora: {rank: 4, alpha: 8.0, dropout: 0.0, targets: [all-linear]}
  learning_rate: 1.0e-3
  epochs: 2.0
  memory: auto
evaluate: {metrics: [adherence], must: {adherence.low: ">= 0.1"}, samples: 1, temperature: 0.0}
budget: {max_cost: 3.0, max_tokens: 1000}
seed: 3
"""


@st.composite
def mended(draw, text):
    """The text of a YAML file with some values, keys or lines replaced."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "item", "key", "line", "twice", "gone"]))
        key, colon, value = lines[place].partition(": ")
        if how == "value":
            lines[place] = f"{key}{colon or ': '}{draw(SCALAR)}"
        elif how == "item" and ": " in value:
            head, _, tail = lines[place].rpartition(": ")
            lines[place] = f"{head}: {draw(SCALAR)}{tail.lstrip('abcdefghijklmnopqrstuvwxyz0123456789.-')}"
        elif how == "key":
            lines[place] = f"{draw(KEY | ANY_TEXT)}{colon}{value}"
        elif how == "line":
            lines.insert(place, draw(SCALAR | KEY))
        elif how == "twice":
            lines.insert(place, lines[place])
        elif len(lines) > 1:
            del lines[place]
    encoded = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines).encode("utf-8", "surrogatepass")
    return draw(cut(encoded))


@fuzzed()
@given(content=mended(CONSTITUTION))
def test_a_constitution_is_read_or_refused(folder, content):
    try:
        constitution = load_constitution(written(folder, "desk.yaml", content))
    except ConstitutionError:
        return
    for principle in constitution.principles:
        assert principle.text.strip() and 0 < principle.weight < math.inf
        if principle.checks is not None:
            principle.checks.passed("a" * 3000)


@pytest.fixture(scope="module")
def recipe_text(folder) -> str:
    (folder / "mine.jsonl").write_text('{"prompt": "hi"}\n', encoding="utf-8")
    return RECIPE.replace("PROMPTS", str(folder / "mine.jsonl"))


def walked(folder: Path, content: bytes, overrides=()) -> None:
    """Read a recipe, and what it resolves to again."""
    try:
        recipe = load_recipe(written(folder, "mine.yaml", content), overrides)
    except RecipeError:
        return
    resolved = recipe.resolved()
    if "://***@" not in resolved and "'${" not in resolved:
        again = load_recipe(written(folder, "resolved.yaml", resolved.encode()))
        assert again.resolved() == resolved
        assert all(math.isfinite(number) for number in numbers(yaml.safe_load(resolved)))


def numbers(value):
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers(inner)]
    return [value] if isinstance(value, float) else []


@fuzzed()
@given(data=st.data())
def test_a_recipe_is_read_or_refused_and_reads_as_it_resolves(folder, recipe_text, data):
    walked(folder, data.draw(mended(recipe_text)))


NUMBERS_OF_A_RECIPE = ["train.learning_rate", "train.loss.beta", "draft.n", "pair.near", "train.lora.alpha", "seed"]
OVERRIDE = st.builds(
    lambda key, equals, value: f"{key}{equals}{value}",
    st.sampled_from(
        [*NUMBERS_OF_A_RECIPE, "teacher.url", "a" + ".b" * 2000, "", ".", "train", "profiles.x", "train..x"]
    )
    | ANY_TEXT,
    st.sampled_from(["=", "=", "=", "", "=="]),
    SCALAR,
)


@fuzzed()
@given(overrides=st.lists(OVERRIDE, min_size=1, max_size=2))
def test_an_override_is_read_or_refused(folder, recipe_text, overrides):
    walked(folder, recipe_text.encode(), overrides)
    try:
        config = training_config(overrides)
    except RecipeError:
        return
    assert 0 < config.learning_rate <= 100 and 0 < config.loss.beta < math.inf


# ---- policies


MARKDOWN = ["# Head", "- rule one", "```", "===", "1. x", "* " * 400, "# " + " #" * 2000 + "x", " " * 2000]


@fuzzed()
@given(
    lines=st.lists(ANY_TEXT | st.sampled_from(MARKDOWN), max_size=6),
    value=JSON,
    suffix=st.sampled_from([".md", ".txt", ".json", ".jsonl"]),
    data=st.data(),
)
def test_a_policy_is_imported_or_refused_and_what_is_imported_is_read(folder, lines, value, suffix, data):
    text = json.dumps(value) if suffix.startswith(".json") else data.draw(END).decode().join(lines)
    path = written(folder, f"policy{suffix}", data.draw(cut(text.encode("utf-8", "surrogatepass"))))
    try:
        imported = import_constitution(path)
    except ConstitutionError:
        return
    assert load_constitution(written(folder, "imported.yaml", imported.encode())).principles


@fuzzed(0.3)
@given(name=ANY_TEXT | st.sampled_from(["/dev/zero", "/", "~nobody/x", "a" * 5000, "b/" * 3000, "\0", "medical\n"]))
def test_a_name_is_found_or_refused(name):
    for reader in (load_constitution, load_recipe, load_prompts, load_pairs, import_constitution):
        try:
            reader(name)
        except InputError as error:
            assert str(error)
