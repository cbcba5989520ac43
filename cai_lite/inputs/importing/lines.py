"""Read the lines of a policy into headings, paragraphs, list items, table rows and the rest.

The forms are those of Markdown, of plain text, and of what a word processor leaves when its text is pasted: numbers
such as 1.1 and (a), bullets such as • and \u2013, lines broken anywhere, headings without a mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cai_lite.inputs.importing.sentences import bare, why_not

Kind = Literal["heading", "paragraph", "item", "row", "rest"]

_MARK = re.compile(
    r"^([ \t]*)((?:[-*+•◦▪●‣·\u2013—]|\(?[a-zA-Z][.)]|\(?\d{1,3}[.)]|\(?[ivx]{1,5}[.)]|"
    r"(?:§ ?)?\d{1,2}(?:\.\d{1,2})+\.?))[ \t]+(\S.*)$"
)
_HASHES = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_RULER = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$")
_UNDERLINE = re.compile(r"^[ \t]*(?:=+|-+)[ \t]*$")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)")
_ROW = re.compile(r"^[ \t]*\||^[^|]+ \| [^|]+ \| ")
_SEPARATOR = re.compile(r"^[ \t|:=-]+$")
_TAG = re.compile(r"^[ \t]*</?[\w|][^<>]*>[ \t]*$")
_CODE = re.compile(r"^[A-Z]{1,2}\d{1,2}[:.)][ \t]+\S.*$")
_NUMBERED = re.compile(
    r"^(?:(?:section|chapter|part|article|annex|appendix|table)[ \t]+)?(?:\d{1,2}|"
    r"[A-Z])(?:\.\d{1,2})*\.?(?:[ \t]*[\u2013—:-])?[ \t]+(\S.*)$",
    re.I,
)
_ARTICLE = re.compile(r"^(?:article|section|chapter|part|annex|appendix|\u00a7)[ \t]*[\dIVX]+[.:]?$", re.I)
_BOLD = re.compile(r"^[ \t]*(?:\*\*|__)([^*]+?)(?:\*\*|__)[ \t]*$")
_END = re.compile(r"[.!?;,:][\"”'\u2019)\]*_]*$")
_RUN_IN = re.compile(r"^(?:\*\*|__)[^*_]{1,60}(?:[:.](?:\*\*|__)|(?:\*\*|__)[:.])[ \t]")
_POLAR = re.compile(
    r"^(?:do|don'?ts?|dos?|do not|never|always|can|cannot|may|may not|must|must not|shall|shall not|should|"
    r"should not|avoid)$",
    re.I,
)
_WRAPPED = 55  # characters; a shorter line without a full stop was not broken by a word processor
_BROKEN = 40  # characters; the same for a next line that begins with a small letter
_DEEPEST = 12  # lists within lists
_TITLE = 9  # words of the longest line that counts as a heading without a mark


@dataclass(slots=True)
class Block:
    """A heading, a paragraph, a list item, a table row, or something else, with the lines of its text.

    `level`: of a heading, 1 the highest. `indent`, `mark`: of an item, in characters, and the kind of its bullet.
    `reason`: why something else is no policy text. `gap`: a blank line stands before it.
    `below`: the items of its list.
    """

    kind: Kind
    pieces: list[tuple[int, str]]
    level: int = 0
    indent: int = 0
    mark: str = ""
    reason: str = ""
    gap: bool = False
    below: list[Block] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the text on one line."""
        return " ".join(piece for _, piece in self.pieces)

    @property
    def lines(self) -> tuple[int, ...]:
        """Return the numbers of its lines."""
        return tuple(number for number, _ in self.pieces)

    @property
    def is_lead(self) -> bool:
        """Whether its last sentence asks for a list: it ends with a colon, or says only "should not"."""
        plain = bare(self.text).rstrip("*_ ")
        return plain.endswith(":") or _POLAR.match(plain) is not None


def read_blocks(text: str, first: int = 1, *, plain: bool = False) -> list[Block]:
    """Return the blocks of a text, the items of a list below what introduces them. `first`: its first line's number.

    `plain`: a short line without a full stop is never continued in the next one, as it is in Markdown.
    """
    reader = _Reader(text.splitlines(), first, plain)
    return _nested(reader.read())


