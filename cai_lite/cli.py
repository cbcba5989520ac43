"""The `cai-lite` command. Each command is thin: it reads its options, calls one public function, prints the result.

Exit status: 0 done; 1 ran, but a check failed; 2 the input is wrong, nothing was written; 3 stopped part-way, the same
command goes on; 130 interrupted, the same command goes on.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from cai_lite.errors import CaiError, InputError, RunBusyError

P = ParamSpec("P")

constitutions = typer.Typer(no_args_is_help=True, help="Import a policy, or compare two versions of a constitution.")
prompt_files = typer.Typer(no_args_is_help=True, help="Extend a list of prompts.")
app = typer.Typer(
    name="cai-lite",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Make an open model follow a written constitution, and prove that it does.",
)

app.add_typer(constitutions, name="constitution")
app.add_typer(prompt_files, name="prompts")

Out = Annotated[
    Path | None, typer.Option("--out", help="The run directory. The same command on it goes on where it stopped.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the recipe; may be repeated."),
]
RecipeName = Annotated[str, typer.Argument(help="A recipe file, or a packaged name")]
Profile = Annotated[str | None, typer.Option(help="A profile of the recipe, such as 'embedded'.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A user's mistake ends in one clear line and its exit status, not in a traceback (`--debug` shows it)."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from here", 130)
        except CaiError as error:
            if os.environ.get("CAI_LITE_DEBUG"):
                raise
            wrong = isinstance(error, (InputError, RunBusyError))
            _fail(
                str(error) if wrong else f"{error}\nWhat is done is kept: the same command goes on from here.",
                2 if wrong else 3,
            )

    return run


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    if debug:
        os.environ["CAI_LITE_DEBUG"] = "1"


@app.command()
@guarded
def demo(
    domain: Annotated[str, typer.Argument(help="medical, customer-service or creative")] = "medical",
    out: Out = None,
    settings: Settings = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Walk all stages on the two tiny models that travel in the package: no GPU, no network, a few minutes.

    Example: cai-lite demo creative --out runs/creative
    """
    _run(domain, out or Path("runs") / f"demo-{domain}", settings, "embedded", json_, quiet)


@app.command()
@guarded
def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or a packaged name: medical, customer-service, creative")
    ],
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, print the resolved recipe, ask no model.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Walk a recipe: draft, critique, revise, judge, pair, train, evaluate, report.

    Example: cai-lite run medical --set teacher.url=http://localhost:8000/v1 --out runs/medical
    """
    _run(recipe, out or Path("runs") / Path(recipe).stem, settings, profile, json_, quiet, dry_run=dry_run)


@app.command()
@guarded
def pairs(
    recipe: RecipeName,
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Walk a recipe up to pairs.jsonl and stop there.

    Example: cai-lite pairs creative --profile embedded --out runs/pairs
    """
    _run(recipe, out or Path("runs") / Path(recipe).stem, settings, profile, json_, quiet, until="pair")


