"""`cai-lite plan`: predict whether a recipe's training fits a GPU, with which settings, and how long the run takes.

Only the student's configuration is needed; no server is asked. Memory is predicted on fake tensors (see `sizes`), time
by counting (see `hours`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cai_lite.errors import InputError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.pipeline.ready import student_notes
from cai_lite.pipeline.recipe import Recipe
from cai_lite.preflight.devices import DEVICES, TABLE, Device, device_of, device_with
from cai_lite.run.progress import Terminal
from cai_lite.training.config import MEMORY_SHARE

if TYPE_CHECKING:
    from cai_lite.preflight.hours import Lengths, Part
    from cai_lite.preflight.sizes import Sizes

GIB = 1 << 30  # a card sold with "24 GB" has 24 of these, 25.8e9 bytes
CONTEXT = 0.6e9  # bytes of the CUDA context
TEACHER_RATE = 1000.0  # tokens that a teacher's server writes per second, all calls together
SMALLER = "choose a profile of the recipe with --profile, or lower train.max_tokens or train.lora.rank"
SHORTEST = 128  # tokens of a pair below which no advice is given


def plan(
    recipe: Recipe,
    *,
    gpu_memory: float | None = None,
    device: str | None = None,
    tflops: float | None = None,
    pairs: int | None = None,
    prompt_tokens: int = 256,
    completion_tokens: int = 256,
    teacher_rate: float = TEACHER_RATE,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Return the predicted peak memory of a recipe's training on several GPUs, and the hours of the whole run.

    `gpu_memory`: of the GPU, in GB as cards are sold (2**30 bytes); `device`: a GPU by name (see `devices`). Without
    either, GPUs of 24, 16, 12 and 8 GB are shown. `tflops`: dense 16-bit matrix speed in TFLOP/s, in place of the
    device's. `pairs`: the number of training pairs, in place of an estimate. `prompt_tokens`, `completion_tokens`: mean
    lengths, used for the time; the memory is that of full passes with the longest pairs that `train.max_tokens` allows.
    `teacher_rate`: tokens per second that the teacher's server writes. `cache`: a file to keep footprints in for the
    next call.

    Raises:
        InputError: a number is not above 0, no such device, or the recipe's files cannot be read.
        ModelError: the student's configuration cannot be read, or it cannot be trained.
    """
    numbers = {"gpu_memory": gpu_memory, "pairs": pairs, "tflops": tflops, "teacher_rate": teacher_rate}
    for name, value in numbers.items():
        if value is not None and value <= 0:
            raise InputError(f"{name} should be above 0, got {value}")
    devices = _devices(gpu_memory, device, tflops)
    from cai_lite.pipeline.walk import prompts_of
    from cai_lite.preflight.hours import Lengths, parts_of
    from cai_lite.preflight.sizes import config_of, longest_row, sizes_of

    constitution, prompts = load_constitution(recipe.constitution), prompts_of(recipe)
    config, load = config_of(recipe.student.model), recipe.student.load or "auto"
    lengths = Lengths(prompt=prompt_tokens, completion=completion_tokens)
    parts = parts_of(recipe, constitution, prompts, lengths=lengths, pairs=pairs, teacher_rate=teacher_rate)
    sizes = [sizes_of(recipe, config, load, cache, phase=phase) for phase in recipe.phases]
    notes = student_notes(recipe, needs_tokenizer=False)
    cards = [_card(recipe, config, sizes, load, one, lengths, parts) for one in devices]
    prompt, completion = longest_row(recipe, max(recipe.phases, key=lambda phase: phase.max_tokens))
    fitting = [card for card in cards if card["fits"]]
    return {
        "format": 2,
        "model": recipe.student.model,
        "load": load,
        "layers": sizes[0].full.layers,
        "weights_gb": sizes[0].full.weights / 1e9,
        "adapter_gb": sizes[0].full.adapter / 1e9,
        "longest_pair": {"prompt_tokens": prompt, "completion_tokens": completion},
        "tokens_per_pass": max(each.tokens for each in sizes),
        "cards": cards,
        "fits": bool(fitting),
        "notes": notes,
        "advice": _advice(recipe, config, sizes, load, cards, cache),
        "assumed": _assumed(recipe, lengths, teacher_rate),
    }


