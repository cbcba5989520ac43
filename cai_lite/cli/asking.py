"""Commands that examine and ask models: doctor, chat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cai_lite.cli.shared import BEFORE, WALK, Json, Template, app, guarded, quiet_libraries, say, show_json, variables


@app.command(rich_help_panel=BEFORE)
@guarded
def doctor(
    url: Annotated[str | None, typer.Option(help="The URL of an OpenAI-compatible server to test as well.")] = None,
    model: Annotated[str | None, typer.Option(help="The name of the model on that server.")] = None,
    api_key_env: Annotated[
        str, typer.Option(help="The environment variable that holds its API key.")
    ] = "OPENAI_API_KEY",
    template: Template = None,
    student: Annotated[
        str | None, typer.Option(help="A model folder or hub id: whether it can be trained is checked as well.")
    ] = None,
    json_: Json = False,
) -> None:
    """Examine this machine, a model server or a model.

    Exits with 1 if something does not work.

    Example: cai-lite doctor --url http://localhost:8000/v1 --model Qwen/Qwen3-32B
    """
    from cai_lite.preflight.doctor import examine, show_examination

    quiet_libraries()
    if not json_:
        say("examining this machine: packages, GPUs, 4-bit weights ...", err=True)
    found = examine(url, model, api_key_env, variables(template), student=student)
    if json_:
        show_json(found)
    else:
        show_examination(found)
    if found["faults"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=WALK)
@guarded
def chat(
    model: Annotated[
        str, typer.Argument(help="A model folder, a hub id, embedded:student, or the URL of a server.")
    ] = "embedded:student",
    adapter: Annotated[
        Path | None, typer.Option(help="A peft adapter for the model; the base model answers as well.")
    ] = None,
    name: Annotated[str | None, typer.Option("--model", help="The name of the model on the server.")] = None,
    load: Annotated[
        str | None, typer.Option(help="The dtype of the weights: auto, float32, bfloat16, float16 or nf4.")
    ] = None,
    say: Annotated[list[str] | None, typer.Option("--say", help="Ask this and exit; may be repeated.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The limit of tokens per reply.")] = 256,
    best_of: Annotated[
        int, typer.Option(min=1, help="Draw so many replies, and show the one that --by scores highest.")
    ] = 1,
    by: Annotated[
        str | None, typer.Option(help="With --best-of: the preference model, as MODEL#ADAPTER_FOLDER.")
    ] = None,
    guard: Annotated[
        Path | None,
        typer.Option(help="A folder with guard.json: replies that break a principle are cut short, or withheld."),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(help="Draft, critique and revise each answer under this constitution, and show every step."),
    ] = None,
    critic: Annotated[
        str | None, typer.Option(help="With --constitution: who critiques and revises; the model itself by default.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="With --constitution: the limit of revisions of an answer.")] = 1,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="With --constitution: a tag of what is asked, for principles that apply to it alone."),
    ] = None,
    template: Template = None,
) -> None:
    """Talk to a model, with an adapter before and after training.

    Example: cai-lite chat embedded:student --adapter runs/demo-medical/adapter --say "I have a headache."
    """
    from cai_lite.chat import open_model
    from cai_lite.chat.terminal import talk, typed
    from cai_lite.chat.weights import checked_load
    from cai_lite.errors import InputError
    from cai_lite.records import Sampling
    from cai_lite.run.progress import Terminal
    from cai_lite.serving.conversing import converse
    from cai_lite.serving.guard import open_guard

    quiet_libraries()
    if (best_of > 1) != (by is not None):
        raise InputError("--best-of N and --by MODEL#ADAPTER_FOLDER go together; give both")
    watch = open_guard(guard) if guard is not None else None
    shown = None if watch is None else lambda messages, answer: watch.passed(messages, answer).text
    if constitution is not None:
        if best_of > 1:
            raise InputError("--constitution and --best-of go apart; leave one out")
        speaker = open_model(model, model=name, load=checked_load(load), adapter=adapter, template=variables(template))
        console = Terminal()
        asked = iter(say) if say else typed(console)
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        how = {"critic": critic, "reviser": critic, "rounds": rounds, "tags": tag or (), "sampling": sampling}
        converse(speaker, constitution, asked, console, shown=shown, **how)
        return
    if critic is not None or tag or rounds != 1:
        raise InputError("--critic, --rounds and --tag are for answers under a constitution; name it by --constitution")
    talk(
        model,
        adapter=adapter,
        name=name,
        load=load,
        questions=say or [],
        max_tokens=max_tokens,
        template=variables(template),
        best_of=best_of,
        by=open_model(by) if by is not None else None,
        shown=shown,
    )
