"""The command that carries a run out into the world: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cai_lite.cli.shared import AFTER, Json, app, guarded, quiet_libraries, say, show_json


@app.command(rich_help_panel=AFTER)
@guarded
def export(
    run_directory: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    to: Annotated[Path, typer.Option("--out", help="The folder to write to: new, empty, or of an earlier export.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Also merge the adapter into its base, in 16 bits, and measure the drift.")
    ] = False,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="Convert the adapter, and with --merge the merged model, for llama.cpp.")
    ] = False,
    ollama: Annotated[bool, typer.Option("--ollama", help="Write a Modelfile for Ollama, with the template.")] = False,
    dataset: Annotated[
        bool, typer.Option("--dataset", help="Write the pairs as Parquet, with a card and Croissant metadata.")
    ] = False,
    dtype: Annotated[
        Literal["bfloat16", "float16"] | None, typer.Option(help="Of the merged weights; by default the base's.")
    ] = None,
    llama_cpp: Annotated[
        Path | None, typer.Option(help="The folder of llama.cpp with its converters; LLAMA_CPP by default.")
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="The licence of the data set, as an SPDX identifier.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload it to the Hugging Face hub, to a private repository."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: to a public repository.")] = False,
    json_: Json = False,
) -> None:
    """Export a run for vLLM, llama.cpp, Ollama or the hub.

    Without any choice, the adapter alone, checked for servers that load adapters. Ends with status 1 if something that
    was asked for could not be made, or no server takes the adapter as it is.

    Example: cai-lite export runs/medical --merge --gguf --out exports/medical
    """
    from cai_lite.serving.export import export as exported
    from cai_lite.serving.export import show_export

    quiet_libraries()
    found = exported(
        run_directory,
        to,
        merge=merge,
        gguf=gguf,
        ollama=ollama,
        dataset=dataset,
        dtype=dtype,
        llama_cpp=llama_cpp,
        license=license_,
        push=push,
        public=public,
    )
    if json_:
        show_json(found.as_dict())
    else:
        show_export(found, say)
    if not found.whole:
        raise typer.Exit(1)
