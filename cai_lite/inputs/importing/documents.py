"""Read the principles of a policy in Markdown or plain text, and name what is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cai_lite.inputs.importing.leads import (
    about_users,
    ended,
    gives_examples,
    is_polar,
    joined,
    stem,
    trimmed,
    way_of,
    whole,
)
from cai_lite.inputs.importing.lines import Block, read_blocks
from cai_lite.inputs.importing.parts import Left, Policy, Taken
from cai_lite.inputs.importing.sentences import bare, forbids, is_request, negated, split_sentences, why_not

_RUN_IN = re.compile(
    r"^(?:\*\*|__)([^*_]{1,60}?)(?:([:.])(?:\*\*|__)|(?:\*\*|__)\s?([:.\u2013—-]))\s+(\S.*)$", re.DOTALL
)
_BACK = re.compile(
    r"^(?:this|that|these|those|it|they|he|she|otherwise|instead|in (?:that|this|such) (?:case|event)|then|also|"
    r"however|"
    r"for (?:example|instance)|e\.g|so|therefore|but|and|such|do so|if so|if not|its|their|both|neither|examples?|"
    r"in particular|do not|don't|never)\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"\b(?:not|never|don't|cannot|no)\b|n't\b", re.IGNORECASE)
_NAMED = re.compile(
    r"(?:[Aa]ssistant|[Cc]hatbot|[Aa]gent|[Bb]ot|AI|tutor|helper),? (?:is )?(?:called |"
    r"named )?[(]?[“\"']?([A-Z][a-z]+)[”\"')]|"
    r"\b(?:You are|I am|named|called) [“\"']?([A-Z][a-z]+)\b(?=[”\"']?,)"
)
_LONG = 60  # words; a paragraph of more is taken in parts


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    lines: tuple[int, ...]


def read_document(
    text: str, policy: Policy, *, first: int = 1, under: tuple[str, ...] = (), plain: bool = False
) -> None:
    """Add the principles of a text to the policy, with its headings, its lead-ins and what was left out.

    `first`: the number of its first line. `under`: the headings that it stands under. `plain`: a short line is a
    paragraph of its own, as in plain text; Markdown joins lines.
    """
    _Document(text, policy, under).read(read_blocks(text, first, plain=plain))


class _Document:
    def __init__(self, text: str, policy: Policy, under: tuple[str, ...]) -> None:
        self.text, self.policy, self.outer = text, policy, under
        self.names = _names(text)
        self.titles: list[tuple[int, str]] = []
        self.columns: list[str] = []
        self.listed = False  # the list right below a heading such as "Never" has ended

    @property
    def under(self) -> tuple[str, ...]:
        return (*self.outer, *(title for _, title in self.titles))

    def read(self, blocks: Sequence[Block]) -> None:
        for place, block in enumerate(blocks):
            if block.kind not in ("row", "rest"):
                self.columns = []
            self.listed |= block.kind not in ("item", "heading") and place > 0 and blocks[place - 1].kind == "item"
            if block.kind == "heading":
                self.listed = False
                self._heading(block, blocks[place + 1 : place + 2])
            elif block.kind == "row":
                self._row(block, blocks[place + 1 : place + 2])
            elif block.kind == "rest":
                self._leave(block.lines, block.text, block.reason)
            elif block.kind == "paragraph":
                self._paragraph(block)
            else:
                title = self.titles[-1][1] if self.titles else ""
                if title and is_polar(title) and not self.listed:
                    self._listed(title, (), [block], polar=True)
                else:
                    self._item(block)

    def _heading(self, block: Block, after: Sequence[Block]) -> None:
        while self.titles and self.titles[-1][0] >= block.level:
            self.titles.pop()
        title = re.sub(r"\*\*|__", "", block.text).rstrip(":").strip()
        plain = bare(title)
        empty = not after or (after[0].kind == "heading" and after[0].level <= block.level)
        own = len(plain.split()) > 2 and not is_polar(title) and not why_not(plain)
        if own and (
            _NEGATIVE.search(plain)
            or re.search(r"\b(?:must|should|always)\b", plain, re.I)
            or (empty and is_request(plain))
        ):
            self._take(title, block.lines)
        self.policy.headings[block.lines[0]] = title
        self.titles.append((block.level, title))

    def _paragraph(self, block: Block) -> None:
        sentences = _sentences(block)
        lead = sentences.pop() if block.below else None
        groups = self._groups(block, sentences)
        if lead and gives_examples(lead.text) and groups and not self._reason(groups[-1]):
            self._example_list(groups.pop(), lead, block.below)
            lead = None
        for group in groups:
            self._group(group)
        if lead:
            self._listed(lead.text, lead.lines, block.below)

    def _item(self, block: Block) -> None:
        if not block.below:
            self._group(_sentences(block))
            return
        sentences = _sentences(block)
        if block.is_lead:
            lead = sentences.pop()
            if sentences and gives_examples(lead.text) and not self._reason(sentences):
                self._example_list(sentences, lead, block.below)
                return
            if sentences:
                self._group(sentences)
            self._listed(lead.text, lead.lines, block.below)
            return
        reason = self._reason(sentences)
        items = [child.text for child in block.below]
        if not reason and all(why_not(item) for item in items) and not any(child.below for child in block.below):
            lines = (*block.lines, *(line for child in block.below for line in child.lines))
            self._take(whole(block.text.rstrip(".:"), items), lines)
            return
        self._group(sentences)
        self.titles.append((9, stem(block.text)))
        for child in block.below:
            self._item(child)
        self.titles.pop()

    def _example_list(self, rule: Sequence[_Sentence], lead: _Sentence, items: Sequence[Block]) -> None:
        flat = list(_flat(items))
        lines = (*_lines([*rule, lead]), *(line for item in flat for line in item.lines))
        said = " ".join(sentence.text for sentence in rule)
        self._take(f"{said} {whole(lead.text, [item.text for item in flat])}", lines)

    def _listed(self, lead: str, lines: tuple[int, ...], items: Sequence[Block], *, polar: bool = False) -> None:
        """Take the items of a list with its lead-in. `polar`: the lead-in is a heading."""
        for line in lines:
            self.policy.leads[line] = " ".join(filter(None, (self.policy.leads.get(line), lead)))
        texts = [item.text for item in items]
        if about_users(lead):
            for item in _flat(items):
                self._leave(item.lines, item.text, f"about what users write, under '{stem(lead)}'")
            return
        if not polar and way_of(lead, texts) == "whole" and not any(item.below for item in items):
            combined = whole(lead, texts)
            reason = why_not(combined) if not gives_examples(lead) else "an example"
            if not reason or (re.search(r"\b(?:can|may|eligible|entitled)\b", lead) and len(stem(lead).split()) > 3):
                self._take(combined, (*lines, *(line for item in items for line in item.lines)))
                return
            if all(why_not(text) for text in texts):
                for item in items:
                    self._leave(item.lines, item.text, reason)
                return
        for item in items:
            self._listed_item(lead, lines, item, polar=polar)

    def _listed_item(self, lead: str, lines: tuple[int, ...], item: Block, *, polar: bool) -> None:
        text = _clean(item.text)
        combined = joined(lead, text, self.text, title=polar)
        alone = combined == trimmed(text)
        if item.below and not item.is_lead:
            combined = whole(combined.rstrip("."), [child.text for child in _flat(item.below)])
            reached = (*item.lines, *(line for child in _flat(item.below) for line in child.lines))
        elif item.below:
            self._listed(ended(combined).rstrip(".") if not alone else text, item.lines, item.below)
            return
        else:
            reached = item.lines
        scope = () if polar or not alone or not stem(lead) else (stem(lead),)
        if alone and not item.below:
            self.titles.extend((9, title) for title in scope)
            self._group(_sentences(item))
            del self.titles[len(self.titles) - len(scope) :]
            return
        reason = why_not(combined)
        if polar and negated(lead) and len(text.split()) > 0 and not forbids(text):
            reason = ""  # "Prohibited content: doxxing" is a whole statement
        if reason:
            self._leave(item.lines, item.text, f"in a list that asks for nothing: '{stem(lead)}'")
            for child in _flat(item.below):
                self._leave(child.lines, child.text, f"in a list that asks for nothing: '{stem(lead)}'")
        else:
            self._take(combined, (*lines, *reached), without=1 if polar else 0)

    def _groups(self, block: Block, sentences: Sequence[_Sentence]) -> list[list[_Sentence]]:
        """Split a paragraph into parts that are taken or left together."""
        ends = all(re.search(r"[.!?][\"”'\u2019)]*$", piece) for _, piece in block.pieces) and len(block.pieces) > 1
        groups: list[list[_Sentence]] = []
        for sentence in sentences:
            if not groups:
                groups.append([sentence])
                continue
            last = groups[-1]
            rule, now = not self._reason(last), not self._why(sentence.text)
            length = sum(len(one.text.split()) for one in [*last, sentence])
            broken = ends and sentence.lines[0] not in last[-1].lines
            if _BACK.match(sentence.text) and (rule or not now) and not (broken and is_request(sentence.text)):
                last.append(sentence)
            elif now and last[-1].text.endswith("?") and len(last) == 1 and len(last[0].text.split()) < 4:
                last.append(sentence)  # "Spoilers? Ask first."
            elif rule != now or broken or length > _LONG:
                groups.append([sentence])
            else:
                last.append(sentence)
        return groups

    def _reason(self, sentences: Sequence[_Sentence]) -> str:
        return self._why(" ".join(sentence.text for sentence in sentences))

    def _why(self, text: str) -> str:
        """Return why a text is no rule, or "". The name of the assistant counts as "the assistant"."""
        return why_not(self.names.sub("The assistant", _clean(text)) if self.names else _clean(text))

    def _group(self, sentences: Sequence[_Sentence]) -> None:
        text, lines = " ".join(sentence.text for sentence in sentences), _lines(sentences)
        label = _RUN_IN.match(text)
        scope: tuple[str, ...] = ()
        if label and ":" not in (label[2], label[3]) and not negated(label[1]) and not why_not(_clean(label[4])):
            scope, text = (label[1].strip(),), label[4]
        reason = self._why(text) or ("a lead-in without a list" if text.rstrip("*_ ").endswith(":") else "")
        if reason:
            self._leave(lines, text, reason)
            return
        self.titles.extend((9, title) for title in scope)
        self._take(_clean(text), lines)
        del self.titles[len(self.titles) - len(scope) :]

    def _row(self, block: Block, after: Sequence[Block]) -> None:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", block.text.strip().strip("|"))]
        if not self.columns:
            self.columns = cells
            ruled = bool(after) and after[0].kind == "rest"  # the line of hyphens below the names of the columns
            if ruled or not any(is_request(cell) or re.search(r"\b(?:must|never|should)\b", cell) for cell in cells):
                self.policy.headings[block.lines[0]] = " | ".join(cells)
                return
        rules = [cell for cell in cells if not why_not(cell)]
        if not rules:
            self._leave(block.lines, block.text, "a row of a table without a rule")
        elif len(rules) == 1 and not is_request(rules[0]) and len(rules[0].split()) > 5:
            rest = tuple(cell for cell in cells if cell and cell != rules[0])
            self.titles.extend((9, cell) for cell in rest)
            self._take(_clean(rules[0]), block.lines)
            del self.titles[len(self.titles) - len(rest) :]
        elif self.columns == cells or len(self.columns) != len(cells):
            self._take(ended("; ".join(_clean(cell) for cell in cells if cell)), block.lines)
        else:
            pairs = zip(self.columns, cells, strict=True)
            self._take(
                ended(
                    "; ".join(
                        f"{_clean(name)}: {_clean(cell)}" if name else _clean(cell) for name, cell in pairs if cell
                    )
                ),
                block.lines,
            )

    def _take(self, text: str, lines: Sequence[int], *, without: int = 0) -> None:
        under = self.under[: len(self.under) - without] if without else self.under
        self.policy.taken.append(Taken(text=text, lines=tuple(sorted(set(lines))), under=under))

    def _leave(self, lines: Sequence[int], text: str, reason: str) -> None:
        self.policy.left.append(Left(lines[0], text, reason))


def _sentences(block: Block) -> list[_Sentence]:
    """Return the sentences of a block, each with the lines that it stands in."""
    text, found, place = block.text, [], 0
    starts, at = [], 0
    for number, piece in block.pieces:
        starts.append((at, number))
        at += len(piece) + 1
    for sentence in split_sentences(text):
        place = text.index(sentence, place)
        end = place + len(sentence)
        lines = [
            number
            for (start, number), (after, _) in zip(starts, [*starts[1:], (at, 0)], strict=True)
            if start < end and after > place
        ]
        found.append(_Sentence(sentence, tuple(lines)))
        place = end
    return found


def _names(text: str) -> re.Pattern[str] | None:
    """Return a pattern of the names that the policy gives the assistant: "the assistant (Nora)", "You are Milo"."""
    found = {name for match in _NAMED.finditer(text) for name in match.groups() if name}
    return re.compile(rf"\b(?:{'|'.join(sorted(found))})\b") if found else None


def _lines(sentences: Sequence[_Sentence]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(line for sentence in sentences for line in sentence.lines))


def _flat(items: Sequence[Block]) -> list[Block]:
    return [one for item in items for one in (item, *_flat(item.below))]


def _clean(text: str) -> str:
    """Return the text without marks of bold type."""
    return re.sub(r"\*\*", "", text).strip()
