from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import cai_lite
from cai_lite.errors import RecipeError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import load_prompts
from cai_lite.pipeline.recipe import ModelSection, Recipe, StudentSection, load_recipe, training_config
from cai_lite.training.config import Loss
from cai_lite.training.losses import LOSSES, options_of

PACKAGED = ("medical", "customer-service", "creative")
WHOLE = """\
constitution: medical
prompts: {file: prompts.jsonl}
teacher:
  url: "${TEACHER_URL}"
  model: big
student: {model: small, load: nf4}
draft:
  n: 3
train:
  learning_rate: 1.0e-5
  loss: {beta: 0.1}
profiles:
  tiny:
    teacher: {url: null, model: "embedded:teacher"}
    student: {load: null}
    train: {loss: {beta: 0.3}}
    pair: {rules: [best_over_worst]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    path = tmp_path / "mine.yaml"
    path.write_text(WHOLE)
    return path


def faults(*args: Any, **options: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(*args, **options)
    return str(caught.value).splitlines()


def test_what_a_recipe_leaves_out_has_its_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_URL", "http://localhost:8000/v1")
    recipe = load_recipe(file)
    assert recipe.teacher == ModelSection(model="big", url="http://localhost:8000/v1")
    assert (recipe.draft.n, recipe.draft.from_, recipe.judge.mode, recipe.pair.rules) == (
        3,
        "student",
        "pairwise",
        ("revision_over_draft",),
    )
    assert (recipe.train.learning_rate, recipe.train.loss.beta) == (1e-5, 0.1)
    assert (recipe.name, recipe.path, recipe.prompts.file) == ("mine", str(file), str(file.parent / "prompts.jsonl"))


def test_a_profile_is_laid_over_the_sections_key_by_key(file: Path) -> None:
    recipe = load_recipe(file, profile="tiny")
    assert recipe.teacher == ModelSection(model="embedded:teacher")
    assert recipe.student == StudentSection(model="small")
    assert (recipe.train.loss.beta, recipe.train.learning_rate, recipe.draft.n) == (0.3, 1e-5, 3)
    assert recipe.pair.rules == ("best_over_worst",)


def test_an_override_stands_above_file_and_profile(file: Path) -> None:
    options = ["train.loss.beta=0.7", "train.learning_rate=5e-6", "pair.rules=[revision_over_draft]", "judge.votes=3"]
    recipe = load_recipe(file, options, profile="tiny")
    assert (recipe.train.loss.beta, recipe.train.learning_rate) == (0.7, 5e-6)
    assert (recipe.pair.rules, recipe.judge.votes) == (("revision_over_draft",), 3)
    assert recipe.teacher.model == "embedded:teacher"


def test_the_environment_is_asked_only_for_what_is_used(file: Path) -> None:
    assert faults(file) == [
        f"{file}:4: 'teacher.url' needs the environment variable TEACHER_URL, which is not set; "
        "export TEACHER_URL=... or use --set teacher.url=..."
    ]
    assert load_recipe(file, profile="tiny").teacher.url is None
    assert load_recipe(file, ["teacher.url=http://x/v1"]).teacher.url == "http://x/v1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train:", "trian:", "mine.yaml:9: unknown key 'trian'; did you mean 'train'?"),
        ("  n: 3", "  m: 3", "mine.yaml:8: unknown key 'm' in 'draft'"),
        (
            "1.0e-5",
            "1e-5",
            "mine.yaml:10: 'train.learning_rate' should be a number, got text '1e-5' "
            "(YAML reads 1e-5 as text; write 1.0e-5)",
        ),
        ("n: 3", "n: 0", "mine.yaml:8: in 'draft': 'n' should be at least 1, got 0"),
        ("n: 3", "temperature: 0", "mine.yaml:8: in 'draft': 'temperature' 0 gives the same draft 2 times"),
        ("n: 3", "from: judge", "mine.yaml:8: 'draft.from' should be one of student, teacher, got text 'judge'"),
        (
            "load: nf4",
            "load: nf5",
            "mine.yaml:6: 'student.load' should be one of auto, float32, bfloat16, float16, nf4",
        ),
        ('TEACHER_URL}"', 'TEACHER_URL}"\n  load: nf4', "mine.yaml:5: in 'teacher': 'load' is for local models"),
        ("model: small", "served: s, model: s", "mine.yaml:6: in 'student': 'served' is a name on the server of 'url'"),
        ("learning_rate", "lr", "mine.yaml:10: unknown key 'lr' in 'train'; did you mean 'learning_rate'?"),
        ("  model: big\n", "", "mine.yaml:3: 'teacher.model' is missing"),
        ("beta: 0.1", "bta: 0.1", "mine.yaml:11: unknown key 'bta' in 'train.loss'; did you mean 'beta'?"),
        ("prompts.jsonl", "none.jsonl", "mine.yaml:2: 'prompts.file': no such file"),
    ],
)
def test_a_fault_is_told_with_file_line_field_and_mend(file: Path, old: str, new: str, message: str) -> None:
    assert old in WHOLE
    file.write_text(WHOLE.replace(old, new, 1))
    assert any(message in fault for fault in faults(file, ["teacher.url=http://x"] if "big" not in old else []))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lerning_rate=1", "unknown key 'lerning_rate' in 'train'; did you mean 'learning_rate'?"),
        ("train.loss.beta=high", "'train.loss.beta' should be a number, got text 'high'"),
        ("beta", "an override is written key.key=value, such as train.loss.beta=0.2"),
        ("pair.rules=[best]", "in 'pair': 'rules': unknown pairing rule 'best'"),
        (
            "evaluate.metrics=[adherance]",
            "in 'evaluate': unknown metric 'adherance'; did you mean 'adherence'?",
        ),
        ('evaluate.must={adherance: "> 0.9"}', "in 'evaluate': evaluate.must.adherance: unknown figure 'adherance'"),
        ("evaluate={refusals: judge, metrics: [drift]}", "in 'evaluate': 'refusals' is 'judge', and"),
        ("evaluate.refusals=people", "'evaluate.refusals' should be"),
        ("pair.min_margin=0.5", "in 'pair': 'min_margin' should be from 0 to below 0.5, got 0.5"),
        ("train.learning_rate=.inf", "'train.learning_rate' should be a finite number, got number inf"),
        ("train.learning_rate=1e999", "'train.learning_rate' should be a finite number, got number inf"),
        ("train.loss.beta=.nan", "'train.loss.beta' should be a finite number, got number nan"),
        ("train.learning_rate=200.0", "in 'train': 'learning_rate' should be above 0 and at most 100, got 200.0"),
        ("train.lora.alpha=-16", "in 'train.lora': 'lora.alpha' should be above 0 and at most 1,000,000, got -16.0"),
        ("draft.temperature=101", "in 'draft': 'temperature' should be from 0 to 100, got 101.0"),
        ("draft.n=" + "9" * 40, "'draft.n': the number 9999"),
        ("draft.n=!!bool foo", "'draft.n': 'foo' is not a valid bool; quote it if it is text"),
        ("draft.n=[1", "not valid YAML: expected ',' or ']'"),
        ("profiles.tiny.seed=1", "unknown key 'profiles'"),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(file: Path, override: str, message: str) -> None:
    (fault,) = faults(file, [override], profile="tiny")
    assert fault.startswith(f"--set {override}: {message}")


def test_an_unknown_profile_is_told_with_the_nearest(file: Path) -> None:
    assert faults(file, profile="tinny") == [f"{file}:12: the recipe has no profile 'tinny'; did you mean 'tiny'?"]


def test_a_fault_of_a_profile_is_told_with_the_line_in_the_profile(file: Path) -> None:
    file.write_text(WHOLE.replace("[best_over_worst]", "best_over_worst"))
    (fault,) = faults(file, profile="tiny")
    assert fault.startswith(f"{file}:17: 'pair.rules' should be a list")


def test_the_resolved_recipe_is_read_back_as_the_same(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file, ["seed=7"], profile="tiny")
    again = tmp_path / "run" / "recipe.yaml"
    again.parent.mkdir()
    again.write_text(recipe.resolved())
    assert dataclasses.replace(load_recipe(again), path=recipe.path) == recipe


def test_the_resolved_recipe_holds_no_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_URL", "http://me:hidden@localhost/v1")
    recipe = load_recipe(file)
    assert recipe.teacher.url == "http://me:hidden@localhost/v1"
    assert "url: ${TEACHER_URL}" in recipe.resolved()
    direct = load_recipe(file, ["teacher.url=http://me:hidden@localhost/v1"])
    assert "hidden" not in direct.resolved() + recipe.resolved()


def test_paths_of_an_override_are_relative_to_where_we_are(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "other.jsonl").write_text('{"prompt": "Hi"}\n')
    monkeypatch.chdir(tmp_path / "here")
    assert load_recipe(file, ["prompts.file=other.jsonl"], profile="tiny").prompts.file == str(
        tmp_path / "here" / "other.jsonl"
    )


def test_a_constitution_by_path_is_relative_to_the_recipe(file: Path) -> None:
    file.write_text(WHOLE.replace("constitution: medical", "constitution: rules/own.yaml"))
    assert load_recipe(file, profile="tiny").constitution == str(file.parent / "rules" / "own.yaml")


def test_the_training_takes_the_seed_of_the_recipe_unless_it_has_its_own(file: Path) -> None:
    assert load_recipe(file, ["seed=7"], profile="tiny").train.seed == 7
    assert load_recipe(file, ["seed=7", "train.seed=3"], profile="tiny").train.seed == 3
    assert faults(file, ["seed=many"], profile="tiny")[0].startswith("--set seed=many: 'train.seed' should be a whole")


def test_a_check_of_the_training_is_told_with_its_line(file: Path) -> None:
    file.write_text(WHOLE.replace("  loss:", "  lora:\n    rank: 0\n  loss:"))
    assert faults(file, profile="tiny") == [f"{file}:12: in 'train.lora': 'lora.rank' should be at least 1, got 0"]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("\n    name: ipo\n    gamma: 0.5", "13: in 'train.loss': loss 'ipo' takes beta; it has no 'gamma'"),
        ("\n    beta: 0.2\n    name: dpoo", "13: in 'train.loss': no loss 'dpoo'; did you mean 'dpo'?"),
        ("\n    name: robust", "12: in 'train.loss': loss 'robust' needs 'label_smoothing'"),
        ("\n    name: simpo\n    gamma: wide", "13: 'train.loss.gamma' should be a number, got text 'wide'"),
        ("\n    name: simpo\n    gamma: -1", "13: in 'train.loss': 'loss.gamma' should be 0 or more, got -1.0"),
        ("\n    self: 1", "12: unknown key 'self' in 'train.loss'; known: beta, gamma, label_smoothing, name, penalty"),
        (" simpo", "11: 'train.loss' should be a section of 'key: value' lines, got text 'simpo'"),
    ],
)
def test_the_options_of_a_loss_are_those_of_its_function(file: Path, loss: str, says: str) -> None:
    file.write_text(WHOLE.replace("  loss: {beta: 0.1}", f"  loss:{loss}").split("profiles:")[0])
    (fault,) = faults(file, ['teacher={model: "embedded:teacher"}'])
    assert fault == f"{file}:{says}"


def test_a_loss_is_written_out_with_its_options_and_read_again(file: Path) -> None:
    loss = load_recipe(file, ["train.loss.name=simpo", "train.loss.gamma=2"], profile="tiny")
    assert "  loss:\n    name: simpo\n    beta: 0.3\n    gamma: 2.0\n" in loss.resolved()
    # Recipes of earlier versions name the options of every loss, as null.
    old = "train.loss={name: dpo, beta: 0.1, label_smoothing: null, gamma: null, penalty: null}"
    assert load_recipe(file, [old], profile="tiny").train.loss == Loss("dpo", 0.1)


def test_a_recipe_is_read_without_torch() -> None:
    program = (
        "import sys; from cai_lite.pipeline.recipe import load_recipe; import cai_lite.pipeline.walk; "
        "load_recipe('medical', profile='embedded'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_training_alone_takes_overrides() -> None:
    assert training_config(["train.loss.beta=0.5"]).loss.beta == 0.5
    with pytest.raises(RecipeError, match=r"--set draft\.n=2: unknown key 'draft'; known: train"):
        training_config(["draft.n=2"])


@pytest.mark.parametrize("name", PACKAGED)
def test_the_packaged_recipes_are_sound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = load_recipe(name, profile="embedded")
    assert embedded.teacher.model == "embedded:teacher"
    assert embedded.judge.mode == "pointwise"
    monkeypatch.setenv("TEACHER_URL", "http://localhost:8000/v1")
    real = load_recipe(name)
    assert (real.student.load, real.judge.mode) == ("nf4", "pairwise")
    for recipe in (real, embedded):
        tags = {tag for principle in load_constitution(recipe.constitution).principles for tag in principle.applies_to}
        prompts = load_prompts(recipe.prompts.file, held_out=recipe.prompts.held_out)
        # A tag that no prompt bears would leave its principle without a single case. The embedded prompts meet only
        # the principles that the embedded teacher knows.
        borne = {tag for prompt in prompts.train for tag in prompt.tags}
        assert tags <= borne if recipe is real else tags & borne


@pytest.mark.parametrize("name", ["hipaa-privacy", "financial-advice", "legal-information"])
def test_the_recipes_of_the_policy_packs_are_sound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_URL", "http://localhost:8000/v1")
    for profile in (None, "gpu12", "gpu8"):
        recipe = load_recipe(name, profile=profile)
        assert (recipe.constitution, recipe.student.load, recipe.judge.mode) == (name, "nf4", "pairwise")


def test_every_option_of_a_recipe_is_read_by_somebody() -> None:
    """An option that nothing reads is a promise that nothing keeps."""
    package = Path(cai_lite.__file__).parent
    read = {
        node.attr
        for path in package.rglob("*.py")
        if path != package / "recipe.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    # The losses take theirs by name, and a test of them holds that each is taken.
    read |= {option for name in LOSSES for option in options_of(name)}
    read |= {"teacher", "by"}  # by `all_teachers` and `models`, which others ask
    assert not {name for name in _options(Recipe) if name.split(".")[-1] not in read}


def _options(cls: type, above: str = "") -> Iterator[str]:
    """The dotted names of all options, those of sections inside sections too."""
    hints = _hints(cls)
    for field in dataclasses.fields(cls):
        if "filled_with" in field.metadata:
            continue
        inner = [hint for hint in hints[field.name] if dataclasses.is_dataclass(hint)]
        if inner:
            yield from _options(inner[0], f"{above}{field.name}.")
        yield f"{above}{field.name}"


def _hints(cls: type) -> dict[str, tuple[Any, ...]]:
    return {name: (hint, *get_args(hint)) for name, hint in get_type_hints(cls).items()}


TWO = "[{method: sft, on: chosen, lora: {rank: 4}}, {method: dpo, epochs: 2, loss: {beta: 0.3}}]"


@pytest.fixture
def phases(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose training has two phases."""
    monkeypatch.setenv("TEACHER_URL", "http://localhost:8000/v1")
    whole = WHOLE.replace("train:\n  learning_rate: 1.0e-5\n  loss: {beta: 0.1}\n", f"train: {TWO}\nseed: 3\n")
    file.write_text(whole.replace("    train: {loss: {beta: 0.3}}\n", "    train: {1: {loss: {beta: 0.7}}}\n"))
    return file


