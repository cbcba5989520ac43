"""Recipes: the settings of a run, read from YAML, with one section per stage in the order of the stages.

    recipe = load_recipe("medical", overrides=["train.loss.beta=0.2"])

A field that the file leaves out takes the default given in the classes below. `${NAME}` is replaced by the environment
variable NAME. `profiles` holds named sets of changes to the sections; `load_recipe("medical", profile="embedded")`
applies one. Every error names file, line and field, and says how to correct it.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from cai_lite.chat import BACKENDS
from cai_lite.chat.base import SystemMessage
from cai_lite.chat.batch import Batch
from cai_lite.chat.crew import Actors
from cai_lite.chat.endpoint import own_field
from cai_lite.chat.weights import Load
from cai_lite.distill.comparisons import PAIRINGS
from cai_lite.distill.judging import Judging
from cai_lite.errors import RecipeError, did_you_mean, without_secrets
from cai_lite.evaluation.baselines import DEFAULT, EARLIER, TEACHER
from cai_lite.evaluation.comparing import MARGIN
from cai_lite.evaluation.gates import check_names
from cai_lite.evaluation.metrics import BASELINES, METRICS, OWN, check_baselines, check_metrics, default_metrics
from cai_lite.evaluation.own import OwnMetric
from cai_lite.inputs.yamlfile import (
    DEPTH,
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
from cai_lite.pipeline.sources import CRITIQUES, OF_PAIRS, OF_PHASES, PROMPTED, REVISIONS, SOURCES, check_source
from cai_lite.run.ledger import Budget
from cai_lite.training.config import Lora, TrainingConfig
from cai_lite.training.methods import METHODS
from cai_lite.training.methods.preference_model import VERDICTS
from cai_lite.training.methods.sft import CHOSEN
from cai_lite.training.rl_settings import Rl

STUDENT = "student"  # in `critique.by`


def load_recipe(
    name_or_path: str | Path, overrides: Iterable[str] = (), profile: str | None = None, *, environment: bool = True
) -> Recipe:
    """Read a packaged recipe (`medical`, `customer-service`, `creative`) or a recipe file.

    `overrides`: items such as `train.loss.beta=0.2`, the value in YAML; they take precedence over file and profile.
    `profile`: the name of one of the recipe's `profiles`; it takes precedence over the file. Paths in the file are
    relative to the file, paths in an override to the working directory. `environment`: replace `${NAME}`; if false,
    it stays as it is, for what asks no server.

    Raises:
        RecipeError: the recipe cannot be read; one line per error, with file, line and field.
    """
    document = read_document(find_packaged("recipes", name_or_path, RecipeError), RecipeError)
    document = _with_profile(document, profile)
    for override in overrides:
        document = _with_override(document, override)
    document = _with_seed(_with_paths(document))
    written = build(document, Recipe, RecipeError)
    if not environment:
        return dataclasses.replace(written, written=written)
    return dataclasses.replace(build(_with_environment(document), Recipe, RecipeError), written=written)


def training_config(overrides: Iterable[str] = ()) -> TrainingConfig:
    """Return the default training settings with overrides such as `train.loss.beta=0.2` applied.

    Raises:
        RecipeError: an override is not one of the section `train`, or its value is invalid.
    """
    document = Document("--set", {}, {})
    for override in overrides:
        document = _with_override(document, override)
    return build(document, _TrainingOnly, RecipeError).train


def recorded_training(recipe: Path, overrides: Iterable[str] = ()) -> tuple[StudentSection, TrainingConfig]:
    """Return the student of a run's recipe.yaml, and the settings of one training alone, with overrides applied.

    They are those of the phase that has the method (and `on`) of the overrides, else the defaults with the recipe's
    seed; where there is one phase alone, no method need be named. Nothing else of the recipe is read, so its prompts
    need not be on this machine.

    Raises:
        RecipeError: the file or an override is invalid.
    """
    document = _with_seed(read_document(recipe, RecipeError))
    wanted = Document("--set", {}, {})
    for override in overrides:
        wanted = _with_override(wanted, override)
    asked = {name: value for name, value in wanted.data.get("train", {}).items() if name in ("method", "on")}
    sections = document.data.get("train") or {}
    sections = sections if isinstance(sections, list) else [sections]
    if len(sections) > 1 and "method" not in asked:
        known = ", ".join(str(each.get("method", "dpo")) for each in sections)
        raise RecipeError(f"{recipe} has several phases: {known}; name the one to train by --method")
    found = [each for each in sections if asked.items() <= ({"method": "dpo", "on": None} | each).items()]
    alone = found[0] if found else {"seed": document.data.get("seed", 0)}
    only = Document(document.file, {"student": document.data.get("student"), "train": alone}, document.places)
    for override in overrides:
        only = _with_override(only, override)
    read = build(only, _StudentAndTraining, RecipeError)
    return read.student, read.train


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsSection:
    """Settings of the prompts, and of their split into training and held-out prompts.

    `file`: a prompt file (JSONL), relative to the recipe.
    `held_out`: share of the prompt families held out for evaluation, 0 to below 1; prompts that name their own `split`
    in the file keep it.
    `limit`: use at most this many training prompts; None uses all.
    `eval_limit`: use at most this many held-out prompts; None uses all.
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
    """Prices of a server per million tokens, in any currency: `input` for tokens read, `output` for tokens written."""

    input: float
    output: float

    def __post_init__(self) -> None:
        _check(0 <= self.input < math.inf, "input", "0 or more, and finite", self.input)
        _check(0 <= self.output < math.inf, "output", "0 or more, and finite", self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """A model on a server or a local one.

    `model`: with `url`, the model's name on the server; else a model folder, a hub id, `embedded:teacher` or
    `embedded:student`.
    `adapter`: the folder of an adapter that a local model is opened with; `MODEL#ADAPTER_FOLDER` as `model` says both.
    `url`: base URL of an OpenAI-compatible server, such as `http://localhost:8000/v1`.
    `load`: dtype or quantization of a local model's weights in memory; not allowed with `url`.
    `api_key_env`: name of the environment variable with the server's API key. The key itself never goes in a recipe.
    `concurrency`: limit of simultaneous calls to the server.
    `prices`: prices of the server, needed to report and limit cost.
    `template`: variables of the model's chat template, such as `{enable_thinking: false}` for a model that would think
    before each answer. A server gets them as `chat_template_kwargs`. For the student they hold in drafting, training
    and evaluation alike.
    `extra_body`: further fields of every request to the server, such as `{top_k: 20}`.
    `system`: "keep" sends a system message as such; "merge" puts it in front of the first user turn, for models whose
    chat template refuses one.
    `batch`: true leaves many calls at once to the server's batch API, in OpenAI's form: half the price, within a day. A
    section holds its settings, see `chat.batch.Batch`. `prices` stay those of live calls.
    `ray`: with `--on ray`, how many actors share this model, and what each takes, such as {actors: 4, num_gpus: 1}; see
    `chat.crew.Actors`. The student drafts there only where it has this section, and is trained here all the same.
    `weight`: relative to the other models of the role: a teacher's share of the prompts, a judge's weight in the
    joined verdict; above 0.
    """

    model: str
    adapter: str | None = None
    url: str | None = None
    load: Load | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    prices: Prices | None = None
    template: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] | None = None
    system: SystemMessage = "keep"
    batch: bool | Batch = False
    ray: Actors | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.extra_body and self.url is None and not _names_backend(self.model):
            raise ValueError("'extra_body' is for servers; add their 'url', or use 'template' for a local model")
        if self.batch and self.url is None:
            raise ValueError("'batch' is for servers with a batch API; add their 'url', or leave it out")
        if self.batch and self.ray is not None:
            raise ValueError("'batch' leaves the calls to the server, and 'ray' spreads them; keep one of them")
        if problem := own_field(self.extra_body or {}):
            raise ValueError(problem)
        if self.url is not None and not self.url.startswith(("http://", "https://", "${")):
            raise ValueError(f"'url' should begin with http:// or https://, got '{without_secrets(self.url)}'")
        if self.url is not None and self.load is not None and not isinstance(self, StudentSection):
            raise ValueError("'load' is for local models; the server of 'url' loads its own")
        if self.adapter is not None and (self.url is not None or _names_backend(self.model)):
            raise ValueError("'adapter' is for local models; serve the adapter, and give its name there as 'model'")
        if self.adapter is not None and "#" in self.model:
            raise ValueError("'model' names an adapter behind its #, and 'adapter' another; keep one of them")
        _check(self.concurrency >= 1, "concurrency", "at least 1", self.concurrency)
        _check(0 < self.weight < math.inf, "weight", "above 0 and finite", self.weight)

    @property
    def source(self) -> str:
        """What the model is opened by: `model`, with its adapter as MODEL#ADAPTER_FOLDER."""
        return self.model if self.adapter is None else f"{self.model}#{self.adapter}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSection(ModelSection):
    """The student, which is trained on this machine: the fields of a model, and a server of the same weights.

    `url`: base URL of an OpenAI-compatible server of the same weights, which drafts and answers in place of the local
    copy. Training, log-probabilities and perplexity stay local.
    `served`: the name of the student on that server; by default `model`.
    `adapter_name`: the name under which that server offers the trained adapter, which then gives the answers after
    training; by default the local copy does.
    """

    served: str | None = None
    adapter_name: str | None = None

    def __post_init__(self) -> None:
        ModelSection.__post_init__(self)
        if self.batch:
            raise ValueError("'batch' is for teachers, judges and critics; the student is asked live, so leave it out")
        if self.adapter is not None:
            raise ValueError("a student begins without 'adapter'; to train one further, set train.init_adapter")
        for name in ("served", "adapter_name"):
            if self.url is None and getattr(self, name) is not None:
                raise ValueError(f"'{name}' is a name on the server of 'url'; give the url, too")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSection:
    """Settings of the drafts.

    `from`: which model writes the drafts, "student" or "teacher".
    `n`: number of drafts per prompt.
    `temperature`: sampling temperature; 0 is greedy decoding, which allows only n = 1.
    `top_p`: probability mass of nucleus sampling, above 0 to 1.
    `max_tokens`: length limit of a draft in tokens; drafts that reach it are dropped.
    `best_of`: keep the best of so many draws as a draft, by the scores of the preference model `by`, which is written
    `MODEL#ADAPTER_FOLDER`.
    """

    from_: Literal["student", "teacher"] = "student"
    n: int = 2
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    best_of: int = 1
    by: str | None = None

    def __post_init__(self) -> None:
        _check(self.n >= 1, "n", "at least 1", self.n)
        _check(1 <= self.best_of <= 1000, "best_of", "from 1 to 1,000", self.best_of)
        if (self.best_of > 1) != (self.by is not None):
            raise ValueError("'best_of' above 1 and 'by', the preference model that chooses, go together; give both")
        if self.best_of > 1 and self.temperature == 0:
            raise ValueError("'temperature' 0 gives the same draw each time; set one above 0, or leave out 'best_of'")
        _check(0 <= self.temperature <= 100, "temperature", "from 0 to 100", self.temperature)
        _check(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self.top_p)
        _check(self.max_tokens >= 1, "max_tokens", "at least 1", self.max_tokens)
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"'temperature' 0 gives the same draft {self.n} times; set n: 1 or a temperature above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueSection:
    """Settings of the critiques of drafts.

    The stage runs only for the pairing rule "revision_over_draft", and for a training `on: revisions`.

    `principles_per_draft`: number of principles drawn per prompt, weighted, without replacement; each draft gets one
    critique per principle.
    `max_tokens`: length limit of a critique in tokens; a teacher that thinks first needs some thousands.
    `by`: the critic, a model (also written `MODEL#ADAPTER_FOLDER`) or "student", or a list of critics, of which most
    decide and each has rewrites of its own made; if left out, the teachers critique.
    `min_agreement`: the share of verdicts, 0 to 1, in which a critic has to agree with the teacher on held-out drafts;
    one below it is refused before its critiques are used.
    """

    principles_per_draft: int = 2
    max_tokens: int = 256
    by: ModelSection | str | tuple[ModelSection | str, ...] | None = None
    min_agreement: float = 0.8

    @property
    def critics(self) -> tuple[ModelSection | str, ...]:
        """The models of `by` as a tuple, "student" for the student itself; empty if `by` is left out."""
        given = self.by if isinstance(self.by, tuple) else (self.by,) if self.by else ()
        return tuple(ModelSection(model=one) if isinstance(one, str) and one != STUDENT else one for one in given)

    def __post_init__(self) -> None:
        names = [one if isinstance(one, str) else one.source for one in self.critics]
        _check(self.by != () and "" not in names, "by", "a model, or a list of at least one", "nothing")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"'by' names '{twice}' twice; several critics should be different models")
        _check(0 <= self.min_agreement <= 1, "min_agreement", "from 0 to 1", self.min_agreement)
        _check(self.principles_per_draft >= 1, "principles_per_draft", "at least 1", self.principles_per_draft)
        _check(self.max_tokens >= 1, "max_tokens", "at least 1", self.max_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviseSection:
    """Settings of the revisions of drafts that break a principle.

    `rounds`: limit of revision rounds per draft; 0 turns revision off.
    `until`: "satisfied" stops when the critiques find no broken principle; "rounds" always uses all rounds.
    `max_tokens`: length limit of a revision in tokens; a teacher that thinks first needs some thousands.
    """

    rounds: int = 3
    until: Literal["satisfied", "rounds"] = "satisfied"
    max_tokens: int = 512

    def __post_init__(self) -> None:
        _check(self.rounds >= 0, "rounds", "0 or more", self.rounds)
        _check(self.max_tokens >= 1, "max_tokens", "at least 1", self.max_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSection(Judging):
    """Settings of the judges: the models, and the fields of `Judging`.

    `by`: a model or a list of models; if left out, the teachers judge.
    """

    by: ModelSection | tuple[ModelSection, ...] | None = None

    def __post_init__(self) -> None:
        Judging.__post_init__(self)
        _check(self.by != (), "by", "a model, or a list of at least one", "an empty list")

    @property
    def models(self) -> tuple[ModelSection, ...]:
        """The models of `by`, as a tuple; empty if `by` is left out."""
        return self.by if isinstance(self.by, tuple) else (self.by,) if self.by else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSection:
    """Settings that choose the comparisons of candidates, and the comparisons that become pairs.

    `rules`: pairing rules, by name: "revision_over_draft", "teacher_over_student", "best_over_worst", "ranked"; an
    empty list makes none, so that those of `human` are learnt alone, or none where no phase learns pairs.
    `min_margin`: least |p - 0.5| of a pair, where p is the probability that one side is better; 0 to below 0.5.
    `soft_labels`: label each pair with its probability; if false, every label is 1.
    `clamp`: upper limit of soft labels, above 0.5 to 1; by default 0.6 after a chain of thought, else no limit.
    `per_prompt`: at most this many pairs per prompt and rule, those with the widest margins.
    `near`: similarity threshold, above 0 to 1 (Jaccard index of word triples). Drops pairs at least this similar to an
    earlier pair, and, at any threshold, pairs whose prompt is a held-out one with small changes; by default only
    exact duplicates.
    `max_length_ratio`: drops pairs whose longer completion has more than this many times the words of the shorter one.
    `balance`: at most this many times the median number of pairs per principle, those with the widest margins.
    `human`: a preference file of pairs written by people, added to the training pairs; relative to the recipe.
    """

    rules: tuple[str, ...] = field(default=("revision_over_draft",), metadata={"one_of": PAIRINGS})
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
        _check(len(set(self.rules)) == len(self.rules), "rules", "a list of rules, each once", list(self.rules))
        _check(0 <= self.min_margin < 0.5, "min_margin", "from 0 to below 0.5", self.min_margin)
        _check(self.clamp is None or 0.5 < self.clamp <= 1, "clamp", "above 0.5 and at most 1", self.clamp)
        _check(self.balance is None or self.balance >= 1, "balance", "at least 1", self.balance)
        _check(self.per_prompt is None or self.per_prompt >= 1, "per_prompt", "at least 1", self.per_prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSection:
    """Settings of the evaluation on the held-out prompts.

    `metrics`: a list of "adherence" (to each principle), "adherence_calibrated" (by people's labels), "second_judge"
    (adherence by it, and how far the judges are apart), "preference_accuracy" (on held-out pairs), "win_rate" (against
    the base model), "refusals" (of harmless and of unsafe requests), "drift" (of form, length, perplexity and KL),
    "robustness" (to wrapped prompts), "superficial" (gains in form only), "confounds" (of the training pairs),
    "revisions" (what they mend and what else they change) and "reliability" (of the judge); all of them by default.
    On request, since they take many calls: "fairness" (does who asks change adherence or verdicts: ten answers to each
    of 40 prompts) and "watched" (does adherence differ when told that nobody looks: two answers to each of these).
    `baselines`: what the trained student is compared with besides the untrained one, on the same prompts: "prompted",
    the untrained student with the constitution in its system message, and "teacher", which has it there, too (of
    several teachers, the first). Each takes one more answer per held-out prompt, and its judging.
    `own`: metrics of your own by name, each a Python function or a module of the `evaluate` library, such as
    `{questions: {function: "metrics.py:questions", label: questions per answer}}`; its path is `own.questions`. The
    code that is named here is run; see `evaluation/own.py`.
    `must`: conditions by the path of a figure, such as `{adherence: ">= 0.8", over_refusal.high: "<= 0.05"}`; if one
    fails, the exit status is 1.
    `oracle`: "embedded" also scores replies with the grammar that the embedded models were trained on.
    `refusals`: what decides which replies are refusals: "rules" of English, or the first "judge", asked once per reply.
    `samples`: number of replies per prompt.
    `temperature`: sampling temperature of the replies, before and after training; by default that of the drafts.
    `second_judge`: a model that judges here alone, so that the student cannot have learnt its taste; it has no other
    role in the recipe.
    `pair_prompts`: make held-out pairs from at most this many held-out prompts, evenly spaced; by default from all.
    """

    metrics: tuple[str, ...] = field(default_factory=default_metrics, metadata={"one_of": METRICS})
    baselines: tuple[str, ...] = field(default=DEFAULT, metadata={"one_of": BASELINES})
    own: Mapping[str, OwnMetric] = field(default_factory=dict)
    must: Mapping[str, str] = field(default_factory=dict)
    oracle: Literal["embedded"] | None = None
    refusals: Literal["rules", "judge"] = "rules"
    samples: int = 1
    temperature: float | None = None
    second_judge: ModelSection | None = None
    pair_prompts: int | None = None

    def __post_init__(self) -> None:
        _check(self.samples >= 1, "samples", "at least 1", self.samples)
        check_metrics(self.metrics)
        check_baselines(self.baselines)
        check_names(self.must, self.measured)
        if self.refusals == "judge" and "refusals" not in self.metrics:
            raise ValueError("'refusals' is 'judge', and 'metrics' does not name 'refusals'; add it, or leave this out")
        temperature = 0.0 if self.temperature is None else self.temperature
        _check(0 <= temperature <= 100, "temperature", "from 0 to 100", self.temperature)
        _check(self.pair_prompts is None or self.pair_prompts >= 1, "pair_prompts", "at least 1", self.pair_prompts)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The metrics, with those that need only be given something: people's labels of the answers, a second judge."""
        given = ["adherence_calibrated"] if "adherence" in self.metrics else []
        given += ["second_judge"] if self.second_judge is not None else []
        return tuple(dict.fromkeys((*self.metrics, *given)))

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of all that is measured: metrics, baselines, and "own" where there are metrics of one's own."""
        return (*self.chosen, *self.baselines, *([OWN] if self.own else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSection:
    """Settings of a run that goes on from an earlier one: the next round.

    It takes along what was learnt since: principles that changed, corrections by people, failures in production.
    Nothing that the earlier run asked is asked again. The training goes on with its adapter, on the pairs that are new,
    that people decided, or that a changed principle decides (`corrective.jsonl`), and the student is compared with what
    it was.

    `run`: the directory of the earlier run, relative to the recipe.
    `human`: a file of people's votes and edits; by default human.jsonl of the earlier run, if it has one.
    `failures`: prompts that failed in production, as `cai-lite monitor --failures` writes them. They are tests: apart
    from the other held-out prompts, since they were chosen for having failed.
    `seeds`: prompts of the same failures to learn from; by default FAILURES.seeds.jsonl beside `failures`. The student
    as the earlier run left it drafts answers to them.
    `only_changed`: take along a changed constitution alone.
    `replay`: number of pairs that the change left as they were, for each corrective one, drawn at random and learnt
    again, so that the other principles are held.
    `margin`: what adherence to an unchanged principle may lose: a gate fails, and the exit status is 1, unless the
    95 % interval of its paired change lies above minus the margin.
    """

    run: str
    human: str | None = None
    failures: str | None = None
    seeds: str | None = None
    only_changed: bool = False
    replay: float = 1.0
    margin: float = MARGIN

    def __post_init__(self) -> None:
        _check(0 <= self.replay < math.inf, "replay", "0 or more, and finite", self.replay)
        _check(0 < self.margin < 1, "margin", "above 0 and below 1", self.margin)
        more = [name for name in ("human", "failures", "seeds") if getattr(self, name) is not None]
        if self.only_changed and more:
            raise ValueError(f"'only_changed' takes a changed constitution along alone; leave it out, or '{more[0]}'")


DRIFT: Mapping[str, str] = {"kl": "<= 0.2", "well_formed.change": ">= -0.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsSection:
    """Settings of the rounds: fresh drafts of the student as it is, judged, trained on and measured, again and again.

    `n`: limit of rounds; in the recipe, a number alone in place of the section is this limit.
    `until`: "settled" stops where held-out adherence no longer rises: the 95 % interval of its paired change over the
    round before holds 0 or less. "rounds" walks all rounds. Past a bound of `drift` both stop.
    `drift`: conditions by the path of a figure, as in `evaluate.must`; a round that fails one is not kept, and is the
    last one. A figure that this run does not measure is no bound.
    `failing`: from the second round on, how many times as much a pair weighs in the loss whose prompt's first fresh
    draft breaks all of its principles as one whose draft keeps all of them; 1 weighs all alike. Read by the method
    "dpo".
    """

    n: int = 1
    until: Literal["settled", "rounds"] = "settled"
    drift: Mapping[str, str] = field(default_factory=lambda: dict(DRIFT))
    failing: float = 2.0

    def __post_init__(self) -> None:
        _check(1 <= self.n <= 100, "n", "from 1 to 100", self.n)
        _check(1 <= self.failing <= 100, "failing", "from 1 to 100", self.failing)
        check_names(self.drift)


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerSection:
    """Settings of `cai-lite steer`, which leans a finished run towards some of its principles.

    `groups`: lists of principles by a name of your own, such as {helpful: [answer-benign-questions], harmless:
    [decline-with-care]}. One adapter is trained for each group, on its pairs alone.
    `x`, `y`: the paths of the two figures between which `--sweep` draws the front, as in `evaluate.must`.
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    x: str = "over_refusal"
    y: str = "unsafe_compliance"

    def __post_init__(self) -> None:
        for name, principles in self.groups.items():
            _check(bool(re.fullmatch(r"[\w-]+", name)), "groups", "named by letters, digits, - and _", f"'{name}'")
            _check(bool(principles), f"groups.{name}", "a list of principles", "an empty one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a run.

    `constitution`: the name of a packaged constitution, or a path relative to the recipe.
    `prompts`, `draft`, `critique`, `revise`, `judge`, `pair`, `train`, `evaluate`: one section per stage.
    `train` may be a list of phases, each of which goes on with the adapter of the one before.
    `from`: an earlier run that this one goes on from; see `FromSection`.
    `rounds`: how often all of that is done, each time with fresh drafts of the student that the round before trained.
    `steer`: groups of principles between which `cai-lite steer` leans the trained student.
    `student`: the model to be trained, on this machine; its `url` may name a server of the same weights.
    `teacher`: the model that revises and, without `critique.by` and `judge.by`, critiques and judges. A recipe without
    pairs whose phases learn `on: prompted` needs none; without a judge, machine checks decide adherence.
    `teachers`: several of them, in place of `teacher`; each prompt is assigned to one, by `weight`.
    `budget`: limits of cost and tokens for all calls of the run.
    `seed`: random seed of all sampling; it is also the seed of the training if `train.seed` is left out.
    `path`: the file that the recipe was read from; not a field of the file.
    """

    constitution: str
    prompts: PromptsSection
    student: StudentSection
    teacher: ModelSection | None = None
    teachers: tuple[ModelSection, ...] = ()
    draft: DraftSection = field(default_factory=DraftSection)
    critique: CritiqueSection = field(default_factory=CritiqueSection)
    revise: ReviseSection = field(default_factory=ReviseSection)
    judge: JudgeSection = field(default_factory=JudgeSection)
    pair: PairSection = field(default_factory=PairSection)
    train: TrainingConfig | tuple[TrainingConfig, ...] = field(default_factory=TrainingConfig)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    rounds: int | RoundsSection = 1
    from_: FromSection | None = None
    steer: SteerSection = field(default_factory=SteerSection)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    path: str = field(default="", metadata=FILE)
    written: Recipe | None = field(default=None, metadata={"filled_with": "load_recipe"}, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.teacher is not None and self.teachers:
            raise ValueError("'teacher' and 'teachers' are both given; keep one of them")
        if not self.all_teachers and (why := self._needs_teacher()):
            raise ValueError(
                "'teacher' is missing: name one as 'teacher', or several in a list as 'teachers'; it is needed for "
                f"{why}"
            )
        critics = [critic for critic in self.critique.critics if isinstance(critic, ModelSection)]
        sections = (*self.all_teachers, *self.judge.models, *critics)
        if (second := self.evaluate.second_judge) is not None:
            if any((one.model, one.url) == (second.model, second.url) for one in (*sections, self.student)):
                raise ValueError(
                    f"'evaluate.second_judge': '{second.model}' already has another role in this recipe; a second "
                    "judge is a check on the first one only if nothing was learnt from it"
                )
            sections = (*sections, second)
        if self.budget.max_cost is not None and not any(section.prices for section in sections):
            raise ValueError(
                "'budget' has a 'max_cost', but no model has 'prices'; add prices, or set max_tokens instead"
            )
        if TEACHER in self.evaluate.baselines and not self.all_teachers:
            raise ValueError(
                f"'evaluate.baselines': '{TEACHER}' needs a teacher that answers, and the recipe has none; take it out"
            )
        if EARLIER in self.evaluate.baselines and self.from_ is None:
            raise ValueError(
                f"'evaluate.baselines': '{EARLIER}' is the student of an earlier run; name that run as 'from.run'"
            )
        self._check_phases()
        self._check_from()
        self._check_rounds()

    def _check_from(self) -> None:
        """Check what going on from an earlier run asks of the rest of the recipe."""
        problem = ""
        if self.from_ is None:
            return
        if self.repeats.n > 1:
            problem = "goes on for one round; set rounds=1"
        elif any(phase.init_adapter is not None for phase in self.phases):
            problem = "begins with the adapter of the earlier run; leave out train.init_adapter"
        elif not self.phases:
            problem = "learns corrective pairs, and no phase of 'train' learns pairs; add one, such as {method: dpo}"
        elif "adherence" not in self.evaluate.metrics:
            problem = "takes 'adherence' among evaluate.metrics, in which it is compared with the earlier run"
        if problem:
            raise ValueError(f"'from' {problem}")

    def _check_rounds(self) -> None:
        """Check what several rounds ask of the rest of the recipe."""
        if isinstance(self.rounds, int):
            _check(1 <= self.rounds <= 100, "rounds", "from 1 to 100, or a section", self.rounds)
        if self.repeats.n == 1:
            return
        problem = ""
        if self.draft.from_ != "student":
            problem = "takes draft.from: student, since each round begins with fresh drafts of it"
        elif not self.drafts:
            problem = "takes a pairing rule or a training on revisions: people's pairs alone stay the same"
        elif any(phase.on == PROMPTED for phase in self.phases):
            problem = "excludes a training 'on: prompted', which has the student without an adapter for its teacher"
        elif any(phase.on == VERDICTS for phase in self.phases):
            problem = f"excludes a training 'on: {VERDICTS}', which would learn those of other rounds, too"
        elif self.student.adapter_name is not None:
            problem = "excludes student.adapter_name: each round has another adapter, which no server can know by name"
        elif "adherence" not in self.evaluate.metrics:
            problem = "takes 'adherence' among evaluate.metrics, by which it is chosen which round is kept"
        if problem:
            raise ValueError(f"'rounds': {self.repeats.n} {problem}")

    def _check_phases(self) -> None:
        """Check what the phases of `train` ask of each other and of the run."""
        _check(self.train != (), "train", "a section, or a list of at least one", "an empty list")
        given = self.train if isinstance(self.train, tuple) else (self.train,)
        for number, phase in enumerate(given):
            name = f"'train': phase {number} ({phase.method})" if isinstance(self.train, tuple) else "'train'"
            method = METHODS[phase.method]
            if method.on_policy and (problem := self._unrewarded(phase.rl, given[:number])):
                raise ValueError(f"{name}{problem}")
            if phase.on is None and not (method.on_pairs or method.on_policy):
                raise ValueError(f"{name}: name what '{phase.method}' learns, as 'on': {' or '.join(OF_PHASES)}")
            if phase.on is not None and phase.on not in SOURCES:
                raise ValueError(f"{name}: 'on': there is no '{phase.on}'{did_you_mean(phase.on, SOURCES)}")
            try:
                check_source(phase)
            except ValueError as fault:
                raise ValueError(f"{name}: {fault}") from None
            if phase.on == CRITIQUES:
                raise ValueError(
                    f"{name}: critiques make a critic, a model of its own and no phase of a run; make it by `cai-lite "
                    "train --method sft --on critiques --run RUN`"
                )
            on_pairs = phase.on in OF_PAIRS or (phase.on is None and method.on_pairs)
            if on_pairs and not (self.pair.rules or self.pair.human):
                raise ValueError(
                    f"{name} learns pairs, and 'pair.rules' is an empty list; name a rule, or 'pair.human'"
                )
            if number and phase.init_adapter is not None:
                raise ValueError(f"{name} begins from the adapter of the phase before; leave out 'init_adapter'")
            if number and phase.lora not in (Lora(), given[0].lora):
                raise ValueError(f"{name} goes on with the adapter of phase 0; set 'lora' there alone")

        if self.phases and not any(METHODS[phase.method].trains_student for phase in self.phases):
            raise ValueError(
                "'train' trains a preference model and no student; add a phase such as {method: dpo}, or train the "
                "model alone on a run by `cai-lite train --method preference_model --run RUN`"
            )

    def _unrewarded(self, rl: Rl, before: Sequence[TrainingConfig]) -> str:
        """Return what keeps a phase "rl" from its rewards, or ""; `before`: the phases before it."""
        if not (rl.judge or rl.preference_model or rl.checks):
            return ": 'rl.judge', 'rl.preference_model' and 'rl.checks' are 0, so nothing is rewarded; set one above 0"
        if rl.judge and not self.all_teachers and not self.judge.models:
            return (
                " learns from a judge's rewards, and the recipe has none; name judge.by, or set rl.judge: 0 and "
                "rl.preference_model or rl.checks above 0"
            )
        if rl.preference_model and all(METHODS[phase.method].trains_student for phase in before):
            return (
                f": 'rl.preference_model' is {rl.preference_model:g}, and no phase before it trains a preference "
                "model; add {method: preference_model} before it, or set it to 0"
            )
        return ""

    def _needs_teacher(self) -> str:
        """Return what needs a teacher, or "" where nothing does."""
        rules = {"revision_over_draft", "teacher_over_student", "ranked"} & set(self.pair.rules)
        if self.draft.from_ == "teacher":
            return "draft.from"
        if rules or (self.pair.rules and not self.judge.models):
            return f"pair.rules: [{', '.join(self.pair.rules)}]"
        return "a phase 'on: revisions'" if self.revises else ""

    @property
    def all_teachers(self) -> tuple[ModelSection, ...]:
        """The models of `teachers`, or the single one of `teacher`."""
        return self.teachers or ((self.teacher,) if self.teacher else ())

    @property
    def phases(self) -> tuple[TrainingConfig, ...]:
        """The trainings of the run, in order; all have the LoRA settings of the first, since there is one adapter.

        A run that goes on from an earlier one walks those that learn pairs: the pairs are what was chosen to correct.
        """
        given = self.train if isinstance(self.train, tuple) else (self.train,)
        walked = [phase for phase in given if self.from_ is None or phase.on in (None, CHOSEN)]
        return tuple(dataclasses.replace(phase, lora=given[0].lora) for phase in walked)

    @property
    def repeats(self) -> RoundsSection:
        """The settings of the rounds; a number alone is their limit."""
        return RoundsSection(n=self.rounds) if isinstance(self.rounds, int) else self.rounds

    @property
    def baselines(self) -> tuple[str, ...]:
        """What the trained student is compared with: `evaluate.baselines`, and where there is one the earlier run."""
        gone_on = (EARLIER,) if self.from_ is not None else ()
        return tuple(dict.fromkeys((*self.evaluate.baselines, *gone_on)))

    @property
    def weighs(self) -> bool:
        """Whether the pairs of later rounds bear weights: there are such rounds, and a phase that reads weights."""
        return self.repeats.n > 1 and self.repeats.failing > 1 and any(phase.method == "dpo" for phase in self.phases)

    @property
    def drafts(self) -> bool:
        """Whether drafts are made: for pairs of a rule, or for the revisions that a phase learns."""
        return bool(self.pair.rules) or self.revises

    @property
    def revises(self) -> bool:
        """Whether the drafts are critiqued and revised: for pairs, or because a phase learns the revisions."""
        learnt = any(phase.on == REVISIONS for phase in self.phases)
        return self.revise.rounds > 0 and ("revision_over_draft" in self.pair.rules or learnt)

    @property
    def name(self) -> str:
        """The name of the recipe's file, such as `medical`, or of its folder if the file is a recipe.yaml."""
        path = Path(self.path)
        return path.resolve().parent.name if path.name == "recipe.yaml" else path.stem

    def resolved(self) -> str:
        """Return the recipe as YAML with all defaults written out; `load_recipe` can read it.

        Environment variables remain `${NAME}` and passwords in URLs are masked, so that no secret is written to disk.
        """
        return yaml.safe_dump(_plain(self.written or self), sort_keys=False, allow_unicode=True, width=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TrainingOnly:
    """A recipe that has only the section `train`."""

    train: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StudentAndTraining:
    """What one training alone reads of a recipe."""

    student: StudentSection
    train: TrainingConfig


def _names_backend(model: str) -> bool:
    return model.partition(":")[0] in BACKENDS


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"'{name}' should be {expected}, got {got}")


def _with_profile(document: Document, profile: str | None) -> Document:
    """Return the document without `profiles`, with the sections of `profile`, if given, merged into it."""
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
    try:
        return Document(document.file, _merged(data, profiles[profile]), places)
    except ValueError as fault:
        raise RecipeError(document.fault(("profiles", profile), f"the profile '{profile}': {fault}")) from None


def _merged(base: Any, changes: Mapping[str, Any], name: str = "") -> Any:
    """Return `base` with `changes` applied: sections are merged key by key, any other value is replaced.

    An item of a list is changed by its number, from 0. `name`: of `base`, for messages.

    Raises:
        ValueError: a list is changed as if it were a section, or has no item of that number.
    """
    if isinstance(base, list):
        numbers = {str(i) for i in range(len(base))}
        if other := next((key for key in changes if key not in numbers), None):
            raise ValueError(
                f"'{name}' is a list of {len(base)}, which has no '{other}'; name an item by its number, such as "
                f"{name}.{len(base) - 1}.{other}, or give a whole list"
            )
        items = {str(i): item for i, item in enumerate(base)}
        return list(_merged(items, changes, name).values())
    merged = dict(base)
    for key, value in changes.items():
        before, inner = base.get(key), f"{name}.{key}" if name else key
        joined = isinstance(value, dict) and isinstance(before, dict | list) and value
        merged[key] = _merged(before, value, inner) if joined else value
    return merged


def _with_override(document: Document, override: str) -> Document:
    name, equals, text = override.partition("=")
    shown = override if len(override) <= 200 else override[:200] + "..."
    source = f"--set {shown.encode('utf-8', 'backslashreplace').decode()}"
    keys: Keys = tuple(name.strip().split("."))
    if not equals or not all(keys):
        raise RecipeError(f"{source}: an override is written key.key=value, such as train.loss.beta=0.2")
    if len(keys) > DEPTH:
        raise RecipeError(f"{source}: the key has {len(keys):,} parts; no setting is so deep")
    value = parse_value(text, source, RecipeError, keys)
    for key in reversed(keys[1:]):
        value = {key: value}
    try:
        data = _merged(document.data, {str(keys[0]): value})
    except ValueError as fault:
        raise RecipeError(f"{source}: {fault}") from None
    keys = _numbered(keys, document.data)
    new = {keys[:n]: Place(source, None) for n in range(1, len(keys) + 1)}
    # The sections that contain the key keep their line; the value and everything in it now comes from the option.
    places = new | {known: place for known, place in document.places.items() if known[: len(keys)] != keys}
    return Document(document.file, data, places)


def _numbered(keys: Keys, data: Any) -> Keys:
    """Return the keys with the numbers of list items as numbers, as a document has them in its places."""
    found: list[str | int] = []
    for key in keys:
        inside = isinstance(data, list)
        found.append(int(key) if inside else key)
        data = data[int(key)] if inside else data.get(key) if isinstance(data, dict) else None
    return tuple(found)


def _with_paths(document: Document) -> Document:
    """Return the document with the paths in the file resolved against its folder.

    Paths in an override are left relative to the working directory.

    Raises:
        RecipeError: a file that the recipe names does not exist.
    """
    data = dict(document.data)
    folder = Path(document.file).parent

    def resolved(keys: Keys, value: str) -> str:
        path = Path(value).expanduser()
        beside = document.place(keys).file == document.file and not path.is_absolute()
        return str((folder / path if beside else path).absolute())  # so that recipe.yaml can be read from anywhere

    name = data.get("constitution")
    if isinstance(name, str) and (name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name):
        data["constitution"] = resolved(("constitution",), name)
    begun = data.get("from")
    if isinstance(begun, dict) and isinstance(begun.get("run"), str):
        data["from"] = begun | {"run": resolved(("from", "run"), begun["run"])}
    files = (("prompts", "file"), ("pair", "human"), ("from", "human"), ("from", "failures"), ("from", "seeds"))
    for section, key in files:
        within = data.get(section)
        if isinstance(within, dict) and isinstance(within.get(key), str):
            file = resolved((section, key), within[key])
            if not Path(file).is_file() and "${" not in file:
                raise RecipeError(document.fault((section, key), f"'{section}.{key}': no such file: {file}"))
            data[section] = within | {key: file}
    return dataclasses.replace(document, data=_with_code_paths(document, data, resolved))


def _with_code_paths(document: Document, data: dict[str, Any], resolved: Callable[[Keys, str], str]) -> dict[str, Any]:
    """Return the data with the files of `evaluate.own` resolved.

    Raises:
        RecipeError: a relative path leads out of the folder of the recipe, so that it is no file beside it.
    """
    section = data.get("evaluate")
    own = section.get("own") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(own, dict):
        return data
    folder, found = Path(document.file).parent.resolve(), dict(own)
    for name, spec in own.items():
        for key, written in ((key, spec.get(key)) for key in ("function", "module") if isinstance(spec, dict)):
            file, function = written, ""
            if key == "function" and isinstance(written, str):
                file, _, function = written.rpartition(":")
            if not isinstance(file, str) or not (file.endswith(".py") or "/" in file or os.sep in file):
                continue  # an installed one
            keys: Keys = ("evaluate", "own", name, key)
            path = resolved(keys, file)
            beside = document.place(keys).file == document.file and not Path(file).is_absolute()
            if beside and not Path(path).resolve().is_relative_to(folder):
                problem = f"'{dotted(keys)}': {file} is not beside the recipe, and code is run from there alone"
                raise RecipeError(document.fault(keys, problem))
            found[name] = found[name] | {key: f"{path}:{function}" if function else path}
    return data | {"evaluate": section | {"own": found}}


def _with_seed(document: Document) -> Document:
    """Return the document with the recipe's seed as that of each training whose own is left out."""
    data, train = document.data, document.data.get("train", {})
    if "seed" not in data:
        return document
    places = dict(document.places)

    def seeded(section: Any, keys: Keys) -> Any:
        if not isinstance(section, dict) or "seed" in section:
            return section
        places[(*keys, "seed")] = document.place(("seed",))
        return section | {"seed": data["seed"]}

    if isinstance(train, list):
        phases: Any = [seeded(section, ("train", i)) for i, section in enumerate(train)]
    else:
        phases = seeded(train, ("train",))
    return Document(document.file, data | {"train": phases}, places)


def _with_environment(document: Document) -> Document:
    """Return the document with every `${NAME}` replaced by the environment variable.

    Raises:
        RecipeError: a variable is not set, or empty.
    """
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
                problem = f"'{dotted(keys)}' needs the environment variable {name}, which is not set"
                faults.append(document.fault(keys, f"{problem}; export {name}=... or use --set {dotted(keys)}=..."))
        return re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), value)

    data = filled(document.data, ())
    if faults:
        raise RecipeError("\n".join(faults))
    return dataclasses.replace(document, data=data)


def _plain(value: Any) -> Any:
    """Return a value as plain YAML data, dataclasses as the sections they were read from."""
    if hasattr(value, "as_section"):
        return _plain(value.as_section())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.init and "filled_with" not in f.metadata]
        return {key_of(f): _plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    return without_secrets(value) if isinstance(value, str) else value