@app.command()
@guarded
def preflight(
    recipe: RecipeName,
    out: Out = None,
    prompts: Annotated[int, typer.Option(min=1, help="So many training prompts are tried")] = 24,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try the judge on every principle before a run is paid for; exit 1 if one of them is not ready.

    Example: cai-lite preflight medical --profile embedded --out runs/preflight
    """
    from cai_lite.preflight import preflight as look
    from cai_lite.preflight import show_preflight
    from cai_lite.recipe import load_recipe

    _quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile)
    place = out or Path("runs") / f"preflight-{Path(recipe).stem}"
    found = look(read, place, prompts=prompts, quiet=quiet or json_)
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_preflight(found)
    if not found["ready"]:
        raise typer.Exit(1)


@app.command()
@guarded
def train(
    student: Annotated[str, typer.Option(help="A model folder, a hub id, or embedded:student")],
    pairs: Annotated[Path, typer.Option(help="A preference file: JSONL with chosen and rejected, and maybe prompt")],
    out: Annotated[
        Path, typer.Option(help="Where adapter/, checkpoints/ and metrics.jsonl go. The same command resumes.")
    ],
    load: Annotated[
        str | None, typer.Option(help="How the weights are held: auto, float32, bfloat16, float16 or nf4")
    ] = None,
    settings: Settings = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a LoRA adapter on any preference file with DPO.

    Example: cai-lite train --student embedded:student --pairs pairs.jsonl --out runs/mine --set train.loss.beta=0.2
    """
    from cai_lite.pipeline import train_pairs
    from cai_lite.recipe import training_config

    _quiet_libraries()
    config = training_config(settings or [])
    result = train_pairs(student, pairs, config, out, load=load, quiet=quiet or json_)
    _print(result, json_, f"adapter: {result['adapter']}")


@app.command()
@guarded
def evaluate(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe or packaged name: its constitution, prompts, student and judge")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="A peft adapter of the student, or of --model")] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a recipe: a folder, hub id, embedded:..., or URL#NAME of a server")
    ] = None,
    against: Annotated[str | None, typer.Option(help="The model to stand beside it; else it stands alone")] = None,
    constitution: Annotated[str | None, typer.Option(help="A constitution file, or a packaged name")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A prompt file; all of its prompts are asked")] = None,
    judge: Annotated[list[str] | None, typer.Option(help="Who judges; may be repeated for several")] = None,
    load: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16 or nf4")] = None,
    must: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME>=VALUE", help="A gate, such as 'over_refusal<=0.05'; exit 1 if not"),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, without a recipe")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the answers, without a recipe")] = 0.3,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Print what these runs measured side by side; may be repeated")
    ] = None,
    out: Out = None,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model or an adapter on held-out prompts, before beside after; exit 1 where a gate does not hold.

    Example: cai-lite evaluate medical --profile embedded --adapter runs/demo-medical/adapter --out runs/again
    """
    if compare:
        _compare(compare, json_)
        return
    if recipe is not None:
        if adapter is None:
            raise InputError("which adapter? --adapter runs/medical/adapter")
        gates = [f"evaluate.must.{_gate(text)[0]}='{_gate(text)[1]}'" for text in must or []]
        place = out or Path("runs") / f"evaluate-{Path(recipe).stem}"
        _run(recipe, place, [*(settings or []), *gates], profile, json_, quiet, adapter=adapter)
        return
    if model is None or constitution is None or prompts is None or not judge:
        raise InputError("give a recipe, or all of --model, --constitution, --prompts and --judge")
    from rich.console import Console

    from cai_lite.assessing import assess
    from cai_lite.evaluation.table import show
    from cai_lite.records import Sampling

    _quiet_libraries()
    found = assess(
        model,
        adapter=adapter,
        against=against,
        constitution=constitution,
        prompts=prompts,
        judge=judge,
        load=load,
        must=dict(_gate(text) for text in must or []),
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        out=out or Path("runs") / "evaluate",
        quiet=quiet or json_,
    )
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show(found["evaluation"], Console())
        typer.echo(f"report: {found['report']}")
    _exit_by_gates(found["evaluation"])


@app.command()
@guarded
def report(
    run_directory: Annotated[Path, typer.Argument(help="A run directory")],
    compare: Annotated[list[Path] | None, typer.Option(help="Another run to set beside it; may be repeated")] = None,
    figure: Annotated[Path | None, typer.Option(help="Also write the main figure to this SVG file")] = None,
    json_: Json = False,
) -> None:
    """Write report.html anew from what a run holds.

    Example: cai-lite report runs/demo-medical --compare runs/other --figure adherence.svg
    """
    from cai_lite.reporting import report as write_report
    from cai_lite.reporting.page import write_figure

    path = write_report(run_directory, compare=compare or [])
    if figure is not None:
        write_figure(run_directory, figure)
    _print({"report": str(path)}, json_, f"report: {path}")


@app.command()
@guarded
def audit(
    run_directory: Annotated[Path, typer.Argument(help="A run directory")],
    key: Annotated[str, typer.Argument(help="The key of a pair (pairs.jsonl has them), or its beginning")] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every digest; exit 1 if one does not fit")
    ] = False,
    json_: Json = False,
) -> None:
    """Walk a pair back to its prompt and principle, or check that a run is still what it wrote.

    Example: cai-lite audit runs/demo-medical --verify
    """
    from cai_lite.auditing import chain, show_chain
    from cai_lite.auditing import verify as check
    from cai_lite.ledger import Run

    if not (run_directory / "run.db").is_file():
        raise InputError(f"{run_directory}: no run is there")
    if verify:
        wrong = check(run_directory)
        _print({"wrong": wrong}, json_, "\n".join(wrong) or "all digests fit")
        if wrong:
            raise typer.Exit(1)
        return
    if not key:
        raise InputError("which pair? give a key of pairs.jsonl, or --verify")
    with Run(run_directory) as held:
        found = chain(held, key)
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_chain(found)


@app.command()
@guarded
def plan(
    recipe: RecipeName,
    gpu_memory: Annotated[float, typer.Option(help="The GPU's memory, in GB")],
    pairs: Annotated[int, typer.Option(help="Pairs to train on")] = 1000,
    prompt_tokens: Annotated[int, typer.Option(help="Of a mean pair")] = 256,
    completion_tokens: Annotated[int, typer.Option(help="Of a mean answer")] = 256,
    tflops: Annotated[float, typer.Option(help="The GPU's dense 16-bit matrix speed, in TFLOP/s")] = 70.0,
    settings: Settings = None,
    profile: Profile = None,
    json_: Json = False,
) -> None:
    """Predict a training's memory and time from the student's config, and say which setting makes it fit.

    Example: cai-lite plan medical --gpu-memory 24 --tflops 71
    """
    from cai_lite.planning import plan as predict
    from cai_lite.planning import show_plan
    from cai_lite.recipe import load_recipe

    _quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile)
    found = predict(
        read,
        gpu_memory=gpu_memory,
        pairs=pairs,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        tflops=tflops,
    )
    if json_:
        typer.echo(json.dumps(found))
    else:
        show_plan(found)
    if not found["fits"]:
        raise typer.Exit(1)


@app.command()
@guarded
def bench(
    against: Annotated[
        str, typer.Option(help="trl (as shipped and at its best), trl-best, or itself (less parts)")
    ] = "",
    model_shape: Annotated[str, typer.Option(help="tiny, small, llama-2-7b or qwen2.5-7b")] = "small",
    prompt_tokens: Annotated[int, typer.Option()] = 256,
    completion_tokens: Annotated[int, typer.Option(help="The mean; single ones differ by a third")] = 96,
    pairs: Annotated[int, typer.Option(help="Of a step")] = 4,
    steps: Annotated[int, typer.Option(help="That are timed, after one that is not")] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto")] = "auto",
    load: Annotated[str, typer.Option(help="float32, bfloat16, nf4; auto: bfloat16 on a GPU, else float32")] = "auto",
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Everybody recomputes activations")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures to this JSON file")] = None,
    json_: Json = False,
) -> None:
    """Time one training step of this library beside TRL's DPOTrainer, on a model with random weights.

    Example: cai-lite bench --against trl --prompt-tokens 256 --completion-tokens 96
    """
    from cai_lite.bench.case import case_of
    from cai_lite.bench.run import bench as measure
    from cai_lite.bench.run import opponents
    from cai_lite.bench.table import show_bench

    _quiet_libraries()
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
    found = measure(case, opponents(against), lambda line: typer.echo(line, err=True))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if json_:
        typer.echo(json.dumps(found))
    else:
        show_bench(found)


@app.command()
@guarded
def lint(
    files: Annotated[list[str], typer.Argument(help="Constitution files, or packaged names")],
    prompts: Annotated[Path | None, typer.Option(help="A prompt file: do the tags of applies_to reach any?")] = None,
    judge: Annotated[
        str | None, typer.Option(help="Also try this model on the examples: a folder, hub id or URL")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The judge's name at a server")] = None,
    votes: Annotated[int, typer.Option(min=1, help="So many drawn verdicts of each order")] = 5,
    out: Out = None,
    json_: Json = False,
) -> None:
    """Find what is vague, double, contradictory or broken in a constitution; exit 1 on errors, not on warnings.

    Example: cai-lite lint medical creative --judge embedded:teacher
    """
    from cai_lite.linting.page import lint_files, show_findings

    _quiet_libraries()
    found, trials = lint_files(files, prompts), []
    if judge is not None:
        from cai_lite.trials import show_trials, try_files

        trials = try_files(files, judge, model, votes=votes, out=out)
        found += [row for trial in trials for row in trial["findings"]]
    if json_:
        typer.echo(json.dumps({"findings": found, "trials": trials} if judge else found, ensure_ascii=False))
    else:
        for trial in trials:
            show_trials(trial)
        show_findings(found)
    if any(finding["level"] == "error" for finding in found):
        raise typer.Exit(1)


@constitutions.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="Sentences one a line, Markdown, or JSON")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; else it is printed")] = None,
) -> None:
    """Make a constitution of a policy that somebody else wrote, word for word, each principle with its source.

    Example: cai-lite constitution import policy.md --out policy.yaml
    """
    from cai_lite.importing import import_constitution

    text = import_constitution(file)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise InputError(f"{out} is there already; name another file")
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: look through it with 'cai-lite lint {out}'")


@constitutions.command("diff")
@guarded
def diff(
    old: Annotated[str, typer.Argument(help="A constitution file, or a packaged name")],
    new: Annotated[str, typer.Argument(help="The other one")],
    run_directory: Annotated[Path | None, typer.Option("--run", help="Also count the rows of this run")] = None,
    json_: Json = False,
) -> None:
    """Say which principles changed, and which rows of a run are made anew by that.

    Example: cai-lite constitution diff old.yaml new.yaml --run runs/first
    """
    from dataclasses import asdict

    from cai_lite.constitution import load_constitution
    from cai_lite.ledger import Run
    from cai_lite.versions import changes, show_changes, touched

    found = changes(load_constitution(old), load_constitution(new))
    rows: dict[str, dict[str, int]] = {}
    if run_directory is not None:
        if not (run_directory / "run.db").is_file():
            raise InputError(f"{run_directory}: no run is there")
        with Run(run_directory) as held:
            rows = touched(held, found)
    if json_:
        typer.echo(json.dumps({"changes": [asdict(change) for change in found], "rows": rows}, ensure_ascii=False))
    else:
        show_changes(found, rows)


@prompt_files.command("grow")
@guarded
def grow(
    file: Annotated[Path, typer.Argument(help="A prompt file: the seeds")],
    teacher: Annotated[str, typer.Option(help="Who writes: a URL, a model folder or a hub id")],
    out: Annotated[Path, typer.Option("--out", help="The file of new prompts")],
    n: Annotated[int, typer.Option("-n", min=1, help="At most so many new prompts")] = 200,
    model: Annotated[str | None, typer.Option(help="The teacher's name at a server")] = None,
    run_directory: Annotated[
        Path | None, typer.Option("--run", help="Keeps every answer: the same command goes on")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is shown and drawn")] = 0,
    json_: Json = False,
) -> None:
    """Let a teacher write more prompts of each family, without near copies; families stay on their side of the split.

    Example: cai-lite prompts grow seeds.jsonl --teacher http://localhost:8000/v1 --model big --out more.jsonl
    """
    from cai_lite.growing import grow_file

    _quiet_libraries()
    counts = grow_file(file, teacher, out, model=model, n=n, seed=seed, run_directory=run_directory)
    _print({"file": str(out), **counts}, json_, f"{out}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))


@app.command()
@guarded
def doctor(
    url: Annotated[str | None, typer.Option(help="Also try this OpenAI-compatible server")] = None,
    model: Annotated[str | None, typer.Option(help="Its model's name")] = None,
    api_key_env: Annotated[str, typer.Option(help="The environment variable with its key")] = "OPENAI_API_KEY",
    json_: Json = False,
) -> None:
    """Say what this machine has and what a server can do; exit 1 if something does not work.

    Example: cai-lite doctor --url http://localhost:8000/v1 --model Qwen/Qwen3-32B
    """
    from cai_lite.doctor import examine, show_examination

    _quiet_libraries()
    found = examine(url, model, api_key_env)
    if json_:
        typer.echo(json.dumps(found))
    else:
        show_examination(found)
    if found["faults"]:
        raise typer.Exit(1)


@app.command()
@guarded
def chat(
    model: Annotated[
        str, typer.Argument(help="A model folder, a hub id, embedded:student, or the URL of a server")
    ] = "embedded:student",
    adapter: Annotated[
        Path | None, typer.Option(help="A peft adapter to put on top; its base is asked beside it")
    ] = None,
    name: Annotated[str | None, typer.Option("--model", help="The model's name at a server")] = None,
    load: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16 or nf4")] = None,
    say: Annotated[list[str] | None, typer.Option("--say", help="Ask this and stop; may be repeated.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest reply.")] = 256,
) -> None:
    """Talk to a model; with an adapter, see before beside after.

    Example: cai-lite chat embedded:student --adapter runs/demo-medical/adapter --say "I have a headache."
    """
    from cai_lite.talk import talk

    _quiet_libraries()
    talk(model, adapter=adapter, name=name, load=load, questions=say or [], max_tokens=max_tokens)


def main() -> None:
    """The entry point of the `cai-lite` script."""
    app()


def _run(
    recipe: str, out: Path, settings: list[str] | None, profile: str | None, json_: bool, quiet: bool, **more: Any
) -> None:
    from cai_lite.pipeline import run_recipe
    from cai_lite.recipe import load_recipe

    _quiet_libraries()
    read = load_recipe(recipe, overrides=settings or [], profile=profile)
    if more.pop("dry_run", False):
        from cai_lite.pipeline import check_recipe

        typer.echo(check_recipe(read))
        return
    result = run_recipe(read, out, quiet=quiet or json_, **more)
    if json_:
        typer.echo(json.dumps(result, ensure_ascii=False))
    _exit_by_gates(result.get("evaluation", {}))


def _exit_by_gates(evaluation: dict[str, Any]) -> None:
    if not all(gate["holds"] for gate in evaluation.get("gates", ())):
        raise typer.Exit(1)


def _gate(text: str) -> tuple[str, str]:
    """("over_refusal", "<= 0.05") of "over_refusal<=0.05"."""
    name = re.match(r"[\w.-]+", text)
    if not name:
        raise InputError(f"--must {text}: a gate is written name>=value, such as over_refusal<=0.05")
    return name[0], text[name.end() :].strip()


def _compare(runs: list[Path], json_: bool) -> None:
    from rich.console import Console

    from cai_lite.evaluation.comparing import side_by_side, unbeaten
    from cai_lite.evaluation.table import show_side_by_side

    held = []
    for run_directory in runs:
        file = run_directory / "evaluation.json"
        if not file.is_file():
            raise InputError(f"{run_directory}: holds no evaluation.json")
        held.append(json.loads(file.read_text(encoding="utf-8")))
    if json_:
        rows = side_by_side(held)
        found = {row.name: list(row.figures) for row in rows}
        typer.echo(json.dumps({"runs": list(map(str, runs)), "unbeaten": unbeaten(rows), "figures": found}))
    else:
        show_side_by_side(list(map(str, runs)), held, Console())


def _print(result: dict[str, Any], json_: bool, text: str) -> None:
    typer.echo(json.dumps(result, ensure_ascii=False) if json_ else text)


def _fail(message: str, status: int) -> None:
    typer.echo(f"cai-lite: {message}", err=True)
    raise typer.Exit(status)


def _quiet_libraries() -> None:
    """Their bars and advice would stand between ours."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it misses an optional package, aloud


if __name__ == "__main__":
    main()
