"""Hostile and damaged models, adapters and chat templates: a table of them, built from a sound one, and a trial.

A trial passes if opening the model and asking it ends in an error of the library's tree, or with a reply, within
seconds, and no code of the folder has run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from cai_lite.chat.asking import ask
from cai_lite.chat.local import LocalModel
from cai_lite.chat.weights import quiet_peft
from cai_lite.errors import CaiError
from cai_lite.records import Message, Request, Sampling
from cai_lite.run.ledger import Run
from tests.tiny import SIZES

LONGEST = 20.0  # seconds of a trial, on a busy machine
RAN = "ran"  # a file that the code of a folder would write
CODE = "from pathlib import Path\n(Path(__file__).parent / 'ran').touch()\n"

Build = Callable[[Path], None]


class Case(NamedTuple):
    """`build` damages the sound model in a folder. `says`: a pattern of the error, "" if a reply is right, too."""

    name: str
    build: Build
    says: str


def sound(folder: Path) -> Path:
    """Write a tiny model with its tokenizer, and an adapter for it in `adapter`."""
    from importlib import resources

    tokenizer = AutoTokenizer.from_pretrained(str(resources.files("cai_lite.embedded") / "student"))
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES | {"vocab_size": len(tokenizer), "tie_word_embeddings": False}))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with quiet_peft():
        adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"))
    adapted.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    return folder


def _text(name: str, text: str) -> Build:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass") and None  # type: ignore[func-returns-value]


def _bytes(name: str, data: bytes) -> Build:
    def build(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return build


def _set(name: str, **values: Any) -> Build:
    def build(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return build


def _config(**values: Any) -> Build:
    return _set("config.json", **values)


def _adapter(**values: Any) -> Build:
    return _set("adapter/adapter_config.json", **values)


def _template(text: str) -> Build:
    return _text("chat_template.jinja", text)


def _replaced(name: str, make: Callable[[Path], None]) -> Build:
    def build(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return build


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the address of a socket may be short only
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _weights(change: Callable[[dict[str, Any]], None], name: str = "model.safetensors") -> Build:
    def build(folder: Path) -> None:
        stored = load_file(folder / name)
        change(stored)
        save_file(stored, folder / name, metadata={"format": "pt"})

    return build


def _header(change: Callable[[dict[str, Any]], None]) -> Build:
    """Rewrite the header of the weight file, which says where which weight stands."""

    def build(folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        change(header)
        written = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + data[8 + size :])

    return build


def _cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _pickled_adapter(folder: Path) -> None:
    torch.save(load_file(folder / "adapter/adapter_model.safetensors"), folder / "adapter/adapter_model.bin")
    (folder / "adapter/adapter_model.safetensors").unlink()


def _fill(value: float, name: str) -> Callable[[dict[str, Any]], None]:
    def change(stored: dict[str, Any]) -> None:
        stored[next(key for key in sorted(stored) if name in key)].view(-1)[0] = value

    return change


def _with_code(**values: Any) -> Build:
    def build(folder: Path) -> None:
        (folder / "evil.py").write_text(CODE)
        _config(**values)(folder)

    return build


def _tokenizer_code(folder: Path) -> None:
    (folder / "evil.py").write_text(CODE)
    _set(
        "tokenizer_config.json",
        tokenizer_class="EvilTokenizer",
        auto_map={"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]},
    )(folder)


def _lose(stored: dict[str, Any], name: str) -> None:
    for key in [key for key in stored if name in key]:
        del stored[key]


def _overlap(header: dict[str, Any]) -> None:
    names = [name for name in header if name != "__metadata__"]
    header[names[0]]["data_offsets"] = header[names[1]]["data_offsets"]


def _huge_shape(header: dict[str, Any]) -> None:
    next(value for name, value in header.items() if name != "__metadata__")["shape"] = [2**40, 2**40]


_AUTO = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"}
_DEEP = "[" * 100_000 + "]" * 100_000
_DOUBLED = (
    "{% set ns = namespace(s='aaaa', t=['a']) %}{% for i in range(60) %}{% set ns.SET %}{% endfor %}"
    "{{ ns.s }}{{ ns.t }}"
)
_LONG = "{% set x = 'a' * 100000 %}"

TEMPLATES: dict[str, tuple[str, str]] = {
    "a loop of 10^9": ("{% for i in range(10**9) %}x{% endfor %}", "huge number"),
    "loops in loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "too long"),
    "a loop over a long text": (
        "{% set x = 'ab' * 400000 %}{% for i in x %}{% for j in x %}{% endfor %}{% endfor %}",
        "too long",
    ),
    "loops that print": (
        "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}",
        "millions",
    ),
    "a recursive loop": ("{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}", "recursive loop"),
    "10 GB of a": ("{{ 'a' * 10**10 }}", "millions"),
    "10 GB of a, set": ("{% set x = 10000000000 * 'a' %}{{ x }}", "millions"),
    "a list of 10^10": ("{{ [0] * 10**10 }}", "millions"),
    "a power": ("{{ 9 ** 99999999 }}", "huge number"),
    "a growing number": (
        "{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}{{ ns.n }}",
        "huge number",
    ),
    "a text that doubles": (_DOUBLED.replace("SET", "s = ns.s + ns.s"), "millions"),
    "a text that doubles by ~": (_DOUBLED.replace("SET", "s = ns.s ~ ns.s"), "millions"),
    "a text that doubles in a block": (
        _DOUBLED.replace("{% set ns.SET %}", "{% set y %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = y %}"),
        "millions",
    ),
    "a list of itself twice": (_DOUBLED.replace("SET", "t = [ns.t, ns.t]"), "millions"),
    "a dictionary of itself twice": (_DOUBLED.replace("SET", "t = dict(a=ns.t, b=ns.t)"), "millions"),
    "a namespace of itself twice": (_DOUBLED.replace("SET", "t = namespace(a=ns.t, b=ns.t)"), "millions"),
    "a macro without end": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    "a macro in a tree": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "too long",
    ),
    "a wide field of %": ("{{ '%10000000000d' % 1 }}", "long fields"),
    "a wide field of format": ("{{ '%10000000000d' | format(1) }}", "long fields"),
    "a wide field of braces": ("{{ '{:10000000000}'.format(1) }}", "long fields"),
    "a field that is told its width": ("{{ '{:{}}'.format(1, 99999) }}", "long fields"),
    "a centred text": ("{{ 'a'.center(99999) }}", "unsafe"),
    "a wide indent": ("{{ ('\\n' * 100000) | indent(99999) }}", "millions"),
    "replacing much by more": (f"{_LONG}{{{{ x | replace('a', x) }}}}", "millions"),
    "joining by much": (f"{_LONG}{{{{ x.join(x) }}}}", "millions"),
    "joining a range by much": (f"{_LONG}{{{{ range(99999) | map('string') | join(x) }}}}", "millions"),
    "a mapped default": (f"{_LONG}{{{{ range(99999) | map(attribute='x', default=x) | join }}}}", "millions"),
    "JSON with a wide indent": ("{{ ([[1]] * 50000) | tojson(indent=99999) }}", "millions"),
    "lorem ipsum": ("{{ lipsum(n=100000) }}", "undefined"),
    "a date of a megabyte": ("{{ strftime_now('%1000000000Y') }}", "long fields"),
    "a template of 10 MB": ("x" * 10_000_000, "10,000,000 characters"),
    "5,000 brackets": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
    "5,000 ifs": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, "characters|recursion"),
    "a way to classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "a way to globals": ("{{ cycler.__init__.__globals__.os.system('touch ran') }}", "unsafe"),
    "a file": ("{% include '/etc/passwd' %}", "loader"),
    "an import": ("{% import 'os' as os %}{{ os }}", "loader"),
    "half a template": ("{% for m in messages %}", "refuses"),
    "an unknown filter": ("{{ messages | evil }}", "No filter"),
    "a refusal with escapes": ("{{ raise_exception('\x1b[31m' * 10000) }}", "refuses"),
    "an empty rendering": ("{# nothing #}", "writes nothing"),
}

_MODELS: dict[str, tuple[Build, str]] = {
    "a pipe as configuration": (_replaced("config.json", os.mkfifo), "pipe|config.json"),
    "a pipe as tokenizer": (_replaced("tokenizer.json", os.mkfifo), "not a regular file"),
    "a pipe as weights": (_replaced("model.safetensors", os.mkfifo), "not a regular file"),
    "a pipe as template": (_replaced("chat_template.jinja", os.mkfifo), "not a regular file"),
    "a pipe beside them": (_replaced("notes.json", os.mkfifo), "not a regular file"),
    "a socket": (_replaced("generation_config.json", _socket), "not a regular file"),
    "a device": (_replaced("generation_config.json", lambda path: path.symlink_to("/dev/zero")), "not a regular file"),
    "a link to itself": (_replaced("tokenizer.json", lambda path: path.symlink_to(path.name)), "cannot be read"),
    "a link to nothing": (
        _replaced("model.safetensors", lambda path: path.symlink_to("/nowhere/at/all")),
        "cannot be read",
    ),
    "a folder as weights": (_replaced("model.safetensors", os.mkdir), "not a regular file"),
    "half of the weights": (_cut, "damaged"),
    "no weights": (_replaced("model.safetensors", lambda path: None), "cannot be opened"),
    "weights of no byte": (_bytes("model.safetensors", b""), "damaged"),
    "a header of 2^60 bytes": (_bytes("model.safetensors", struct.pack("<Q", 2**60) + b"{}"), "damaged"),
    "a header that is no JSON": (_bytes("model.safetensors", struct.pack("<Q", 8) + b"nonsense"), "damaged"),
    "a deep header": (_bytes("model.safetensors", struct.pack("<Q", len(_DEEP)) + _DEEP.encode()), "damaged"),
    "weights that overlap": (_header(_overlap), "damaged"),
    "a weight of 2^80": (_header(_huge_shape), "damaged"),
    "a weight that is missing": (_weights(lambda stored: _lose(stored, "down_proj")), "lack .*down_proj.* and 1 more"),
    "the head is missing": (_weights(lambda stored: _lose(stored, "lm_head")), "lack lm_head"),
    "a weight too many": (
        _weights(lambda stored: stored.update({"model.evil": torch.ones(2)})),
        "the model lacks: model.evil",
    ),
    "a weight of another shape": (
        _weights(lambda stored: stored.update({"model.norm.weight": torch.ones(7)})),
        "other shapes",
    ),
    "NaN": (_weights(_fill(float("nan"), "up_proj")), "up_proj.* NaN"),
    "an infinite weight": (_weights(_fill(float("inf"), "norm")), "norm.* infinite"),
    "pickled weights": (_pickled, "cannot be opened"),
    "code for a known type": (_with_code(auto_map=_AUTO), ""),
    "code for an unknown type": (_with_code(auto_map=_AUTO, model_type="evil"), "cannot be opened"),
    "code of a tokenizer": (_tokenizer_code, ""),
    "a negative size": (_config(hidden_size=-4), "'hidden_size' should be"),
    "a huge size": (_config(intermediate_size=10**12), "'intermediate_size' should be"),
    "a billion layers": (_config(num_hidden_layers=10**9), "'num_hidden_layers' should be"),
    "4,000 layers": (_config(num_hidden_layers=4000), "names 4,000 layers"),
    "a huge vocabulary": (_config(vocab_size=2**40), "'vocab_size' should be"),
    "no heads": (_config(num_attention_heads=0), "cannot be opened"),
    "a size of words": (_config(hidden_size="many"), "cannot be opened"),
    "a size null": (_config(hidden_size=None), "cannot be opened"),
    "layers a list": (_config(num_hidden_layers=[2]), "cannot be opened"),
    "an unknown activation": (_config(hidden_act="evil"), "cannot be opened"),
    "a number of 5,000 digits": (_text("config.json", '{"n": ' + "9" * 5000 + "}"), "is not JSON"),
    "a configuration that is a list": (_text("config.json", "[]"), "should hold an object"),
    "half a configuration": (_text("config.json", '{"model_type": "ll'), "is not JSON"),
    "a deep configuration": (_text("config.json", _DEEP), "is not JSON"),
    "a type that is a list": (_config(model_type=[]), "cannot be opened"),
    "a configuration of bytes": (_bytes("config.json", b"\xff\xfe\x00"), "is not JSON"),
    "a configuration of 100 MB": (
        _replaced("config.json", lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 10**8)),
        "which no model needs",
    ),
    "half a tokenizer": (_text("tokenizer.json", '{"version": "1.0", "mod'), "cannot be opened"),
    "a tokenizer of another kind": (_text("tokenizer.json", "[]"), "cannot be opened"),
    "a deep tokenizer": (_text("tokenizer.json", _DEEP), "cannot be opened"),
    "a tokenizer with an empty model": (_set("tokenizer.json", model={"type": "BPE"}), ""),
    "a tokenizer with negative ids": (
        _set("tokenizer.json", model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
        "cannot be opened",
    ),
    "a tokenizer with endless merges": (
        _set("tokenizer.json", model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"] * 9}),
        "cannot be opened",
    ),
    "settings of a tokenizer that are a list": (_text("tokenizer_config.json", "[]"), "cannot be opened"),
    "no tokenizer": (
        lambda folder: [file.unlink() for file in folder.glob("tokenizer*")] and None,
        "cannot be opened|no chat template",
    ),
    "stop tokens of words": (_set("generation_config.json", eos_token_id="evil"), ""),
    "half a generation_config": (_text("generation_config.json", "{"), ""),
    "an adapter of words": (_text("adapter/adapter_config.json", "evil"), "is not JSON"),
    "an adapter of an unknown kind": (_adapter(peft_type="EVIL"), "does not fit"),
    "an adapter of rank 10^9": (_adapter(r=10**9), "'r' should be"),
    "an adapter of negative rank": (_adapter(r=-2), "'r' should be"),
    "an adapter of a slow pattern": (_adapter(target_modules="(a+)+$"), "slow regular expression"),
    "an adapter of a slow rank pattern": (_adapter(rank_pattern={"(.*)*x": 4}), "slow regular expression"),
    "an adapter for nothing": (_adapter(target_modules=["evil"]), "does not fit"),
    "an adapter that is pickled": (_pickled_adapter, "not a whole peft adapter"),
    "half an adapter": (_bytes("adapter/adapter_model.safetensors", b"\x08\0\0\0\0\0\0\0{}"), "does not fit"),
    "an adapter of NaN": (_weights(_fill(float("nan"), "q_proj"), "adapter/adapter_model.safetensors"), "NaN.*q_proj"),
    "an adapter with a pipe": (_replaced("adapter/adapter_model.safetensors", os.mkfifo), "not a regular file"),
    "an adapter of another model": (
        _weights(
            lambda stored: stored.update({k: torch.ones(2, 7) for k in stored if "lora_A" in k}),
            "adapter/adapter_model.safetensors",
        ),
        "does not fit",
    ),
}

CASES: list[Case] = [
    *(Case(f"model: {name}", build, says) for name, (build, says) in _MODELS.items()),
    *(Case(f"template: {name}", _template(text), says) for name, (text, says) in TEMPLATES.items()),
]


def trial(sound_model: Path, case: Case, folder: Path) -> tuple[str, str]:
    """Build a case in `folder`, open and ask it; return (what went wrong or "", what was said)."""
    shutil.copytree(sound_model, folder)
    case.build(folder)
    begun, said = time.monotonic(), ""
    try:
        model = LocalModel(str(folder), adapter=folder / "adapter" if "adapter" in case.name else None)
        request = Request(messages=(Message("user", "Hello"),), sampling=Sampling(temperature=0, max_tokens=2))
        with Run() as run:
            ask(model, [request], run=run, stage="trial")
    except CaiError as error:
        said = str(error)
    except BaseException as error:
        return f"{case.name}: {type(error).__name__}: {error}"[:500], said
    if time.monotonic() - begun > LONGEST:
        return f"{case.name}: took {time.monotonic() - begun:.0f} s", said
    if list(folder.rglob(RAN)) or Path(RAN).exists():
        return f"{case.name}: its code ran", said
    if case.says and not re.search(case.says, said):
        return f"{case.name}: says '{said[:300]}', not '{case.says}'", said
    if len(said) > 1500 or re.search(r"[\x00-\x08\x1b\n]", said):
        return f"{case.name}: says {said[:300]!r}", said
    return "", said
