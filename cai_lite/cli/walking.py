"""Commands that run a recipe or one of its stages: demo, init, run, pairs, status, preflight, train, plan, bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cai_lite.cli.shared import (
    BEFORE,
    WALK,
    Json,
    On,
    Out,
    Profile,
    Quiet,
    RecipeName,
    Settings,
    app,
    guarded,
    quiet_libraries,
    run_name,
    say,
    show,
    show_json,
    walk,
)
from cai_lite.errors import InputError, did_you_mean
from cai_lite.run.launch import launch

if TYPE_CHECKING:
    from cai_lite.pipeline.recipe import Recipe

DEMOS = ("medical", "customer-service", "creative")


@app.command(rich_help_panel=WALK)
@guarded
def demo(
    domain: Annotated[str, typer.Argument(help="medical, customer-service or creative.")] = "medical",
    out: Out = None,
    settings: Settings = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run all stages on two tiny packaged models.

    Takes a few minutes, and needs neither GPU nor network.

    Example: cai-lite demo creative --out runs/creative
    """
    if domain not in DEMOS:
        raise InputError(f"no demo '{domain}'{did_you_mean(domain, DEMOS)}; the demos are {', '.join(DEMOS)}")
    walk(domain, out or Path("runs") / f"demo-{domain}", settings, "embedded", json_, quiet)


@app.command(rich_help_panel=WALK)
@guarded
def init(
    name: Annotated[Path, typer.Argument(help="The folder to make.")],
    base: Annotated[
        str,
        typer.Option("--from", help="What to begin from: medical, customer-service, creative, helpful-honest, ..."),
    ] = "medical",
    json_: Json = False,
) -> None:
    """Begin a project of your own, which runs as it is.

    Makes a folder with constitution.yaml, prompts.jsonl and recipe.yaml.

    Example: cai-lite init mine --from customer-service
    """
    from cai_lite.pipeline.starting import init as begin
    from cai_lite.pipeline.starting import profiles_of

    written = begin(name, base)
    files = ", ".join(file.name for file in written)
    recipe = f"{name}/recipe.yaml{profiles_of(name)}"
    following = f"next: cai-lite run {recipe}" if "--profile" in recipe else f"next: cai-lite run {recipe} --dry-run"
    show({"files": list(map(str, written))}, json_, f"{name}: {files}\n{following}")


@app.command(rich_help_panel=WALK)
@guarded
def run(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe file or packaged name: helpful-honest, medical, customer-service, creative."),
    ],
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what would be done, without calling a model.")
    ] = False,
    show_recipe: Annotated[
        bool, typer.Option("--show", help="With --dry-run: also print the recipe with all defaults written out.")
    ] = False,
    phase: Annotated[
        int,
        typer.Option(min=0, help="Where 'train' is a list: take the phases before this one, from 0, as they stand."),
    ] = 0,
    only_changed: Annotated[
        bool,
        typer.Option(
            "--only-changed",
            help="With --from: take along a changed constitution alone, and no corrections.",
        ),
    ] = False,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The finished run to go on from, with what people corrected there and how the constitution changed; "
            "exit 1 unless each unchanged principle is shown to be no worse.",
        ),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(help="With --from: what failed in production, a file that `monitor --failures` wrote."),
    ] = None,
    on: On = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe, from the drafts to the report.

    The stages are draft, critique, revise, judge, pair, train, evaluate and report. With --from, the next round of a
    finished run, compared with it on the same prompts.

    Example: cai-lite run medical --set teacher.url=http://localhost:8000/v1 --out runs/medical
    """
    for option, given in (("--only-changed", only_changed), ("--failures", failures is not None)):
        if given and earlier is None:
            raise InputError(f"{option} and --from RUN go together: which run is gone on from, and what is taken along")
    ending = "" if earlier is None else "-changed" if only_changed else "-next"
    place = out or Path("runs") / f"{run_name(recipe)}{ending}"
    begun = {"run": earlier and str(earlier), "failures": failures and str(failures), "only_changed": only_changed}
    chosen = [*(settings or []), *(f"from.{name}={json.dumps(value)}" for name, value in begun.items() if value)]
    walk(recipe, place, chosen, profile, json_, quiet, on=on, dry_run=dry_run, show=show_recipe, phase=phase)


@app.command(rich_help_panel=WALK)
@guarded
def pairs(
    recipe: RecipeName,
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    on: On = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe up to pairs.jsonl, without training.

    The answers that its phases learn are made as well.

    Example: cai-lite pairs creative --profile embedded --out runs/pairs
    """
    made = walk(recipe, out or Path("runs") / run_name(recipe), settings, profile, json_, quiet, until="pair", on=on)
    if not json_:
        counted = {stage: counts for stage, counts in made["counts"].items() if stage in ("pair", "guards")}
        dropped = [
            f"{n:,} {what}"
            for counts in counted.values()
            for what, n in counts.items()
            if what not in ("pairs", "kept")
        ]
        say(f"{made['pairs']:,} pairs: {made['file']}" + (f" ({', '.join(dropped)})" if dropped else ""))
        for file in made["sources"]:
            say(f"to learn: {file}")
    if not made["pairs"] and not made["sources"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=WALK)