def _devices(memory: float | None, name: str | None, tflops: float | None) -> list[Device]:
    if name is None and memory is None:
        found = [DEVICES[known] for known in TABLE]
    elif name is not None:
        found = [device_of(name)]
    else:
        found = [device_with(memory or 0)]
    return [
        replace(one, memory=one.memory if memory is None else memory, tflops=one.tflops if tflops is None else tflops)
        for one in found
    ]


def _card(
    recipe: Recipe, config: Any, sizes: list[Sizes], load: str, device: Device, lengths: Lengths, parts: list[Part]
) -> dict[str, Any]:
    """Return how the training fits on one GPU, and the hours of each part of the run on it.

    `sizes`: of each phase. Shown is the one that takes the most memory, and fits is what all of them do.
    """
    from cai_lite.preflight.hours import decoding_speed, training_hours

    available = device.memory * GIB - CONTEXT
    fitted = [each.fit(available * MEMORY_SHARE) for each in sizes]
    sized = max(fitted, key=lambda each: (not each.fits, each.peak))
    speed = decoding_speed(config, sizes[0].full, load, device, available, lengths)

    def hours(part: Part) -> float | None:
        if part.by == "teacher":
            return part.hours
        if part.phase is not None:
            full, recomputed = sizes[part.phase].full, fitted[part.phase].recomputed
            phase = recipe.phases[part.phase]
            return training_hours(recipe, config, full, recomputed, device, lengths, part.calls, phase=phase)
        return part.tokens_out / speed / 3600

    made = [replace(part, hours=hours(part)) for part in parts] if sized.fits else []
    timed, known = [part.as_dict() for part in made], [part.hours for part in made]
    trainings = [part.hours for part in made if part.phase is not None and part.hours is not None]
    return {
        "device": device.name,
        "gpu_memory_gb": device.memory,
        "tflops": device.tflops,
        "bandwidth_gb_s": device.bandwidth,
        "tokens_a_pass": sized.tokens,
        "layers_recomputed": sized.recomputed,
        "peak_gb": (sized.peak + CONTEXT) / 1e9,
        "fits": sized.fits,
        "decoding_tokens_per_second": speed,
        "training_hours": sum(trainings) if trainings else None,
        "hours": None if not timed or None in known else sum(each for each in known if each is not None),
        "walk": timed,
    }


