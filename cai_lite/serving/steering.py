"""Steer a finished run between groups of its principles: an adapter for each group, merged by weights.

The adapters are trained once, each on the pairs of its group alone and otherwise as the run's own; every further
weighting is a soup of them (see `soup`) and needs no training.

Everything stands in RUN/steering: GROUP/ is the training of a group, and helpful=0.3,harmless=0.7/ a soup of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cai_lite.chat.weights import folder_digest
from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.pairs import load_pairs
from cai_lite.pipeline.phases import needs_pairs, student_before, train_phase
from cai_lite.pipeline.recipe import Recipe, load_recipe
from cai_lite.records import PreferencePair, digest
from cai_lite.run.files import write_text
from cai_lite.run.progress import Screen
from cai_lite.serving.soup import merge_adapters
from cai_lite.training.config import TrainingConfig

STEERING = "steering"  # the folder in the run
_RECORD = "soup.json"

Weights = Mapping[str, float]
"""The weight of each group; they add up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """A finished run that can be steered: its recipe, its pairs, and the groups of principles by name.

    `number`: of the phase that learns from pairs.
    """

    run: Path
    recipe: Recipe
    pairs: Sequence[PreferencePair]
    groups: Mapping[str, Sequence[str]]
    number: int

    @property
    def folder(self) -> Path:
        """The folder that all of this is written to."""
        return self.run / STEERING

    @property
    def phase(self) -> TrainingConfig:
        """The settings of the run's training on pairs."""
        return self.recipe.phases[self.number]


def open_steered(run: Path, groups: Mapping[str, Sequence[str]] | None = None) -> Steered:
    """Read a finished run. `groups`: as `steer.groups` of a recipe, in place of the run's own.

    Raises:
        InputError: it is no finished run of a single round with a training on pairs; there are no groups, or a group
            names no principle that the pairs have.
    """
    if not (run / "recipe.yaml").is_file() or not (run / "pairs.jsonl").is_file():
        raise InputError(f"{run} is not the directory of a finished run (recipe.yaml or pairs.jsonl not found)")
    recipe = load_recipe(run / "recipe.yaml", environment=False)
    if recipe.repeats.n > 1:
        raise InputError(f"{run} has rounds, and each of them has pairs of its own; steer a run of a single round")
    numbers = [n for n, phase in enumerate(recipe.phases) if phase.method == "dpo" and needs_pairs(phase)]
    if not numbers:
        raise InputError(f"{run} has no training by the method 'dpo', which reads the weights of principles")
    pairs = load_pairs(run / "pairs.jsonl")
    chosen = dict(groups or recipe.steer.groups)
    there = {pair.principle for pair in pairs if pair.principle}
    if len(chosen) < 2:
        raise InputError(
            f"{run}: name at least two groups of principles, in the recipe as steer.groups or by --group NAME=ID,ID; "
            f"the principles of the pairs are {', '.join(sorted(there))}"
        )
    for name, principles in chosen.items():
        for id_ in principles:
            if id_ not in there:
                raise InputError(f"group '{name}': no pair names the principle '{id_}'{did_you_mean(id_, there)}")
    return Steered(run=run, recipe=recipe, pairs=pairs, groups=chosen, number=numbers[-1])


def checked_weights(steered: Steered, weights: Weights) -> dict[str, float]:
    """Return a weight for each group, divided by their sum. Raises InputError where they name or mean nothing."""
    for name, weight in weights.items():
        if name not in steered.groups:
            raise InputError(f"there is no group '{name}'{did_you_mean(name, steered.groups)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"the weight of '{name}' should be 0 or more, got {weight}")
    total = sum(weights.values())
    if not total > 0:
        raise InputError("all weights are 0; at least one should be above 0")
    return {name: weights.get(name, 0.0) / total for name in steered.groups}


def name_of(weights: Weights) -> str:
    """Return the name of a soup's folder, such as "helpful=0.3,harmless=0.7"."""
    return ",".join(f"{name}={weight:.4g}" for name, weight in weights.items())


def group_adapter(steered: Steered, name: str, screen: Screen) -> Path:
    """Return the adapter of a group, which is trained where it is not yet; the same call resumes."""
    own = set(steered.groups[name])
    others = {pair.principle for pair in steered.pairs} - own
    given = steered.phase.principle_weights
    weights = {**dict.fromkeys(others, 0.0), **{p: given.get(p, 1.0) for p in own}}
    return _trained(steered, weights, steered.folder / name, name, screen)


def trained_at(steered: Steered, weights: Weights, screen: Screen) -> Path:
    """Return an adapter trained on the pairs of all groups at once, each pair with the weight of its group.

    It is what a soup of the same weights stands for. The weights are multiplied by the number of groups, so that equal
    ones leave the pairs as they are. A principle in several groups has the sum of their weights.
    """
    factors = dict.fromkeys({pair.principle for pair in steered.pairs}, 0.0)
    for name, weight in weights.items():
        for principle in steered.groups[name]:
            factors[principle] += weight * len(steered.groups)
    return _trained(
        steered, factors, steered.folder / f"trained,{name_of(weights)}", "trained at these weights", screen
    )


def soup(
    steered: Steered, weights: Weights, screen: Screen, *, scale: float = 1.0, rank: int | None = None
) -> tuple[Path, float]:
    """Return the adapter merged from those of the groups, and the relative error where it is cut to `rank`.

    `scale`: factor of the whole change. With 1 the soup lies between the adapters of the groups, as in rewarded soups;
    with the number of groups and equal weights the changes are added whole, as in task arithmetic (Ilharco et al. 2023,
    arXiv:2212.04089). A soup that was made of the same adapters is taken as it stands.
    """
    used = {name: weight * scale for name, weight in weights.items() if weight > 0}
    adapters = {group_adapter(steered, name, screen): weight for name, weight in used.items()}
    folder = steered.folder / (
        name_of(weights) + (f",scale={scale:g}" if scale != 1 else "") + (f",rank={rank}" if rank else "")
    )
    made_of = digest([(folder_digest(adapter), weight) for adapter, weight in adapters.items()], rank)
    record = folder / _RECORD
    if record.is_file() and (folder / "adapter").is_dir():
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["made_of"] == made_of:
            return folder / "adapter", float(found["error"])
    folder.mkdir(parents=True, exist_ok=True)
    error = merge_adapters(adapters, folder / "adapter", rank=rank)
    write_text(
        record, json.dumps({"weights": dict(weights), "scale": scale, "rank": rank, "error": error, "made_of": made_of})
    )
    return folder / "adapter", error


def _trained(steered: Steered, weights: Weights, folder: Path, name: str, screen: Screen) -> Path:
    config = replace(steered.phase, principle_weights=weights)
    before = student_before(steered.recipe, steered.run, steered.number)
    folder.mkdir(parents=True, exist_ok=True)
    adapter, _ = train_phase(
        steered.recipe, config, steered.pairs, steered.run, folder, screen, name=name, before=before
    )
    return adapter
