"""Commands for what comes after a run: review, steer, guard, monitor, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cai_lite.cli.shared import AFTER, Json, Quiet, app, guarded, quiet_libraries, say, show_json
from cai_lite.errors import InputError


@app.command(rich_help_panel=AFTER)
@guarded
def review(
    run_directory: Annotated[Path, typer.Argument(help="A run directory.")],
    pairs: Annotated[bool, typer.Option("--pairs", help="Vote on compared drafts and revisions (default).")] = False,
    answers: Annotated[
        bool, typer.Option("--answers", help="Label held-out answers: does each keep the principle?")
    ] = False,
    ranks: Annotated[
        bool, typer.Option("--ranks", help="Rank the candidates of a prompt by the digits 1 to 9.")
    ] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Review that many items, the first of the queue.")] = None,
    at_random: Annotated[
        bool, typer.Option("--random", help="Show pairs in random order, not those first on which the judge is unsure.")
    ] = False,
    by: Annotated[
        list[str] | None, typer.Option(help="Your name; repeated, each person gets an address of their own.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Only show how far people agree with each other and with the judge.")
    ] = False,
    export: Annotated[Path | None, typer.Option(help="Write the items with all decisions to this file.")] = None,
    import_: Annotated[Path | None, typer.Option("--import", help="Take the decisions of this file over.")] = None,
    as_: Annotated[
        str, typer.Option("--as", help="The form of these files: jsonl, argilla or label-studio.")
    ] = "jsonl",
    json_: Json = False,
) -> None:
    """Let people vote on pairs and label answers, on a local page.

    Everything is done by keys, and the order of answers is blinded. Votes and edits go to human.jsonl, which the next
    run learns from, and labels to labels.jsonl, which correct the judge's adherence. Ctrl-C ends the review.

    Example: cai-lite review runs/medical --answers --sample 50 --by ada
    """
    import getpass
    import shlex
    import signal

    from cai_lite.run import signals
    from cai_lite.run.ledger import Run
    from cai_lite.run.progress import Terminal
    from cai_lite.serving.review import serve
    from cai_lite.serving.review_agreement import agreement as measured
    from cai_lite.serving.review_agreement import show_agreement
    from cai_lite.serving.review_forms import export_review, import_review
    from cai_lite.serving.reviewing import Review

    if pairs + answers + ranks > 1:
        raise InputError("review one kind of items at a time: --pairs, --answers or --ranks")
    people = list(dict.fromkeys(name.strip() for name in by or [getpass.getuser()]))
    if not all(people):
        raise InputError("--by should be a name")
    if not (run_directory / "run.db").is_file():
        raise InputError(f"{run_directory} is not a run directory (run.db not found)")
    with Run(run_directory) as run:
        mode: Literal["pairs", "answers", "ranks"] = "answers" if answers else "ranks" if ranks else "pairs"
        under_way = Review(run, mode, sample=sample, at_random=at_random)
        if import_ is not None:
            say(f"{import_}: {import_review(under_way, import_, as_):,} new decisions", err=True)
        if export is not None:
            say(f"{export}: {export_review(under_way, export, as_):,} items", err=True)
        if import_ is None and export is None and not agreement:
            say(f"{len(under_way.keys):,} items ({mode}); open the address of each person, Ctrl-C ends", err=True)
            try:
                serve(under_way, people, port=port, say=lambda line: say(line, err=True))
            except KeyboardInterrupt:
                if signals.asked() not in (0, signal.SIGINT):
                    raise
        found = measured(under_way)
    if json_:
        show_json(found)
    else:
        show_agreement(found, Terminal())
        if answers and found["raters"]:
            say(f"`cai-lite report {shlex.quote(str(run_directory))}` corrects the judge's adherence by these labels")


@app.command(rich_help_panel=AFTER)
@guarded
def steer(
    run_directory: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    weights: Annotated[
        str | None, typer.Option(help="The weight of each group, such as helpful=0.3,harmless=0.7.")
    ] = None,
    sweep: Annotated[
        int, typer.Option(help="Measure that many weightings between two groups, and draw the front.")
    ] = 0,
    group: Annotated[
        list[str] | None,
        typer.Option(help="A group NAME=ID,ID of principles, in place of the recipe's steer.groups; may be repeated."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Also train an adapter at the weights, and compare it with the merged one.")
    ] = False,
    scale: Annotated[
        float,
        typer.Option(help="A factor of the merged change: 1 lies between the groups, their number adds them whole."),
    ] = 1.0,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Cut the merged adapter to this rank; it is exact at the sum of ranks.")
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="The path of the figure to the right.")] = None,
    y: Annotated[str | None, typer.Option("--y", help="The path of the figure upwards.")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lean a trained student towards some of its principles.

    One adapter is trained for each group of principles; every weighting of them is merged without training.

    Example: cai-lite steer runs/medical --weights helpful=0.3,harmless=0.7
    """
    from cai_lite.run.progress import Terminal
    from cai_lite.serving.front import groups_of, show_steering, weights_of
    from cai_lite.serving.front import steer as lean
    from cai_lite.serving.steering import open_steered

    quiet_libraries()
    steered = open_steered(run_directory, groups_of(group or []))
    found = lean(
        steered,
        weights_of(weights) if weights else None,
        sweep=sweep,
        check=check,
        scale=scale,
        rank=rank,
        x=x,
        y=y,
        quiet=quiet or json_,
    )
    if json_:
        show_json(found)
    else:
        show_steering(found, Terminal())


