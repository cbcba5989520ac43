"""The memory of a recipe's training, from the student's configuration alone: footprints, kept in a file of the user's.

A footprint takes some seconds, since the model's own code runs on fake tensors (see `logps.footprint`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai_lite.chat.hub import unreachable
from cai_lite.chat.modelfiles import config_of_source
from cai_lite.chat.weights import resolve
from cai_lite.errors import ModelError
from cai_lite.pipeline.recipe import Recipe
from cai_lite.records import digest
from cai_lite.run.files import version, write_text
from cai_lite.training.config import TrainingConfig
from cai_lite.training.methods import METHODS

if TYPE_CHECKING:
    from cai_lite.logps.footprint import Footprint

_PACKAGES = ("torch", "transformers", "peft", "cai-lite")
_SOURCES = ("cai_lite.logps.footprint", "cai_lite.logps.head", "cai_lite.logps.fused", "cai_lite.logps.attention")


def cache_file() -> Path:
    """Return the file in which the command keeps footprints from one call to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cai-lite" / "footprints.json"


def config_of(model: str) -> Any:
    """Return the transformers configuration of a model: of a folder, of the hub's cache, or of the hub.

    Raises:
        ModelError: it is not on this machine, and the hub cannot be asked or does not have it.
    """
    source = resolve(model)
    try:
        return config_of_source(model, source, local=True)
    except ModelError as error:
        if Path(source).is_dir():
            raise
        if why := unreachable(source):
            raise ModelError(
                f"the configuration of {model} is not on this machine and cannot be downloaded ({why}); give a folder "
                "with its config.json by --set student.model=FOLDER"
            ) from error
    return config_of_source(model, source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """How a pass of the model fits: its tokens, the layers that are recomputed, its peak in bytes without CUDA's own.

    `fits` is false where even one pair with every layer recomputed does not.
    """

    tokens: int
    recomputed: int
    peak: int
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The footprint of a full pass of `tokens` tokens, and that of the longest pair alone, of `single_tokens`."""

    full: Footprint
    tokens: int
    single: Footprint
    single_tokens: int

    def footprint(self, tokens: int) -> Footprint:
        """Return the footprint of a pass between the two, by a straight line, which lies above the true curve."""
        if self.tokens == self.single_tokens:
            return self.full
        share = (tokens - self.single_tokens) / (self.tokens - self.single_tokens)

        def between(name: str) -> int:
            low, high = int(getattr(self.single, name)), int(getattr(self.full, name))
            return math.ceil(low + share * (high - low))

        names = ("base_plain", "base_checkpointed", "plain", "checkpointed")
        return replace(self.full, **{name: between(name) for name in names})

    def fit(self, budget: float) -> Sized:
        """Return how a training fits into `budget` bytes, as the trainer decides: first recompute, then halve."""
        for tokens in self._halvings():
            found = self.footprint(tokens)
            recomputed = found.layers_to_recompute(budget - found.weights - found.adapter)
            if recomputed is not None:
                return Sized(tokens=tokens, recomputed=recomputed, peak=found.peak(recomputed), fits=True)
        return Sized(tokens=tokens, recomputed=found.layers, peak=found.peak(found.layers), fits=False)

    def _halvings(self) -> Iterator[int]:
        tokens = self.tokens
        while tokens > self.single_tokens:
            yield tokens
            tokens //= 2
        yield self.single_tokens


def longest_row(recipe: Recipe, phase: TrainingConfig) -> tuple[int, int]:
    """Return the tokens of prompt and completion of the longest row that `train.max_tokens` admits."""
    longest = phase.rl.max_completion_tokens if METHODS[phase.method].on_policy else recipe.draft.max_tokens
    completion = max(1, min(longest, phase.max_tokens - 1))
    return phase.max_tokens - completion, completion


def completions_of(recipe: Recipe, phase: TrainingConfig) -> int:
    """Return how many completions a row of a phase has: at most, where a ranking holds all candidates of a prompt."""
    if METHODS[phase.method].on_policy:
        return phase.rl.samples
    if phase.method != "listwise":
        return 1 if phase.method == "sft" else 2
    by_teacher = bool({"teacher_over_student", "ranked"} & set(recipe.pair.rules))
    revised = recipe.draft.n if "revision_over_draft" in recipe.pair.rules else 0
    return recipe.draft.n + revised + by_teacher


def sizes_of(
    recipe: Recipe, config: Any, load: str, cache: Path | None = None, *, phase: TrainingConfig | None = None
) -> Sizes:
    """Return the sizes of a recipe's training; of its first phase, if none is given.

    A full pass has `train.tokens_per_batch` tokens, as passes of a real run have: whole longest pairs, and a shorter
    one that fills the rest; but not more than the pairs of an update. `cache`: a file to keep footprints in.
    """
    phase = phase or recipe.phases[0]
    (prompt, completion), many = longest_row(recipe, phase), completions_of(recipe, phase)
    plain = phase.layout == "plain"
    single = many * (prompt + completion) if plain else prompt + many * completion
    tokens = max(single, min(phase.tokens_per_batch, phase.batch_size * single))
    count, rest = divmod(tokens, single)
    pairs = [(prompt, completion)] * count
    shorter = rest / single
    if plain:  # a padded row is as long as the longest one
        tokens = count * single
    elif rest > many:
        less = max(1, round(completion * shorter))
        pairs.append((max(1, rest - many * less), less))
    full = _footprint(phase, config, load, pairs, many, cache)
    alone = full if len(pairs) == 1 else _footprint(phase, config, load, pairs[:1], many, cache)
    return Sizes(full=full, tokens=tokens, single=alone, single_tokens=single)


def _footprint(
    phase: TrainingConfig, config: Any, load: str, pairs: list[tuple[int, int]], many: int, cache: Path | None
) -> Footprint:
    key = _key(phase, config, load, pairs, many)
    known = _read(cache)
    from cai_lite.logps.footprint import Footprint

    if key in known:
        with suppress(TypeError):
            return Footprint(**known[key])
    found = _computed(phase, config, load, pairs, many)
    if cache is not None:
        with suppress(OSError):  # a home that cannot be written to costs some seconds, and nothing else
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_text(cache, json.dumps({**_read(cache), key: asdict(found)}))
    return found


def _computed(phase: TrainingConfig, config: Any, load: str, pairs: list[tuple[int, int]], many: int) -> Footprint:
    import torch

    from cai_lite.training.memory import footprint_of
    from cai_lite.training.tokens import Row

    rows = [
        Row((i,) * prompt, tuple((k,) * less for k in range(1, many + 1))) for i, (prompt, less) in enumerate(pairs)
    ]
    return footprint_of(
        config,
        rows,
        phase,
        layout="plain" if phase.layout == "plain" else "shared",
        quantised=load == "nf4",
        dtype=torch.float32 if load == "float32" else torch.bfloat16,
    )


def _read(cache: Path | None) -> dict[str, Any]:
    if cache is None:
        return {}
    with suppress(OSError, ValueError):
        found = json.loads(cache.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _key(phase: TrainingConfig, config: Any, load: str, pairs: list[tuple[int, int]], many: int) -> str:
    """Return a digest of everything that decides a footprint, the code that computes it included."""
    specs = [importlib.util.find_spec(name) for name in _SOURCES]
    code = [hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest() for spec in specs if spec and spec.origin]
    return digest(
        config.to_json_string(use_diff=False),
        load,
        pairs,
        asdict(phase.lora),
        phase.optimizer,
        phase.layout,
        [version(name) for name in _PACKAGES],
        code,
        *([] if many == 2 else [many]),
    )
