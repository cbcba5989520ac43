"""Export a finished run: its adapter, checked for the servers that take one; merged; as GGUF; for Ollama; its pairs.

Everything is written from what the run trained and measured, and export.json records what was written and how far it
is from what was measured. `cai-lite evaluate --served` examines it where it is served.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat import bases
from cai_lite.chat.modelfiles import tokenizer_of_source
from cai_lite.chat.weights import resolve
from cai_lite.errors import InputError, ModelError
from cai_lite.evaluation.neutral import TEXTS
from cai_lite.evaluation.result import ANSWERS, read_answers, read_evaluation
from cai_lite.pipeline.recipe import Recipe, load_recipe
from cai_lite.records import Message, Messages
from cai_lite.reporting.card import card
from cai_lite.run.files import methods_of, version, write_text
from cai_lite.serving.drift import Drift
from cai_lite.serving.gguf import (
    PLACE,
    Conversion,
    adapter_conversion,
    convert,
    find_converters,
    lost_in_tokenizer,
    model_conversion,
    tokenizer_problem,
)
from cai_lite.serving.merging import Half, half_of
from cai_lite.serving.merging import merge as merged_into_base
from cai_lite.serving.ollama import form_of, modelfile
from cai_lite.serving.publishing import CARD, check_base_public, check_push, write_dataset
from cai_lite.serving.publishing import push as pushed_to_hub
from cai_lite.serving.servable import LLAMA_CPP, VLLM, Adapter, Finding, findings, read_adapter, vllm_command

RECORD = "export.json"
_ADAPTER, _MERGED, _GGUF, _DATASET, _MODELFILE = "adapter", "merged", "gguf", "dataset", "Modelfile"


@dataclass(kw_only=True)
class Export:
    """What an export came to.

    `written`: what was written, by kind. `findings`: what servers do with the adapter as it is. `problems`: what was
    asked for and not made, one sentence each. `commands`: what to type next, each with what it does. `drift`: of the
    merged model. `pushed`: the address on the hub.
    """

    out: Path
    written: dict[str, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)
    drift: Drift | None = None
    pushed: str = ""

    @property
    def whole(self) -> bool:
        """Whether all that was asked for was made, and some server takes it as it is."""
        refused = {one.server for one in self.findings if one.refused}
        return not self.problems and not (refused == {VLLM, LLAMA_CPP} and _MERGED not in self.written)

    def as_dict(self) -> dict[str, Any]:
        """Return the form of `--json` and of export.json."""
        return {
            "out": str(self.out),
            "written": {kind: str(path) for kind, path in self.written.items()},
            "findings": [one._asdict() for one in self.findings],
            "problems": self.problems,
            "commands": [{"for": what, "command": command} for what, command in self.commands],
            **({"drift": self.drift.as_dict()} if self.drift else {}),
            **({"pushed": self.pushed} if self.pushed else {}),
        }


def export(
    run: str | Path,
    out: str | Path,
    *,
    merge: bool = False,
    gguf: bool = False,
    ollama: bool = False,
    dataset: bool = False,
    dtype: Half | None = None,
    llama_cpp: str | Path | None = None,
    license: str | None = None,
    push: str | None = None,
    public: bool = False,
) -> Export:
    """Export a finished run to the folder `out`; without any choice, its adapter alone.

    `merge`: also the base with the adapter merged into it, in 16 bits (`dtype`, by default that of the base's files).
    `gguf`: the adapter, and with `merge` the merged model, by llama.cpp's converters in the folder `llama_cpp`; where
    they are not installed, the commands are returned. `ollama`: a Modelfile. `dataset`: the pairs, as Parquet with card
    and Croissant metadata, under `license`. `push`: the repository on the hub for what was chosen: the data set, the
    merged model, or the adapter. What an earlier export in `out` wrote under the same names is
    replaced; the rest of it stays.

    Raises:
        InputError: `run` is no finished run, or `out` holds something else; nothing was written.
        Stopped: the hub did not take what was pushed; the folder stands.
    """
    run, out = Path(run), Path(out)
    recipe = _recipe_of(run)
    _check_out(run, out)
    model = recipe.student.model
    found = Export(out=out)
    whole = merge or gguf or ollama or not dataset
    adapter = read_adapter(run / "adapter") if whole else None
    converters = find_converters(Path(llama_cpp) if llama_cpp else None) if gguf else None
    if push:
        if dataset and whole:
            raise InputError("--push takes one kind at a time: --dataset alone, --merge, or the adapter")
        if not (dataset or merge):
            check_base_public(model)
        check_push(push)
    out.mkdir(parents=True, exist_ok=True)
    if adapter is not None:
        _adapter(found, run, model, adapter)
        if merge:
            _merge(found, recipe, run, dtype or half_of(model))
        if gguf:
            _gguf(found, model, converters, dtype)
        if ollama:
            _ollama(found, recipe, model)
    if dataset:
        write_dataset(run, out / _DATASET, license=license)
        found.written[_DATASET] = out / _DATASET
    _record(found, run)
    if push:
        _push(found, push, dataset=dataset, merged=merge, public=public)
        _record(found, run)
    return found


def show_export(found: Export, say: Any) -> None:
    """Print an export line by line through `say`."""
    for kind, path in found.written.items():
        say(f"{kind}: {path}")
    if found.drift is not None:
        say(found.drift.in_words())
    for one in found.findings:
        say(f"{one.server} {'refuses the adapter' if one.refused else 'and the adapter'}: {one.text}")
    for problem in found.problems:
        say(f"! {problem}")
    for what, command in found.commands:
        say(f"{what}:\n  {command}")
    if found.pushed:
        say(f"pushed: {found.pushed}")


def _recipe_of(run: Path) -> Recipe:
    missing = [name for name in ("recipe.yaml", "adapter/adapter_config.json") if not (run / name).is_file()]
    if missing:
        raise InputError(f"{run} is not the directory of a finished run ({missing[0]} not found)")
    return load_recipe(run / "recipe.yaml", environment=False)


def _check_out(run: Path, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to export to")
    if out.resolve() == run.resolve() or run.resolve().is_relative_to(out.resolve()):
        raise InputError(f"{out} holds the run itself; give another folder to export to")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise InputError(f"{out} is not empty, and no earlier export; give an empty folder, or one that does not exist")


def _adapter(found: Export, run: Path, model: str, adapter: Adapter) -> None:
    """Copy the adapter, which names its base as others can find it."""
    place = found.out / _ADAPTER
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(adapter.folder, partial)
    settings = {**adapter.settings, "base_model_name_or_path": resolve(model)}
    write_text(partial / "adapter_config.json", json.dumps(settings, indent=1) + "\n")
    if not (partial / CARD).is_file() and (text := _card(run)):
        write_text(partial / CARD, text)
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    found.written["adapter"] = place
    found.findings = findings(adapter)
    if not any(one.refused for one in found.findings if one.server == VLLM):
        found.commands.append(("serve the adapter by vLLM", vllm_command(resolve(model), adapter, place, "student")))


def _merge(found: Export, recipe: Recipe, run: Path, dtype: Half) -> None:
    place = found.out / _MERGED
    student = recipe.student
    found.drift = merged_into_base(
        student.model,
        run / "adapter",
        place,
        _said(run),
        dtype=dtype,
        sampled=_temperature(recipe) > 0,
        load=student.load,
        template=student.template,
        system=student.system,
    )
    lines = (f"Merged into the base in {dtype}.", f"{(said := found.drift.in_words())[0].upper()}{said[1:]}.")
    if text := _card(run, merged=lines):
        write_text(place / CARD, text)
    found.written[_MERGED] = place
    found.commands.append(("serve the merged model", shlex.join(["vllm", "serve", str(place)])))
    found.commands.append(("or by transformers", shlex.join(["transformers", "serve", str(place)])))


def _gguf(found: Export, model: str, converters: Path | None, dtype: Half | None) -> None:
    folder, base = found.out / _GGUF, bases.folder_of(resolve(model))
    asked = []
    if not any(one.refused for one in found.findings if one.server == LLAMA_CPP):
        asked.append(adapter_conversion(converters, str(base or model), found.out / _ADAPTER, folder / "adapter.gguf"))
    if _MERGED in found.written:
        merged = found.written[_MERGED]
        asked.append(model_conversion(converters, str(merged), folder / "merged.gguf", dtype or half_of(str(merged))))
    done = [convert(each, converters) for each in asked]
    for each in done:
        _converted(found, each, here=converters is not None)
    of = found.written.get(_MERGED, base)
    if asked and of is not None and (lost := lost_in_tokenizer(of)):
        found.findings.append(Finding(LLAMA_CPP, False, lost))
    if not asked:
        found.problems.append("no GGUF: llama.cpp takes no adapter like this one; --merge --gguf makes a whole model")
    if converters is None:
        found.problems.append(
            f"no GGUF was written: llama.cpp's converters are not installed here; give its folder as --llama-cpp or "
            f"{PLACE}, or type the commands below"
        )
    if _MERGED in found.written:
        if not done[-1].problem or converters is None:
            words = ["llama-server", "-m", str(done[-1].file), "--jinja"]
            found.commands.append(("serve the GGUF", shlex.join(words)))
    elif asked:
        of_base = model_conversion(converters, str(base or model), folder / "base.gguf")
        if converters and base and (problem := tokenizer_problem(converters, str(base), of_base.file)):
            found.problems.append(f"adapter.gguf has no base to be added to: {problem}")
            return
        found.commands.append(("convert the base, once", of_base.text))
        words = ["llama-server", "-m", str(of_base.file), "--lora", str(folder / "adapter.gguf"), "--jinja"]
        words += ["--chat-template-file", str(found.out / _ADAPTER / "chat_template.jinja")]
        found.commands.append(("serve it with the adapter", shlex.join(words)))


def _converted(found: Export, done: Conversion, *, here: bool) -> None:
    if not done.problem:
        found.written[done.file.name] = done.file
        return
    if here:
        found.problems.append(f"{done.file.name}: {done.problem}")
    found.commands.append((f"make {done.file.name}", done.text))


def _ollama(found: Export, recipe: Recipe, model: str) -> None:
    tokenizer = tokenizer_of_source(str(found.out), str(found.out / _ADAPTER), local=True)
    adapter = ""
    if _MERGED in found.written:
        source = "./gguf/merged.gguf" if "merged.gguf" in found.written else f"./{_MERGED}"
    elif "adapter.gguf" in found.written:
        source, adapter = "./gguf/base.gguf", "./gguf/adapter.gguf"
    else:
        source, adapter = str(bases.folder_of(resolve(model)) or model), f"./{_ADAPTER}"
    settings: Mapping[str, Any] = {"temperature": _temperature(recipe), "top_p": recipe.draft.top_p}
    file = found.out / _MODELFILE
    try:
        text = modelfile(source, form_of(tokenizer), tokenizer, adapter=adapter, settings=settings)
    except ModelError as error:
        file.unlink(missing_ok=True)
        found.problems.append(f"no Modelfile: {error}")
        return
    write_text(file, text)
    found.written["Modelfile"] = file
    found.commands.append(("make it a model of Ollama", f"ollama create student -f {shlex.quote(str(file))}"))


def _push(found: Export, name: str, *, dataset: bool, merged: bool, public: bool) -> None:
    kind: Literal["model", "dataset"] = "dataset" if dataset else "model"
    folder = found.out / (_DATASET if dataset else _MERGED if merged else _ADAPTER)
    found.pushed = pushed_to_hub(folder, name, kind, public=public)


def _temperature(recipe: Recipe) -> float:
    """Return the temperature at which the run's answers were drawn."""
    own = recipe.evaluate.temperature
    return recipe.draft.temperature if own is None else own


def _card(run: Path, merged: tuple[str, ...] = ()) -> str:
    """Return the text of a model card; "" where nothing was measured."""
    if not (run / "evaluation.json").is_file():
        return ""
    return card(read_evaluation(run), methods_of(run), merged=merged)


def _said(run: Path) -> list[tuple[Messages, str]]:
    """Return held-out prompts with the answers of the trained student; sentences where the run has no answers."""
    if (run / ANSWERS).is_file():
        rows = [(row.prompt, row.answer) for row in read_answers(run) if row.side == "after" and row.answer.strip()]
        if rows:
            return rows
    return [((Message("user", text),), other) for text, other in pairwise(TEXTS)]


def _record(found: Export, run: Path) -> None:
    made = {"run": os.path.relpath(run, found.out), "cai_lite": version("cai-lite")}
    write_text(found.out / RECORD, json.dumps({**made, **found.as_dict()}, indent=1, ensure_ascii=False) + "\n")