@app.command(rich_help_panel=AFTER)
@guarded
def guard(
    run_directory: Annotated[Path, typer.Argument(help="The directory of a finished run, with answers.jsonl.")],
    model: Annotated[
        Path, typer.Option(help="The folder of a preference model trained with input: principle, which holds adapter/.")
    ],
    trunk: Annotated[
        str | None, typer.Option(help="The model that it was trained on; the run's student by default.")
    ] = None,
    cost: Annotated[
        float | None, typer.Option(help="What showing a bad answer costs, in units of stopping a good one.")
    ] = None,
    false_alarms: Annotated[
        float | None, typer.Option(help="In place of --cost: the share of good answers that may be stopped.")
    ] = None,
    json_: Json = False,
) -> None:
    """Make a guard of a preference model, for `chat --guard`.

    Writes guard.json beside the folder of its adapter.

    Probabilities and thresholds are fitted on the run's held-out answers and their verdicts.

    Example: cai-lite guard runs/medical --model runs/medical/phases/1-preference_model --cost 5
    """
    from cai_lite.serving.guard import guard_of_run, show_guard

    quiet_libraries()
    found = guard_of_run(run_directory, model, trunk=trunk, cost=cost, false_alarms=false_alarms)
    if json_:
        show_json(found)
    else:
        show_guard(found)