@guarded
def status(
    run_directory: Annotated[Path, typer.Argument(help="A run directory; it may be in use.")],
    json_: Json = False,
) -> None:
    """Show how far a run is, what it cost, and what comes next.

    Example: cai-lite status runs/medical
    """
    from cai_lite.pipeline.status import show_status
    from cai_lite.pipeline.status import status as look

    found = look(run_directory)
    if json_:
        show_json(found)
    else:
        show_status(found)


@app.command(rich_help_panel=BEFORE)
@guarded
def preflight(
    recipe: RecipeName,
    out: Out = None,
    prompts: Annotated[int, typer.Option(min=1, help="The number of training prompts to try.")] = 24,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test the judge on every principle before a run is paid for.

    Exits with 1 if a principle is not ready.

    Example: cai-lite preflight medical --profile embedded --out runs/preflight
    """
    from cai_lite.pipeline.recipe import load_recipe
    from cai_lite.preflight.pilot import preflight as look
    from cai_lite.preflight.pilot import show_preflight

    quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile)
    place = out or Path("runs") / f"preflight-{run_name(recipe)}"
    found = look(read, place, prompts=prompts, quiet=quiet or json_)
    if json_:
        show_json(found)
    else:
        show_preflight(found)
    if not found["ready"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=WALK)
@guarded
def train(
    out: Annotated[
        Path, typer.Option(help="The folder for adapter/, checkpoints/ and metrics.jsonl. The same command resumes.")
    ],
    student: Annotated[
        str | None,
        typer.Option(help="A model folder, a hub id, or embedded:student; with --run, the run's by default."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="A preference file (JSONL, JSON or Parquet), or a folder of them, with chosen, rejected and usually "
            "prompt; for --method sft with prompt and completion."
        ),
    ] = None,
    run_directory: Annotated[
        Path | None, typer.Option("--run", help="Train on the material of this run directory, in place of --pairs.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="dpo, sft, listwise or preference_model; with --run the settings are those of the run's phase of it."
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="What --method sft learns: revisions or prompted (answers of a run), chosen (sides of pairs), or "
            "critiques (of a run's teacher; makes a critic for critique.by). What --method preference_model learns in "
            "place of pairs: verdicts."
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(help="With --run: the id of a principle that gets no say in the pairs, to see what they owe it."),
    ] = None,
    load: Annotated[
        str | None, typer.Option(help="The dtype of the weights: auto, float32, bfloat16, float16 or nf4.")
    ] = None,
    max_bad: Annotated[
        float, typer.Option(help="The largest share of unusable rows; they are listed in quarantine.jsonl.")
    ] = 0.05,
    settings: Settings = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a LoRA adapter on a preference file or on a run.

    Trains by one method; with --run, on the material of a run. On several GPUs: torchrun --nproc_per_node 8 -m cai_lite
    train, with the same options; the updates are the same ones.

    Example: cai-lite train --student embedded:student --pairs pairs.jsonl --out runs/mine --set train.loss.beta=0.2
    """
    from cai_lite.pipeline.alone import train_file, train_run

    quiet_libraries()
    chosen = [*([f"train.method={method}"] if method else []), *([f"train.on={on}"] if on else []), *(settings or [])]
    if run_directory is not None:
        if pairs is not None:
            raise InputError("--pairs and --run are both given; keep one of them")
        how = {"without": without, "student": student, "load": load}
        result = train_run(run_directory, chosen, out, **how, quiet=quiet or json_)
    elif without is not None:
        raise InputError("--without is for --run, whose verdicts tell what a principle decided")
    elif student is None or pairs is None:
        raise InputError("give --student and --pairs, or --run with a run directory")
    else:
        result = train_file(student, pairs, chosen, out, load=load, max_bad=max_bad, quiet=quiet or json_)
    if launch().rank == 0:
        show(result, json_, f"adapter: {result['adapter']}")


@app.command(rich_help_panel=BEFORE)
@guarded
def plan(
    recipe: RecipeName,
    gpu_memory: Annotated[
        float | None, typer.Option(help="The memory of the GPU, in GB; by default 24, 16, 12 and 8 are shown.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="A GPU by name: rtx-4090, rtx-3090, l4, a10, l40s, a100, h100 and others.")
    ] = None,
    tflops: Annotated[float | None, typer.Option(help="The dense 16-bit matrix speed of the GPU, in TFLOP/s.")] = None,
    pairs: Annotated[
        int | None, typer.Option(help="The number of training pairs; estimated from the recipe by default.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(help="The mean length of a prompt, in tokens.")] = 256,
    completion_tokens: Annotated[int, typer.Option(help="The mean length of a completion, in tokens.")] = 256,
    teacher_rate: Annotated[
        float, typer.Option(help="Tokens that the teacher's server writes per second, all calls together.")
    ] = 1000.0,
    power: Annotated[
        bool,
        typer.Option("--power", help="Instead, say how many held-out prompts show which difference of adherence."),
    ] = False,
    run: Annotated[
        Path | None, typer.Option(help="With --power: a finished run, whose measured variance is used.")
    ] = None,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
) -> None:
    """Predict memory and hours, and which settings make it fit.

    Example: cai-lite plan medical --device rtx-4090
    """
    if run is not None and not power:
        raise InputError("--run is for --power: its measured variance tells how many held-out prompts to take")
    from cai_lite.pipeline.recipe import load_recipe
    from cai_lite.preflight.plan import plan as predict
    from cai_lite.preflight.plan import show_plan
    from cai_lite.preflight.sizes import cache_file

    quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile, environment=False)
    if power:
        _power(read, run, json_)
        return
    found = predict(
        read,
        gpu_memory=gpu_memory,
        device=device,
        tflops=tflops,
        pairs=pairs,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        teacher_rate=teacher_rate,
        cache=cache_file(),
    )
    if json_:
        show_json(found)
    else:
        show_plan(found)
    if not found["fits"]:
        raise typer.Exit(1)


def _power(recipe: Recipe, run: Path | None, json_: bool) -> None:
    from cai_lite.pipeline.walk import prompts_of
    from cai_lite.preflight.power import power, show_power

    found = power(prompts_of(recipe).held_out, run)
    if json_:
        show_json(found)
    else:
        show_power(found)


@app.command(rich_help_panel=BEFORE)
@guarded
def bench(
    against: Annotated[
        str,
        typer.Option(
            help="The opponent: trl (default and tuned settings), trl-best, flash-preference, or itself (without "
            "single parts)."
        ),
    ] = "",
    model_shape: Annotated[
        str, typer.Option(help="tiny, small, llama-2-7b, qwen2.5-7b or auto (qwen2.5-7b on a GPU, else small).")
    ] = "auto",
    prompt_tokens: Annotated[int, typer.Option(help="The length of a prompt, in tokens.")] = 256,
    completion_tokens: Annotated[
        int, typer.Option(help="The mean length of a completion, in tokens; lengths vary by a third.")
    ] = 96,
    pairs: Annotated[int, typer.Option(help="The number of pairs per step.")] = 4,
    steps: Annotated[int, typer.Option(help="The number of timed steps, after one warm-up step.")] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    load: Annotated[
        str,
        typer.Option(help="The dtype of the weights: float32, bfloat16, nf4 or auto (nf4 on a GPU, else float32)."),
    ] = "auto",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute activations in all contenders.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures to this JSON file.")] = None,
    json_: Json = False,
) -> None:
    """Time a training step beside that of TRL's DPOTrainer.

    Both train the same model with random weights.

    Example: cai-lite bench --against trl --prompt-tokens 256 --completion-tokens 96
    """
    from cai_lite.bench.case import case_of
    from cai_lite.bench.run import bench as measure
    from cai_lite.bench.run import opponents
    from cai_lite.bench.table import show_bench
    from cai_lite.run.files import write_text

    quiet_libraries()
    case = case_of(
        shape=model_shape,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        pairs=pairs,
        steps=steps,
        device=device,
        load=load,
        checkpointing=checkpointing,
    )
    found = measure(case, opponents(against), lambda line: say(line, err=True))
    if out is not None:
        write_text(out, json.dumps(found, indent=1) + "\n")
    if json_:
        show_json(found)
    else:
        show_bench(found)
