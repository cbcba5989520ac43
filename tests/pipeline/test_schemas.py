"""The schemas refuse what the reader refuses: unknown keys, missing keys and wrong types."""

import copy
import dataclasses
import json
import re

import pytest
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution
from cai_lite.inputs.yamlfile import Document, build, packaged_files, parse_document, read_document
from cai_lite.pipeline.recipe import Recipe, load_recipe
from cai_lite.pipeline.schemas import KINDS, schema
from cai_lite.training.config import Lora, Rl, TrainingConfig

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
CLASSES = {"recipe": Recipe, "constitution": Constitution}


def is_a(value, name):
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def faults(value, part, whole, place="$"):
    """Yield where a value does not fit, by the words of JSON Schema that the schemas use; an unknown word fails."""
    for word, given in part.items():
        if word == "$ref":
            yield from faults(value, whole["$defs"][given.removeprefix("#/$defs/")], whole, place)
        elif word == "type":
            if not any(is_a(value, name) for name in ([given] if isinstance(given, str) else given)):
                yield f"{place}: {given}"
        elif word == "enum":
            if not any(value == one and type(value) is type(one) for one in given):
                yield f"{place}: {given}"
        elif word == "const":
            if value != given:
                yield f"{place}: {given}"
        elif word == "anyOf":
            if all(list(faults(value, each, whole, place)) for each in given):
                yield f"{place}: none of {len(given)} kinds"
        elif word == "allOf":
            for each in given:
                yield from faults(value, each, whole, place)
        elif word == "if":
            if not list(faults(value, given, whole, place)):
                yield from faults(value, part["then"], whole, place)
        elif word == "required":
            if isinstance(value, dict):
                yield from (f"{place}.{name}: missing" for name in given if name not in value)
        elif word == "properties":
            if isinstance(value, dict):
                for name in given.keys() & value.keys():
                    yield from faults(value[name], given[name], whole, f"{place}.{name}")
        elif word == "additionalProperties":
            more = value.keys() - part.get("properties", {}).keys() if isinstance(value, dict) else ()
            for name in more:
                if given is False:
                    yield f"{place}.{name}: unknown"
                else:
                    yield from faults(value[name], given, whole, f"{place}.{name}")
        elif word == "propertyNames":
            if isinstance(value, dict):
                yield from (f"{place}.{name}" for name in value if not re.search(given["pattern"], name))
        elif word == "items":
            if isinstance(value, list):
                for i, item in enumerate(value):
                    yield from faults(item, given, whole, f"{place}[{i}]")
        else:
            assert word in ("$schema", "$defs", "title", "description", "default", "then"), word


@pytest.fixture(scope="module")
def schemas():
    return {kind: schema(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def full():
    """A recipe and a constitution with every section written out."""
    recipe = load_recipe(
        "medical",
        ["train=[{method: sft, on: revisions}, {method: dpo, loss: {name: simpo, beta: 2.0, gamma: 0.5}}]"],
        environment=False,
    )
    recipe = parse_document(recipe.resolved(), "recipe.yaml", InputError).data
    recipe["teacher"] |= {"prices": {"input": 1.0, "output": 2.0}, "template": {"x": 1}}
    recipe["evaluate"]["own"] = {"questions": {"function": "metrics.py:questions", "options": {"x": 1}}}
    constitution = copy.deepcopy(read_document(packaged_files("constitutions")["medical"], InputError).data)
    constitution["principles"] = constitution["principles"][:2]
    constitution["principles"][0] |= {
        "checks": {"forbid": ["x"], "max_words": 9},
        "examples": [{"prompt": "p", "good": "g"}],
        "applies_to": ["a"],
    }
    constitution["silence"] = [{"rule": "vague", "reason": "r"}]
    return {"recipe": recipe, "constitution": constitution}


def refused(kind, data):
    """Whether the reader refuses the data for a key or a type, rather than for a value out of range."""
    try:
        build(Document("x.yaml", data, {}), CLASSES[kind], InputError)
    except InputError as error:
        return bool(re.search(r"(?m)unknown key|is missing$|should be (a |one of |true |text)", str(error)))
    return False


def places(value, keys=()):
    yield keys, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*keys, key))


def changed(data, keys, value):
    """Return the data with one value changed; what is not on the way to it is shared."""
    if not keys:
        return value
    made = copy.copy(data)
    made[keys[0]] = changed(made[keys[0]] if len(keys) > 1 else None, keys[1:], value)
    return made


def test_every_packaged_file_fits_and_so_does_every_resolved_recipe(schemas, monkeypatch):
    for kind in KINDS:
        for name, path in packaged_files(f"{kind}s").items():
            assert not list(faults(read_document(path, InputError).data, schemas[kind], schemas[kind])), name
    for name, path in packaged_files("recipes").items():
        for profile in (None, *read_document(path, InputError).data.get("profiles", {})):
            text = load_recipe(path, profile=profile, environment=False).resolved()
            data = parse_document(text, name, InputError).data
            assert not list(faults(data, schemas["recipe"], schemas["recipe"])), (name, profile)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_refused_where_the_reader_refuses_it(kind, schemas, full):
    known, seen = full[kind], 0
    assert not refused(kind, known) and not list(faults(known, schemas[kind], schemas[kind]))
    for keys, value in list(places(known)):
        if isinstance(value, dict):
            wrong = changed(known, (*keys, "zzz"), "x")
            assert refused(kind, wrong) == bool(list(faults(wrong, schemas[kind], schemas[kind]))), keys
            seen += refused(kind, wrong)
    assert seen >= (18 if kind == "recipe" else 6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [{"zzz": 1}, ["zzz"], 0.5, None], ids=repr)