def show_plan(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the GPUs as a table, the parts of the run on the first that fits, then what is assumed, then the advice."""
    console = console or Terminal()
    longest = found["longest_pair"]
    table = Table(
        title=f"{found['model']}, load {found['load']} (predicted)",
        caption=f"Peak memory: full passes of {found['tokens_per_pass']} tokens, longest pairs "
        f"{longest['prompt_tokens']} + 2 x {longest['completion_tokens']} tokens; layers: those that are recomputed",
    )
    columns = ("GB", "speed of", "tokens a pass", "layers", "peak, GB", "training, h", "run, h", "fits")
    for column in columns:
        table.add_column(column, justify="right")
    for card in found["cards"]:
        table.add_row(
            f"{card['gpu_memory_gb']:g}",
            card["device"],
            str(card["tokens_a_pass"]),
            f"{card['layers_recomputed']} of {found['layers']}",
            f"{card['peak_gb']:.1f}",
            _hours(card["training_hours"]),
            _hours(card["hours"]),
            "yes" if card["fits"] else "no",
            style="" if card["fits"] else "dim",
        )
    console.print(table)
    first = next((card for card in found["cards"] if card["fits"]), None)
    if first is not None:
        _show_walk(first, console)
    for line in found["notes"]:
        console.print(f"note: {line}", highlight=False, soft_wrap=True)
    for line in found["assumed"]:
        console.print(f"assumed: {line}", highlight=False, style="dim", soft_wrap=True)
    console.print(found["advice"], highlight=False, soft_wrap=True)


def _show_walk(card: dict[str, Any], console: Console) -> None:
    table = Table(
        title=f"The whole run on {card['gpu_memory_gb']:g} GB at the speed of {card['device']}",
        caption=f"{card['tflops']:g} TFLOP/s, {card['bandwidth_gb_s']:g} GB/s; the student writes "
        f"{card['decoding_tokens_per_second']:,.0f} tokens/s; a call of the training is a pair",
    )
    table.add_column("part", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for column in ("calls", "tokens in", "tokens out", "hours"):
        table.add_column(column, justify="right", no_wrap=True)
    for part in card["walk"]:
        counts = (f"{part[name]:,}" for name in ("calls", "tokens_in", "tokens_out"))
        table.add_row(part["part"], part["by"], *counts, _hours(part["hours"]))
    console.print(table)


def _hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.1f}" if hours >= 0.1 else f"{hours:.2f}"


def _assumed(recipe: Recipe, lengths: Lengths, teacher_rate: float) -> list[str]:
    from cai_lite.preflight import hours

    rounds = recipe.repeats.n
    return [
        *([f"all {rounds} rounds are walked, each with as many pairs as the first"] if rounds > 1 else []),
        f"prompts of {lengths.prompt} and completions of {lengths.completion} tokens on average",
        f"training and decoding reach {hours.FLOPS_SHARE:.0%} of the card's dense bfloat16 TFLOP/s, decoding "
        f"{hours.BANDWIDTH_SHARE:.0%} of its memory bandwidth, with at most {hours.MOST_ROWS} replies at a time",
        f"{hours.BROKEN:.0%} of the drafts are revised, again in each further round; {hours.KEPT:.0%} of the "
        "comparisons become pairs; every call succeeds",
        f"the teacher's server writes {teacher_rate:g} tokens/s in all and reads {hours.READING} times as many; a "
        f"critique has {hours.CRITIQUE} tokens, a verdict {hours.VERDICT}, instructions {hours.WORDING}",
        f"{MEMORY_SHARE:.0%} of the memory beside CUDA's {CONTEXT / 1e9:g} GB can be used",
    ]


def _advice(
    recipe: Recipe, config: Any, sizes: list[Sizes], load: str, cards: list[dict[str, Any]], cache: Path | None
) -> str:
    """Return one sentence: how it fits on the largest GPU shown, or what would fit there."""
    from cai_lite.preflight.sizes import sizes_of

    card = cards[0]
    if card["fits"]:
        smaller = "" if all(one["fits"] for one in cards) else f"; where it does not, {SMALLER}"
        return (
            f"fits on {card['gpu_memory_gb']:g} GB: train.memory: auto recomputes {card['layers_recomputed']} layers, "
            f"with at most {card['tokens_a_pass']} tokens per pass{smaller}"
        )
    budget = (card["gpu_memory_gb"] * GIB - CONTEXT) * MEMORY_SHARE

    def fits(settings: dict[str, Any], way: str) -> bool:
        tokens = settings.get("max_tokens", longest)
        phases = tuple(replace(phase, tokens_per_batch=1, **settings) for phase in recipe.phases)
        shorter = replace(
            recipe,
            train=phases,
            draft=replace(recipe.draft, max_tokens=min(recipe.draft.max_tokens, tokens // 2)),
        )
        return all(sizes_of(shorter, config, way, cache, phase=phase).fit(budget).fits for phase in phases)

    longest = max(phase.max_tokens for phase in recipe.phases)
    where = f"does not fit on {card['gpu_memory_gb']:g} GB"
    if load != "nf4" and fits({}, "nf4"):
        return f"{where}; it fits with student.load: nf4"
    standing = max(each.full.weights + each.full.adapter for each in sizes)  # whatever the length
    tokens = longest // 2
    while tokens >= SHORTEST and standing < budget:
        if fits({"max_tokens": tokens}, load):
            completion = min(recipe.draft.max_tokens, tokens // 2)
            return f"{where}; it fits with train.max_tokens: {tokens} and draft.max_tokens: {completion}"
        tokens //= 2
    return f"{where} at any length of pairs; use a smaller student, student.load: nf4, or a larger GPU"