class _Reader:
    def __init__(self, lines: Sequence[str], first: int, plain: bool) -> None:
        self.lines, self.first = [line.replace("\u200b", "") for line in lines], first
        self.plain, self.blocks = plain, list[Block]()
        self.open: Block | None = None
        inside, fenced = False, 0
        for line in lines:
            inside ^= _FENCE.match(line) is not None
            fenced += inside and bool(line.strip())
        self.reads_fences = fenced * 2 >= sum(1 for line in lines if line.strip())  # the whole policy is in a fence

    def read(self) -> list[Block]:
        place = self._front_matter()
        fenced = comment = False
        while place < len(self.lines):
            line, number = self.lines[place], place + self.first
            if _FENCE.match(line):
                fenced = not fenced
                self._add("rest", number, line, reason="a mark of the layout")
            elif fenced and not self.reads_fences:
                if line.strip():
                    self._add("rest", number, line, reason="in a code block")
            elif comment or line.lstrip().startswith("<!--"):
                comment = "-->" not in line
                if line.strip():
                    self._add("rest", number, line, reason="in a comment")
            elif not line.strip() or _RULER.match(line):
                self.open = None
            else:
                place = self._line(place, number, re.sub(r"^[ \t]*>[ \t]?", "", line))
            place += 1
        return self.blocks

    def _line(self, place: int, number: int, line: str) -> int:
        """Read one line, and return the place of the last line read."""
        after = self.lines[place + 1] if place + 1 < len(self.lines) else ""
        if title := _HASHES.match(line):
            self._add("heading", number, title[2], level=len(title[1]))
        elif _UNDERLINE.match(after) and len(after.strip()) > 2 and self.open is None and not _MARK.match(line):
            self._add("heading", number, line.strip(), level=1 if "=" in after else 2)
            return place + 1
        elif _TAG.match(line):
            self._add("rest", number, line, reason="a mark of the layout")
        elif _ROW.match(line):
            kind: Kind = "rest" if _SEPARATOR.match(line) else "row"
            self._add(kind, number, line, reason="a mark of the layout")
        elif level := self._title(place, line):
            self._add("heading", number, bold[1] if (bold := _BOLD.match(line)) else line.strip(), level=level)
        elif (marked := _MARK.match(line)) and not self._is_wrapped(marked):
            mark = re.sub(r"[0-9]+", "1", re.sub(r"[a-zA-Z]+", "a", marked[2]))
            gap = place > 0 and not self.lines[place - 1].strip()
            self.open = Block(
                "item", [(number, " ".join(marked[3].split()))], indent=_width(marked[1]), mark=mark, gap=gap
            )
            self.blocks.append(self.open)
        else:
            self._words(number, line)
        return place

    def _words(self, number: int, line: str) -> None:
        """Add a line to the open paragraph or item, or begin a new one."""
        words, indent = " ".join(line.split()), _width(line[: len(line) - len(line.lstrip())])
        if (block := self.open) and not _RUN_IN.match(words):
            last = block.pieces[-1][1]
            begins = words[:1].isupper() or words[:1].isdigit() or words[:1] in '"“'
            if block.is_lead and begins and len(words) < _WRAPPED and indent <= block.indent:
                self.open = Block("item", [(number, words)], indent=block.indent, mark="line")
                self.blocks.append(self.open)
                return
            unbroken = not _END.search(last) and len(last) < _WRAPPED
            ended = _END.search(last) is not None and block.kind == "item" and indent <= block.indent
            alone = self.plain and indent <= block.indent and not _END.search(last) and len(last) < _BROKEN
            alone |= begins and block.kind == "item" and words.endswith(":") and indent <= block.indent
            if not alone and not (begins and (unbroken or ended)):
                block.pieces.append((number, words))
                return
            if block.mark == "line" and unbroken:
                self.open = Block("item", [(number, words)], indent=block.indent, mark="line")
                self.blocks.append(self.open)
                return
        self.open = Block("paragraph", [(number, words)], indent=indent)
        self.blocks.append(self.open)

    def _title(self, place: int, line: str) -> int:
        """Return the level of a heading without a mark of Markdown, or 0 if the line is none."""
        words = line.strip()
        if words.endswith(":") or words.endswith(":**"):
            return 0
        if bold := _BOLD.match(line):
            return (
                4
                if self.open is None and not _END.search(bold[1]) and (_POLAR.match(bold[1]) or why_not(bold[1]))
                else 0
            )
        if line[:1] in " \t" or len(words.split()) > _TITLE or not re.match(r"[\"“(§]?[A-Z0-9]", words):
            return 0
        if _CODE.match(words) and len(words.split()) <= 7:
            return 4
        after = self.lines[place + 1].strip() if place + 1 < len(self.lines) else ""
        before = self.lines[place - 1].strip() if place else ""
        opens_list = _MARK.match(after) is not None and len(words.split()) < 7 and len(before) <= _WRAPPED
        unfinished = self.open is not None and not _END.search(self.open.pieces[-1][1])
        if _END.search(words) or (unfinished and not opens_list):
            return 0
        if _ARTICLE.match(words):
            return 2
        if words.isupper() and len(words) > 3 and re.search(r"[A-Z]{3}", words):
            return 3
        numbered = _NUMBERED.match(words)
        if numbered and numbered[1][:1].isupper() and why_not(numbered[1]):
            same = _MARK.match(words) and _MARK.match(after)  # a list of short items, not a heading
            return 0 if same and bool(after) else 3
        if _MARK.match(line) or _POLAR.match(words):
            return 0
        alone = not before or _HASHES.match(before) is not None or opens_list
        opens = not after or _MARK.match(after) is not None or (after[:1].isupper() and len(after) > len(words) + 10)
        return (
            4
            if (alone or _END.search(before)) and opens and why_not(words) and words[:1].isupper() and after + before
            else 0
        )

    def _is_wrapped(self, marked: re.Match[str]) -> bool:
        """Return True if a mark is the end of a broken sentence: "no more than" and then "5. Refunds" stay together."""
        last = self.open.pieces[-1][1] if self.open else ""
        return (
            bool(last)
            and marked[2][:1] in "\u2013—-"
            and not _END.search(last)
            and len(last) > _WRAPPED
            and marked[3][:1].islower()
            and (self.open is not None and self.open.kind == "paragraph")
        )

    def _front_matter(self) -> int:
        if not self.lines or self.lines[0].strip() != "---" or "---" not in (line.strip() for line in self.lines[1:40]):
            return 0
        end = next(i for i, line in enumerate(self.lines) if i and line.strip() == "---")
        if not all(re.match(r"\s*(?:[\w-]+:|-|#|$)", line) for line in self.lines[1:end]):
            return 0
        for place in range(1, end):
            if self.lines[place].strip():
                self._add("rest", place + self.first, self.lines[place], reason="data about the document")
        return end + 1

    def _add(self, kind: Kind, number: int, text: str, *, level: int = 0, reason: str = "") -> None:
        self.open = None
        self.blocks.append(Block(kind, [(number, " ".join(text.split()))], level=level, reason=reason))