def test_a_wrong_type_is_refused_where_the_reader_refuses_it(kind, other, schemas, full):
    for keys, value in list(places(full[kind])):
        if keys and type(value) is not type(other):
            wrong = changed(full[kind], keys, other)
            if refused(kind, wrong):
                assert list(faults(wrong, schemas[kind], schemas[kind])), (keys, other)


def test_what_the_reader_takes_the_schema_takes(schemas, full):
    for text in (
        "rounds: {n: 2}",
        "rounds: 2",
        "critique: {by: student}",
        "critique: {by: [student, {model: x}]}",
        "train: {learning_rate: 1, eval_every: auto, memory: 8, activation_checkpointing: true}",
        "train: {loss: {name: dpo, beta: null, gamma: null}, trackers: [wandb]}",
        "train: {loss: {beta: 0.3, label_smoothing: 0.1}}",
        "profiles: {mine: {train: {1: {loss: {gamma: 1.0}}}, teacher: {url: null}}}",
        "profiles: null",
    ):
        data = full["recipe"] | parse_document(text, "x.yaml", InputError).data
        assert not list(faults(data, schemas["recipe"], schemas["recipe"])), text


@pytest.mark.parametrize(
    "text",
    [
        "train: {loss: {name: dpo, gamma: 1.0}}",
        "train: {loss: {name: dop}}",
        "train: {loss: {gamma: 1.0}}",
        "train: {method: dop}",
        "train: {trackers: [wandbb]}",
        "pair: {rules: [best]}",
        "evaluate: {metrics: [adherance]}",
        "profiles: {mine: {train: {los: {}}}}",
        "profiles: {mine: {trian: {}}}",
        "prompts: {held_out: 0.2}",
        "student: null",
    ],
)
def test_names_and_options_that_do_not_exist_are_refused(text, schemas, full):
    data = full["recipe"] | parse_document(text, "x.yaml", InputError).data
    assert list(faults(data, schemas["recipe"], schemas["recipe"]))


def test_fields_are_described_by_their_docstrings_and_have_their_defaults(schemas):
    told = schemas["recipe"]["$defs"]
    assert told["PromptsSection"]["properties"]["held_out"]["description"].startswith("share of the prompt families")
    assert told["PromptsSection"]["properties"]["held_out"]["default"] == 0.2
    assert "PROMPT" not in told["TrainingConfig"]["properties"]["early_stop"]["description"]
    described = {f.name for f in dataclasses.fields(TrainingConfig)} - {"learning_rate", "epochs", "method"}
    assert [name for name in described if "description" in told["TrainingConfig"]["properties"][name]]
    assert told["StudentSection"]["properties"]["model"]["description"].startswith("with `url`")  # of the parent
    assert {Lora.__name__, Rl.__name__} <= told.keys()


PLANTED = {
    "recipe": [
        "trian: {epochs: 1}",
        "train: {epohcs: 1}",
        "train: {epochs: two}",
        "train: {loss: {name: dpo, gamma: 1}}",
        "judge: {mode: pairwsie}",
        "draft: {n: 2.5}",
        "student: {load: nf4}",
        "evaluate: {must: [adherence]}",
        "constitution: 3",
        "profiles: {mine: {draft: {m: 2}}}",
    ],
    "constitution": [
        "principles: {kind-tone: be kind}",
        "principles: [{id: kind-tone}]",
        "principles: [{id: kind-tone, text: Be kind., prio: 1}]",
        "principles: [{id: kind-tone, text: Be kind., weight: high}]",
        "principles: [{id: kind-tone, text: Be kind., always: 1}]",
        "principles: [{id: kind-tone, text: Be kind., applies_to: tone}]",
        "principles: [{id: kind-tone, text: Be kind., checks: {forbids: [idiot]}}]",
        "principles: [{id: kind-tone, text: Be kind., checks: {max_words: few}}]",
        "conflicts: [{between: [a, b], prefers: a}]",
        "version: [1]",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_validator_of_others_takes_all_that_ships_and_refuses_planted_mistakes(kind, schemas, full, repository):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schemas[kind])
    validator = jsonschema.Draft202012Validator(schemas[kind])
    shipped = [*packaged_files(f"{kind}s").values()]
    shipped += sorted((repository / "recipes" / "examples").glob("*.yaml")) if kind == "recipe" else []
    for data in (full[kind], *(read_document(path, InputError).data for path in shipped)):
        assert not list(validator.iter_errors(data))
    for text in PLANTED[kind]:
        assert not validator.is_valid(full[kind] | parse_document(text, "x.yaml", InputError).data), text


def test_the_command_prints_a_schema_and_names_those_there_are():
    done = CliRunner().invoke(app, ["schema", "constitution"])
    assert json.loads(done.stdout) == schema("constitution")
    done = CliRunner().invoke(app, ["schema", "recipes"])
    assert done.exit_code == 2 and "did you mean 'recipe'" in done.output
