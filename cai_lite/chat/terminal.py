"""`cai-lite chat`: talk to a model in the terminal; with an adapter, to the base model as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from cai_lite.chat import ChatModel, open_model
from cai_lite.chat.asking import ask
from cai_lite.chat.best_of import BestOf
from cai_lite.chat.local import LocalModel
from cai_lite.chat.thoughts import split_thought
from cai_lite.records import Message, Messages, Request, Sampling
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Terminal


def talk(
    model: str,
    *,
    adapter: Path | None,
    name: str | None,
    load: Any,
    questions: list[str],
    max_tokens: int,
    template: Mapping[str, Any] | None = None,
    best_of: int = 1,
    by: Any = None,
    shown: Callable[[Messages, str], str] | None = None,
) -> None:
    """Print the answers to `questions`, or if there are none, to what is typed until an empty line.

    A thinking model's thoughts are not shown, and are no part of the conversation.

    With an adapter, the base model and the adapted model answer in turn, each with its own conversation.

    `best_of`, `by`: of so many replies, drawn at temperature 1, the one is kept that the preference model `by` scores
    highest. `shown`: returns what a guard lets through of a reply to a conversation.
    """
    after = open_model(model, model=name, load=load, adapter=adapter, template=template)
    sides: dict[str, ChatModel] = {"reply": after}
    if adapter is not None and isinstance(after, LocalModel):
        sides = {"before": after.without_adapter(), "after": after}
    if best_of > 1:
        sides = {side: BestOf(speaker, best_of, by) for side, speaker in sides.items()}
    temperature = 1.0 if best_of > 1 else 0.0
    console = Terminal()
    conversations: dict[str, list[Message]] = {side: [] for side in sides}
    for question in questions or typed(console):
        for side, speaker in sides.items():
            conversations[side].append(Message("user", question))
            conversation = tuple(conversations[side])
            sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
            request = Request(messages=conversation, sampling=sampling)
            reply = ask(speaker, [request], run=Run(), stage="chat")[0]
            said = split_thought(reply.text).answer
            if shown is not None and said:
                said = shown(conversation, said)
            conversations[side].append(Message("assistant", said))
            line = said or f"({reply.outcome}: {reply.fault or 'no answer'})"
            console.print(Text.assemble((f"{side}: ", "bold"), line))


def typed(console: Console) -> Iterator[str]:
    """Yield what is typed, until an empty line."""
    while True:
        try:
            question = console.input(Text("you: ", "bold")).strip()
        except EOFError:
            return
        if not question:
            return
        yield question