def _nested(blocks: Sequence[Block]) -> list[Block]:
    """Put each item below the item, the lead-in or the polar heading ("Never") that introduces it."""
    found: list[Block] = []
    stack: list[Block] = []
    for block in blocks:
        if block.kind != "item":
            stack = [block] if block.kind == "paragraph" and block.is_lead else []
            found.append(block)
            continue
        while stack and stack[-1].kind == "item" and not _is_below(block, stack[-1]):
            stack.pop()
        if stack and stack[-1].kind == "item" and any(_same(block, other) for other in stack):
            while not _same(block, stack[-1]):
                stack.pop()
            stack.pop()
        if stack and stack[-1].kind == "paragraph" and block.gap and stack[-1].below and not stack[-1].below[-1].gap:
            stack.clear()  # a list of its own after a blank line
        del stack[_DEEPEST:]
        (stack[-1].below if stack else found).append(block)
        stack.append(block)
    return found


def _is_below(block: Block, other: Block) -> bool:
    if block.indent != other.indent:
        return block.indent > other.indent
    return block.mark != other.mark and other.is_lead


def _same(block: Block, other: Block) -> bool:
    return other.kind == "item" and (block.indent, block.mark) == (other.indent, other.mark)


def _width(blanks: str) -> int:
    return len(blanks.expandtabs(4))
