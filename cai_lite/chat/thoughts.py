# ruff: noqa: E501, RUF001  (patterns read better whole; typographic signs are what judges write)
"""Separate a thinking model's thought from its answer.

A thought stands at the start of a reply and nowhere else: a reply that only writes about `<think>` keeps every word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# How models of today open and close a thought. Templates may write the opening mark into the prompt, and servers may
# drop special tokens, so either mark can be missing.
MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<ling_think>", "</ling_think>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>thought", "<unused95>"),  # MedGemma
    ("Here is my thought process:", "Here is my response:"),  # Granite 3.2
    ("Here's my thought process:", "Here's my response:"),
)
# gpt-oss writes its answer into the channel "final"; without special tokens only the names are left.
_FINAL = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>final(?:\s*<\|constrain\|>\w+)?<\|message\|>|assistantfinal"
)
_CHANNEL = re.compile(
    r"\s*(?:(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary|thought)|analysis(?=.*assistantfinal))", re.S
)
_BARE_CHANNEL = re.compile(r"\s*analysis(?=[A-Z]\w*[ ',])")  # cut before its answer: "analysisWe need to ..."
_WRAPPED = re.compile(
    r"\s*(?:<(answer|response|output|final_answer)>(.*?)(?:</\1>|$)\s*$|<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>|$)"
    r"|<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>|$))",
    re.S,
)
_ENDS = (
    *(
        "<|return|>",
        "<|end|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|endoftext|>",
        "<|END_RESPONSE|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    *("<end_of_turn>", "<turn|>", "</s>"),
)
# "The </think> tag" and "`</think>`" are said about the mark.
_TALK_BEFORE = re.compile(r"[`\"'“‘(]$|\b(?:the|a|an|of|with|and|or|by|its|use|using|closing|called)\s+$", re.I)


class Said(NamedTuple):
    """A reply in two parts. `thought` is None where the model did not think; `answer` is "" for a thought without end."""

    thought: str | None
    answer: str


def split_thought(text: str) -> Said:
    """Split a reply into its thought and its answer.

    A missing opening mark is taken to have stood in the prompt; a thought that never ends leaves no answer.
    """
    thought: str | None = None
    rest = text
    while (found := _one_thought(rest)) is not None:
        said, rest = found
        thought = f"{thought}\n{said}".strip() if thought else said
    if thought is not None or _WRAPPED.match(rest):
        wrapped = _WRAPPED.match(rest)
        if wrapped is not None:
            rest = next((group for group in wrapped.groups()[1:] if group is not None), "")
        rest = _without_end(rest)
    return Said(thought, rest.strip())


def thinks(text: str) -> bool:
    """Return whether the reply holds a thought."""
    return split_thought(text).thought is not None


def before_answer(thought: str, answer: str) -> str:
    """Return a reply with the thought in front of the answer, in the form that `split_thought` reads.

    Without an answer the thought stays open, as in a reply that was cut while thinking.
    """
    thought = re.sub(r"</?think>", "", thought, flags=re.I).strip()
    return f"<think>\n{thought}\n</think>\n\n{answer}" if answer else f"<think>\n{thought}"


def opening_mark(prompt: str) -> str:
    """Return the mark of a thought that a rendered prompt ends with, so that the reply begins inside the thought.

    "" if the prompt opens no thought.
    """
    end = prompt[-60:].rstrip()
    return next((opening for opening, _ in MARKS if end.endswith(opening)), "")


def _without_end(text: str) -> str:
    """Return the text without the end tokens that a server left behind it."""
    text = text.rstrip()
    while ending := next((end for end in _ENDS if text.endswith(end)), None):
        text = text.removesuffix(ending).rstrip()
    return text


def _one_thought(text: str) -> tuple[str, str] | None:
    """Return (thought, what follows) of a reply that begins with a thought, else None."""
    if _CHANNEL.match(text):
        finals = list(_FINAL.finditer(text))
        return (text[: finals[-1].start()], text[finals[-1].end() :]) if finals else (text, "")
    if _BARE_CHANNEL.match(text) and "assistantfinal" not in text:
        return text, ""
    if text.lstrip().startswith(("<|channel|>final", "<|start|>assistant<|channel|>final")):
        answer = _FINAL.search(text)
        return ("", text[answer.end() :]) if answer else None
    bare = text.lstrip()
    for opening, closing in MARKS:
        if bare[: len(opening)].lower() == opening.lower() and not _is_talk(bare, opening):
            inside, mark, rest = _parted(bare[len(opening) :], closing)
            return (inside.strip(), rest) if mark else (inside.strip(), "")
    for opening, closing in MARKS[:-2]:
        place = text.rfind(closing)
        if place >= 0 and opening not in text[:place] and not _talked_of(text, place, closing):
            return text[:place].strip(), text[place + len(closing) :]
    return None


def _parted(text: str, closing: str) -> tuple[str, str, str]:
    """Return what `str.partition` returns, letter case aside."""
    found = re.search(re.escape(closing), text, re.I)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def _is_talk(text: str, opening: str) -> bool:
    """Return whether a reply that begins with a mark is about the mark: "<think> is the tag that ..."."""
    return bool(re.match(r"\s(?:is|are|was|and|or|tags?|tokens?|marks?|opens|begins)\b", text[len(opening) :]))


def _talked_of(text: str, place: int, closing: str) -> bool:
    """Return whether the closing mark at `place` is quoted or named rather than used."""
    after = text[place + len(closing) :]
    if re.match(r"[`\"'”’)]", after) or re.match(r"\s(?:tags?|tokens?|marks?|markers?|elements?)\b", after):
        return True
    return bool(_TALK_BEFORE.search(text[:place])) and not after.startswith("\n")
