"""`cai-lite chat --constitution`: a conversation in the terminal whose answers are drafted, critiqued and revised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from cai_lite.records import Message, Messages
from cai_lite.serving.respond import Critiqued, Drafted, Piece, Revised, Step, respond


def converse(
    model: Any,
    constitution: Any,
    questions: Iterator[str],
    console: Console,
    *,
    shown: Callable[[Messages, str], str] | None = None,
    **how: Any,
) -> None:
    """Print draft, critiques and revisions of each answer as they come, and last the answer.

    `questions`: of one conversation. `shown`: returns what a guard lets through of an answer. `how`: as of
    `responding`.
    """
    conversation: list[Message] = []
    for question in questions:
        asked = (*conversation, Message("user", question))
        response = respond(model, asked, constitution, stream=_Shown(console), **how)
        said = shown(asked, response.text) if shown is not None and response.text else response.text
        for fault in response.faults:
            console.print(Text(f"! {fault}", "yellow"), soft_wrap=True)
        console.print(Text.assemble(("reply: ", "bold"), said or "(no answer)"))
        if said:  # a turn without an answer is no part of the conversation
            conversation = [*asked, Message("assistant", said)]


class _Shown:
    """Print each step on a console, the draft piece by piece where it comes so."""

    def __init__(self, console: Console) -> None:
        self._console, self._written = console, ""

    def __call__(self, step: Step) -> None:
        say = self._console.print
        if isinstance(step, Piece):
            say(Text(step.text if self._written else f"draft: {step.text}", "dim"), end="", soft_wrap=True)
            self._written += step.text
        elif isinstance(step, Drafted):
            if self._written:
                say()
            if self._written.strip() != step.text:
                say(Text(f"draft: {step.text}", "dim"))
            self._written = ""
        elif isinstance(step, Critiqued):
            for row in step.critiques:
                word, style = {"yes": ("breaks", "red"), "no": ("keeps", "green")}.get(
                    row.violated, ("unreadable", "yellow")
                )
                text = f": {row.text}" if row.violated == "yes" else ""
                say(Text.assemble(("critique: ", "dim"), (f"{word} ", style), row.principle, (text, "dim")))
        elif isinstance(step, Revised):
            say(Text.assemble((f"revision for {step.principle}, {step.outcome}: ", "dim"), (step.text, "dim")))