def test_training_may_be_a_list_of_phases_with_one_adapter_and_one_seed(phases: Path) -> None:
    recipe = load_recipe(phases)
    assert [(phase.method, phase.on, phase.lora.rank, phase.seed) for phase in recipe.phases] == [
        ("sft", "chosen", 4, 3),
        ("dpo", None, 4, 3),
    ]
    (phases.parent / "again.yaml").write_text(recipe.resolved())
    assert load_recipe(phases.parent / "again.yaml").phases == recipe.phases


def test_an_item_of_a_list_is_overridden_by_its_number(phases: Path) -> None:
    beta = [load_recipe(phases, [], name).phases[1].loss.beta for name in (None, "tiny")]
    assert beta == [0.3, 0.7]
    recipe = load_recipe(phases, ["train.1.loss.beta=0.2", "train.0.epochs=5"], "tiny")
    assert (recipe.phases[1].loss.beta, recipe.phases[0].epochs, recipe.phases[1].epochs) == (0.2, 5, 2)
    assert faults(phases, ["train.1.loss.beta=x"]) == [
        "--set train.1.loss.beta=x: 'train[1].loss.beta' should be a number, got text 'x'"
    ]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "train.loss.beta=0.2",
            "'train' is a list of 2, which has no 'loss'; name an item by its number, such as train.1.loss, or give a",
        ),
        ("train.2.epochs=1", "--set train.2.epochs=1: 'train' is a list of 2, which has no '2'; name an item by its"),
        ("train=[]", "'train' should be a section, or a list of at least one"),
        ("train.0.on=null", "'train': phase 0 (sft): name what 'sft' learns, as 'on': revisions or chosen"),
        ("train.0.on=revision", "'train': phase 0 (sft): 'on': there is no 'revision'; did you mean 'revisions'?"),
        ("train.1.on=chosen", "'on' means nothing to the method 'dpo'; leave it out"),
        ("train.0.loss.beta=1", "'loss' means nothing to the method 'sft'; leave it out"),
        ("train.1.lora.rank=8", "'train': phase 1 (dpo) goes on with the adapter of phase 0; set 'lora' there alone"),
        ("train.1.init_adapter=x", "'train': phase 1 (dpo) begins from the adapter of the phase before"),
        ("train=[{method: sft}]", "'train': phase 0 (sft): name what 'sft' learns, as 'on': revisions or chosen"),
    ],
)
def test_faults_of_phases_are_told_in_words(phases: Path, override: str, says: str) -> None:
    assert says in "\n".join(faults(phases, [override]))