@app.command(rich_help_panel=AFTER)
@guarded
def monitor(
    log: Annotated[Path, typer.Argument(help="Chat completions as JSONL, OTLP/JSON with messages, or answers.jsonl.")],
    constitution: Annotated[str, typer.Option(help="A constitution file or packaged name.")],
    judge: Annotated[
        str | None,
        typer.Option(help="A judge, asked about a share of them: URL#NAME, a folder or hub id."),
    ] = None,
    guard: Annotated[Path | None, typer.Option(help="The folder of a guard, with guard.json.")] = None,
    sample: Annotated[
        float | None, typer.Option(help="The share of conversations that judge and guard look at; 0.05 by default.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens for the judge, in this call.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more of the log, until an alarm.")] = False,
    out: Annotated[Path | None, typer.Option(help="Its directory, LOG.monitor by default.")] = None,
    baseline: Annotated[int, typer.Option(min=1, help="How many conversations say what is usual.")] = 2000,
    run: Annotated[Path | None, typer.Option(help="A run whose evaluation says what is usual instead.")] = None,
    false_alarms: Annotated[float, typer.Option(help="How many a year to allow on average, all rates together.")] = 1.0,
    per_day: Annotated[
        float | None, typer.Option(help="Conversations a day; measured by default, where the log has times.")
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="Own patterns to redact, and tags by pattern (YAML).")] = None,
    failures: Annotated[
        Path | None, typer.Option(help="Write failing prompts as tests here, and as seeds to NAME.seeds.jsonl.")
    ] = None,
    prometheus: Annotated[Path | None, typer.Option(help="Write metrics in Prometheus' text form here.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for the checks.")] = 1,
    accept: Annotated[
        bool, typer.Option("--accept", help="Clear the alarms: what comes next is the new baseline.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch a model in production by its log.

    Checks every conversation, asks a guard or judge about a share, and notices when a principle is broken more often,
    with a stated number of false alarms a year. Ends with status 1 while an alarm stands.

    Example: cai-lite monitor chat.jsonl --constitution medical --failures failures.jsonl
    """
    from cai_lite.errors import InputError
    from cai_lite.run.ledger import Budget
    from cai_lite.run.progress import Screen
    from cai_lite.serving.dashboard import show
    from cai_lite.serving.monitor import SAMPLE
    from cai_lite.serving.monitor import monitor as watch

    quiet_libraries()
    if judge is None and max_tokens is not None:
        raise InputError("--max-tokens is the budget of a judge; name one by --judge")
    if judge is None and guard is None and sample is not None:
        raise InputError("--sample is the share for a judge or a guard; the checks look at every conversation")
    with Screen(quiet=quiet or json_ or follow) as screen, screen.stage("monitor") as tick:
        found = watch(
            log,
            constitution,
            judge=judge,
            guard=guard,
            sample=SAMPLE if sample is None else sample,
            out=out,
            baseline=baseline,
            run=run,
            false_alarms=false_alarms,
            per_day=per_day,
            rules=rules,
            failures=failures,
            prometheus=prometheus,
            budget=Budget(max_tokens=max_tokens),
            workers=workers,
            accept=accept,
            follow=follow,
            progress=tick,
        )
    if json_:
        show_json(found.as_dict())
    else:
        show(found)
    if found.alarms:
        raise typer.Exit(1)


@app.command(rich_help_panel=AFTER)
@guarded
def explain(
    run_directory: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    prompt: Annotated[str, typer.Argument(help="What the student is asked.")],
    answer: Annotated[
        str | None, typer.Option(help="Explain this answer, such as one from a log, in place of asking the student.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="A tag of the prompt, by which principles apply; may be repeated. Known prompts have theirs."
        ),
    ] = None,
    critic: Annotated[
        str | None, typer.Option(help="A model that critiques the answer: a folder, hub id or URL#NAME.")
    ] = None,
    guard: Annotated[
        Path | None, typer.Option(help="A folder with guard.json; by default that of a phase of the run.")
    ] = None,
    influence: Annotated[
        bool, typer.Option("--influence/--no-influence", help="Also rank examples by the gradients of the adapter.")
    ] = True,
    all_: Annotated[
        bool, typer.Option("--all", help="Compute the influence of every example, not of the 200 nearest by words.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="The limit of tokens of the answer.")] = 256,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Explain an answer by principles and training pairs.

    Training examples are ranked by the words that they share with it, and by influence: whether a step on their loss
    would have moved the student towards this answer.

    Example: cai-lite explain runs/medical "I have a headache." --critic embedded:teacher
    """
    from cai_lite.chat import open_model
    from cai_lite.run.progress import Screen
    from cai_lite.serving.explain import NEAREST, show_explained
    from cai_lite.serving.explain import explain as explained

    quiet_libraries()
    with Screen(quiet=quiet or json_) as screen:
        found = explained(
            run_directory,
            prompt,
            answer=answer,
            tags=tag or [],
            critic=open_model(critic) if critic is not None else None,
            guard=guard,
            influence=influence,
            nearest=None if all_ else NEAREST,
            max_tokens=max_tokens,
            screen=screen,
        )
    if json_:
        show_json(found)
    else:
        show_explained(found)
