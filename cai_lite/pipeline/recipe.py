"""A recipe: one section per stage, in walking order, read from YAML. Each fault has file, line, field and mend.

    recipe = load_recipe("medical", overrides=["train.loss.beta=0.2"])

What a file leaves out has the default written here. `${NAME}` stands for an environment variable. `profiles` holds
named changes to the sections, laid over them on demand: `load_recipe("medical", profile="embedded")`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from cai_lite.chat.weights import Load
from cai_lite.distill.comparisons import PAIRINGS
from cai_lite.distill.judging import Judging
from cai_lite.errors import RecipeError, did_you_mean
from cai_lite.evaluation.gates import check_names
from cai_lite.evaluation.metrics import METRICS, check_metrics
from cai_lite.inputs.yamlfile import (
    FILE,
    Document,
    Keys,
    Place,
    build,
    dotted,
    find_packaged,
    key_of,
    parse_value,
    read_document,
)
from cai_lite.run.ledger import Budget
from cai_lite.training.config import TrainingConfig


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] = (), profile: str | None = None) -> Recipe:
    """Read a packaged recipe (`medical`, `customer-service`, `creative`) or a file.

    `overrides`: `key.key=value`, the value as YAML. `profile`: one of the recipe's `profiles`, laid under the
    overrides. Paths in a file are relative to that file, paths in an override to the working directory. Raises
    RecipeError with a line for each fault.
    """
    document = read_document(find_packaged("recipes", name_or_path, RecipeError), RecipeError)
    document = _with_profile(document, profile)
    for override in overrides:
        document = _with_override(document, override)
    document = _with_seed(_with_paths(document))
    written = build(document, Recipe, RecipeError)
    return dataclasses.replace(build(_with_environment(document), Recipe, RecipeError), written=written)


def training_config(overrides: Iterable[str] = ()) -> TrainingConfig:
    """The default settings of the training alone, with overrides such as `train.loss.beta=0.2`."""
    document = Document("--set", {}, {})
    for override in overrides:
        document = _with_override(document, override)
    return build(document, _TrainingAlone, RecipeError).train


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsSection:
    """`held_out`: the share of the prompts' families kept for evaluation.

    `limit`, `eval_limit`: at most so many prompts to train and to evaluate on.
    """

    file: str
    held_out: float = 0.2
    limit: int | None = None
    eval_limit: int | None = None

    def __post_init__(self) -> None:
        _check(0 <= self.held_out < 1, "held_out", "from 0 to below 1", self.held_out)
        _check(self.limit is None or self.limit >= 1, "limit", "at least 1", self.limit)
        _check(self.eval_limit is None or self.eval_limit >= 1, "eval_limit", "at least 1", self.eval_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of a million tokens that a server reads (`input`) and writes (`output`), in any currency."""

    input: float
    output: float

    def __post_init__(self) -> None:
        _check(self.input >= 0, "input", "0 or more", self.input)
        _check(self.output >= 0, "output", "0 or more", self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """A model: the `url` of an OpenAI-compatible server and its name there, or a folder, a hub id or `embedded:...`.

    `load`: how a local model is held in memory. `api_key_env`: the environment variable that holds the server's key;
    the key itself never stands in a recipe. `concurrency`: most calls under way at once; `prices`: of the server.
    `weight`: among several teachers, of the prompts it gets; among several judges, of its verdicts.
    """

    model: str
    url: str | None = None
    load: Load | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    prices: Prices | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.url is not None and not self.url.startswith(("http://", "https://", "${")):
            raise ValueError(f"'url' should begin with http:// or https://, got '{_without_password(self.url)}'")
        if self.url is not None and self.load is not None:
            raise ValueError("'load' is for local models; the server of 'url' loads its own")
        _check(self.concurrency >= 1, "concurrency", "at least 1", self.concurrency)
        _check(0 < self.weight < math.inf, "weight", "above 0", self.weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSection:
    """Who drafts, and how: `n` answers to each prompt."""

    from_: Literal["student", "teacher"] = "student"
    n: int = 2
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        _check(self.n >= 1, "n", "at least 1", self.n)
        _check(self.temperature >= 0, "temperature", "0 or more", self.temperature)
        _check(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self.top_p)
        _check(self.max_tokens >= 1, "max_tokens", "at least 1", self.max_tokens)
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"'temperature' 0 gives {self.n} times the same draft; set n: 1 or a temperature above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueSection:
    """How many principles are drawn for each draft."""

    principles_per_draft: int = 2

    def __post_init__(self) -> None:
        _check(self.principles_per_draft >= 1, "principles_per_draft", "at least 1", self.principles_per_draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviseSection:
    """`rounds`: at most so many, 0 for none. `until`: "satisfied" stops at the critique's word, "rounds" goes on."""

    rounds: int = 3
    until: Literal["satisfied", "rounds"] = "satisfied"

    def __post_init__(self) -> None:
        _check(self.rounds >= 0, "rounds", "0 or more", self.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSection(Judging):
    """Who judges, and how. `by`: a model of its own or several of them, else the teachers."""

    by: ModelSection | tuple[ModelSection, ...] | None = None

    def __post_init__(self) -> None:
        Judging.__post_init__(self)
        _check(self.by != (), "by", "a model, or a list of at least one", "an empty list")

    @property
    def models(self) -> tuple[ModelSection, ...]:
        """All of `by`."""
        return self.by if isinstance(self.by, tuple) else (self.by,) if self.by else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSection:
    """Which comparisons become pairs.

    `min_margin`: the least |p - 0.5|, 0 to 0.5. `clamp`: the highest label; left out, 0.6 after a chain of thought.
    `per_prompt`: so many of a prompt and rule. `near`: drop pairs that resemble an earlier one, or a held-out prompt,
    by so much; `max_length_ratio`: and those of which one side is so many times as long. `balance`: of a principle at
    most so many times the median over principles. `human`: a preference file of people's pairs, mixed in.
    """

    rules: tuple[str, ...] = ("revision_over_draft",)
    min_margin: float = 0.2
    soft_labels: bool = True
    clamp: float | None = None
    per_prompt: int | None = None
    near: float | None = None
    max_length_ratio: float | None = None
    balance: float | None = None
    human: str | None = None

    def __post_init__(self) -> None:
        _check(self.near is None or 0 < self.near <= 1, "near", "above 0 and at most 1", self.near)
        _check(
            self.max_length_ratio is None or self.max_length_ratio >= 1,
            "max_length_ratio",
            "at least 1",
            self.max_length_ratio,
        )
        for rule in self.rules:
            if rule not in PAIRINGS:
                raise ValueError(f"'rules': unknown pairing rule '{rule}'{did_you_mean(rule, PAIRINGS)}")
        distinct = bool(self.rules) and len(set(self.rules)) == len(self.rules)
        _check(distinct, "rules", "a list of rules, each once", list(self.rules))
        _check(0 <= self.min_margin < 0.5, "min_margin", "from 0 to below 0.5", self.min_margin)
        _check(self.clamp is None or 0.5 < self.clamp <= 1, "clamp", "above 0.5 and at most 1", self.clamp)
        _check(self.balance is None or self.balance >= 1, "balance", "at least 1", self.balance)
        _check(self.per_prompt is None or self.per_prompt >= 1, "per_prompt", "at least 1", self.per_prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSection:
    """The evaluation on held-out prompts, with `samples` answers to each.

    `metrics`: "adherence" to each principle; "preference_accuracy" on held-out pairs; "win_rate" against the base;
    "refusals" of benign twins and of unsafe requests; "drift" of form, length, perplexity and KL; "robustness" to
    wrapped prompts; "superficial" gains; "confounds" of the training pairs; "reliability" of the judge. `must`:
    conditions by path, such as `{adherence: ">= 0.8", over_refusal.high: "<= 0.05"}`; where one does not hold, the
    command exits with status 1. `oracle`: "embedded" also scores with the grammar that the embedded models were made
    from. `temperature`: of the answers before and after; that of the drafts where left out. `pair_prompts`: the limit
    of held-out prompts, evenly spread, that are drafted and judged for held-out pairs.
    """

    metrics: tuple[str, ...] = field(default_factory=lambda: tuple(METRICS))
    must: Mapping[str, str] = field(default_factory=dict)
    oracle: Literal["embedded"] | None = None
    samples: int = 1
    temperature: float | None = None
    pair_prompts: int | None = None

    def __post_init__(self) -> None:
        _check(self.samples >= 1, "samples", "at least 1", self.samples)
        check_metrics(self.metrics)
        check_names(self.must, self.metrics)
        _check(self.temperature is None or self.temperature >= 0, "temperature", "0 or more", self.temperature)
        _check(self.pair_prompts is None or self.pair_prompts >= 1, "pair_prompts", "at least 1", self.pair_prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole walk. `constitution`: a packaged name or a path. `path`: the file it was read from.

    `teacher`, or several of them as `teachers`: each prompt is then given to one, by weight.

    `seed`: of all that is drawn; the training takes it too, unless `train.seed` says otherwise.
    """

    constitution: str
    prompts: PromptsSection
    student: ModelSection
    teacher: ModelSection | None = None
    teachers: tuple[ModelSection, ...] = ()
    draft: DraftSection = field(default_factory=DraftSection)
    critique: CritiqueSection = field(default_factory=CritiqueSection)
    revise: ReviseSection = field(default_factory=ReviseSection)
    judge: JudgeSection = field(default_factory=JudgeSection)
    pair: PairSection = field(default_factory=PairSection)
    train: TrainingConfig = field(default_factory=TrainingConfig)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    path: str = field(default="", metadata=FILE)
    written: Recipe | None = field(default=None, metadata={"filled_with": "load_recipe"}, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.teacher is not None and self.teachers:
            raise ValueError("'teacher' and 'teachers' are both given; keep one of them")
        if not self.all_teachers:
            raise ValueError("'teacher' is missing: name one as 'teacher', or several in a list as 'teachers'")
        sections = (*self.all_teachers, *self.judge.models)
        if self.budget.max_cost is not None and not any(section.prices for section in sections):
            raise ValueError("'budget' has a 'max_cost', but no model has 'prices': write them, or take max_tokens")
        if self.student.url is not None:
            raise ValueError(
                "'student' has a 'url', but a student is trained here: give a folder, a hub id or embedded:student"
            )

    @property
    def all_teachers(self) -> tuple[ModelSection, ...]:
        """The one of `teacher`, or all of `teachers`."""
        return self.teachers or ((self.teacher,) if self.teacher else ())

    @property
    def name(self) -> str:
        """The name of its file, such as `medical`."""
        return Path(self.path).stem

    def resolved(self) -> str:
        """The recipe as YAML with every default written out; `load_recipe` reads it back.

        Environment variables stand as `${NAME}`, and a password in a URL is left out, so that no secret gets on disk.
        """
        return yaml.safe_dump(_plain(self.written or self), sort_keys=False, allow_unicode=True, width=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TrainingAlone:
    train: TrainingConfig = field(default_factory=TrainingConfig)


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"'{name}' should be {expected}, got {got}")


def _with_profile(document: Document, profile: str | None) -> Document:
    """The document with the profile laid over it, and without the others."""
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    places = {keys: place for keys, place in document.places.items() if keys[:1] != ("profiles",)}
    profiles = document.data.get("profiles") or {}
    if not isinstance(profiles, dict):
        raise RecipeError(document.fault(("profiles",), "'profiles' should be a section of named profiles"))
    if profile is None:
        return Document(document.file, data, places)
    if profile not in profiles:
        near = did_you_mean(profile, profiles)
        raise RecipeError(document.fault(("profiles",), f"the recipe has no profile '{profile}'{near}"))
    if not isinstance(profiles[profile], dict):
        raise RecipeError(document.fault(("profiles", profile), f"the profile '{profile}' should be a section"))
    places |= {
        keys[2:]: place for keys, place in document.places.items() if keys[:2] == ("profiles", profile) and keys[2:]
    }
    return Document(document.file, _laid_over(data, profiles[profile]), places)


def _laid_over(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections are merged key by key; any other value takes the place of the one below."""
    merged = dict(under)
    for key, value in over.items():
        below = under.get(key)
        merged[key] = _laid_over(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _with_override(document: Document, override: str) -> Document:
    name, equals, text = override.partition("=")
    source = f"--set {override}"
    keys: Keys = tuple(name.strip().split("."))
    if not equals or not all(keys):
        raise RecipeError(f"{source}: an override is written key.key=value, such as train.loss.beta=0.2")
    value = parse_value(text, source, RecipeError)
    for key in reversed(keys[1:]):
        value = {key: value}
    new = {keys[:n]: Place(source, None) for n in range(1, len(keys) + 1)}
    # The sections above a key stay where they were; the value, and what stood below it, is now the option's.
    places = new | {known: place for known, place in document.places.items() if known[: len(keys)] != keys}
    return Document(document.file, _laid_over(document.data, {str(keys[0]): value}), places)


def _with_paths(document: Document) -> Document:
    """Paths of the recipe's file, made relative to that file; those of an override are relative to where we are."""
    data = dict(document.data)
    folder = Path(document.file).parent

    def found(keys: Keys, value: str) -> str:
        path = Path(value).expanduser()
        return str(path if path.is_absolute() or document.place(keys).file != document.file else folder / path)

    name = data.get("constitution")
    if isinstance(name, str) and (name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name):
        data["constitution"] = found(("constitution",), name)
    for section, key in (("prompts", "file"), ("pair", "human")):
        within = data.get(section)
        if isinstance(within, dict) and isinstance(within.get(key), str):
            file = found((section, key), within[key])
            if not Path(file).is_file() and "${" not in file:
                raise RecipeError(document.fault((section, key), f"'{section}.{key}': no such file: {file}"))
            data[section] = within | {key: file}
    return dataclasses.replace(document, data=data)


def _with_seed(document: Document) -> Document:
    """The recipe's seed, given to the training where that has none of its own."""
    data, train = document.data, document.data.get("train", {})
    if "seed" not in data or not isinstance(train, dict) or "seed" in train:
        return document
    places = {**document.places, ("train", "seed"): document.place(("seed",))}
    return Document(document.file, data | {"train": train | {"seed": data["seed"]}}, places)


def _with_environment(document: Document) -> Document:
    """Every `${NAME}` replaced by the environment's value. Raises RecipeError where one is unset or empty."""
    faults: list[str] = []

    def filled(value: Any, keys: Keys) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner, (*keys, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner, (*keys, i)) for i, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in re.findall(r"\$\{(\w+)\}", value):
            if not os.environ.get(name):
                wants = f"'{dotted(keys)}' wants the environment variable {name}, which is not set"
                faults.append(document.fault(keys, f"{wants}; export {name}=... or use --set {dotted(keys)}=..."))
        return re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), value)

    data = filled(document.data, ())
    if faults:
        raise RecipeError("\n".join(faults))
    return dataclasses.replace(document, data=data)


def _plain(value: Any) -> Any:
    """Dataclasses as the sections they are read from."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.init and "filled_with" not in f.metadata]
        return {key_of(f): _plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://***@", text)