def test_a_single_training_resolves_as_it_did_before_there_were_methods(file: Path) -> None:
    resolved = load_recipe(file, profile="tiny").resolved()
    assert "\n  on:" not in resolved and "include_critique" not in resolved
    sft = load_recipe(file, ["train=[{method: sft, on: revisions}]"], "tiny")
    assert "  'on': revisions\n  include_critique: false\n" in sft.resolved() and "beta" not in sft.resolved()
    assert sft.revises and not load_recipe(file, profile="tiny").revises


@pytest.mark.parametrize("profile", ["harmless-first", "helpful-first"])
def test_the_medical_profiles_weigh_principles_that_the_constitution_has(profile: str, monkeypatch) -> None:
    monkeypatch.setenv("TEACHER_URL", "http://localhost:1/v1")
    recipe = load_recipe("medical", profile=profile)
    weights = recipe.phases[0].principle_weights
    assert weights.keys() <= {principle.id for principle in load_constitution(recipe.constitution).principles}
    heavy, light = ("urgent-care", "kind-tone") if profile == "harmless-first" else ("kind-tone", "no-exact-dose")
    assert weights[heavy] > 1 > weights[light]


@pytest.mark.parametrize("name", ["medical", "customer-service", "creative"])
def test_a_domain_says_what_an_expert_should_check_and_who_has(name: str, repository: Path) -> None:
    review = (repository / "recipes" / name / "REVIEW.md").read_text(encoding="utf-8")
    assert re.search(r"\bnobody\b", review, re.IGNORECASE)
    assert f"{name}/REVIEW.md" in (repository / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
