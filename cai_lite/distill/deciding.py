# ruff: noqa: E501, RUF001  (patterns read better whole; typographic signs are what judges write)
"""Find the verdict in what a judge wrote, or say that there is none.

A wrong reading is far worse than an unreadable one: every rule asks for a form that can hardly mean anything else, and a
reply that contradicts itself is not read. All patterns are bounded, so reading takes time in proportion to the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Options = tuple[str, str]
"""Two letters ("A", "B") or two words ("yes", "no"): the first one, then the second one."""

_I = re.IGNORECASE
_START = re.compile(r"\A[^\w\\{]+")  # emphasis, quotes, bullets and pictures in front of a verdict
_NAMED = r"(?:the\s+)?(?:reply|response|answer|option|candidate|choice|text|assistant|version)\s+"
_KEYS = ("verdict", "answer", "choice", "winner", "better", "preferred", "decision", "result", "label", "judgment")
_LABELS = r"answer|verdict|decision|choice|winner|judge?ment|conclusion|preference|result|pick|rating"
_LABEL = re.compile(
    r"(?:^[^\w\n]*|[.;:]\s+|\bso,?\s+|\bthus,?\s+|\btherefore,?\s+|\bhence,?\s+)(?:my\s+|the\s+|our\s+)?"
    rf"(?P<final>final\s+|overall\s+)?(?:{_LABELS}|(?:better|preferred)(?:\s+(?:reply|response|one|option))?)"
    r"[*_ ]*(?:[:=]|->|\s+is\b:?|\s+would be\b:?|\n)\s*(?P<value>[^\n]*)",
    _I | re.M,
)
_BOXED = re.compile(
    r"\\boxed\s{0,3}\{\s{0,3}(?:\\text\w{0,4}\s{0,3}\{)?([^{}\n]{1,20})\}|\[\[([^\[\]\n]{1,20})\]\]"
    r"|<\|begin_of_box\|>([^<\n]{1,20})<\|end_of_box\|>"
)
_DEGREE = (
    r"(?:(?:the|a|an|clearly|much|slightly|marginally|somewhat|far|definitely|overall|bit|little|only|just)\s+){0,4}"
)
_BETTER = (
    rf"(?:(?:is|was|seems|appears|looks)\s+{_DEGREE}(?:better|stronger|preferable|superior|best|winner|closer)\b"
    r"|wins\b|(?:keeps|follows|upholds|satisfies|honou?rs|respects)\s+(?:the|this|that)\s+principle\s+(?:better|more|best)\b)"
)
_PREFER = r"(?:i(?:'d| would|'ll| will)?|we)\s+(?:\w+ly\s+)?(?:choose|chose|pick|prefer|select|go with|lean (?:to|towards))\s+"
_TIED = re.compile(
    r"(?:(?:it(?:'s| is)|this is|i(?:'d| would) (?:call|say) (?:it|this)(?: is)?|there is|result:|verdict:)\s+)?"
    r"(?:an?\s+|the\s+)?(?:clear\s+|exact\s+|perfect\s+|dead\s+)?(?:tied?\b(?![-\s]?break)|draw\W*$|equal(?:ly)?\b|neither\b"
    r"|no (?:difference|preference|winner)\b|both\s+(?:\w+\s+)?(?:are\s+)?(?:equal|equally|tied|the same)\b"
    r"|(?:the\s+(?:two|replies|responses)|they|(?:reply\s+)?a and (?:reply\s+)?b)\b[^.\n]{0,30}?\bare\s+(?:equal|equally|tied|the same)\b"
    r"|(?:reply\s+)?a\s*={1,2}\s*(?:reply\s+)?b\b)",
    _I,
)
_REVISION = (
    r"\b(?:wait|actually|correction|on second thought|scratch that|i mean|looking again|hold on|on reflection)\b"
)
_HEDGE = re.compile(r"\b(?:but|however|although|though|except|partly|partially|somewhat|in part|unless|yet)\b", _I)
_IT = r"(?:it|this|(?:the|this)\s+(?:reply|response|answer))\s+(?:\w+ly\s+)?"
_KEEP = r"(?:keep|follow|uphold|honou?r|respect|satisf(?:y|ie)|observe|adhere|compl(?:y|ie))"
_BREAK = r"(?:violate|break|breache?|fail|ignore|disregard|contradict)"
_SAYS_KEPT = re.compile(
    rf"{_IT}(?:{_KEEP}e?s\b|does\s+(?:\w+ly\s+)?{_KEEP}\b|(?:does\s*n[o']t|does not|never)\s+{_BREAK}s?\b)", _I
)
_SAYS_BROKEN = re.compile(
    rf"{_IT}(?:{_BREAK}s?\b|(?:doesn't|does\s+not|never)\s+(?:\w+ly\s+)?{_KEEP}\b|is\s+(?:a\s+)?(?:clear\s+)?violation)",
    _I,
)
_FAULTLESS = re.compile(
    r"no\s+(?:violations?|breach(?:es)?|issues?|problems?|concerns?)(?:\s+(?:found|detected|here|at all|whatsoever))?\s*(?:[.:!—–]|$)",
    _I,
)
_DENIES_FAULT = re.compile(
    r"(?:n[o']t|never)\s+(?:\w+ly\s+)?(?:violate|break|breach|ignore|contradict)|\b(?:no|not a)\s+(?:violation|breach|issue|problem)",
    _I,
)
_CLAIMS_FAULT = re.compile(
    r"(?<!no )(?<!not a )\b(?:violates|breaks|breaches|violation|breach of|fails to|ignores|disregards|does not (?:\w+ly )?(?:keep|follow|uphold)|doesn't (?:\w+ly )?(?:keep|follow|uphold))\b",
    _I,
)
_YES_WORDS = re.compile(r"(?:yep|yeah|yup|absolutely|definitely|certainly)(?=\s*(?:[.,;:!—–\n]|$))", _I)
_NO_WORDS = re.compile(
    r"(?:nope|not really|not at all|(?:absolutely|definitely|certainly|clearly)\s+(?:not|no))(?=\s*(?:[.,;:!—–\n]|$))",
    _I,
)


def verdict_of(text: str, options: Options, tie: str = "") -> str | None:
    """Return the option (or the tie word) that a reply decides for, or None where it does not plainly say one.

    A reply may begin with its verdict, name it behind a label ("Answer: B"), box it, write JSON, or end with it on a
    line of its own; where two of these disagree, only an explicit revision ("Wait, ... Final answer: B") is followed.
    """
    said = _plain(text)
    known = (*options, tie) if tie else options
    structured: set[str | None] = {_option(value, known) for value in _structured(said, options)}
    if structured:
        return structured.pop() if len(structured) == 1 else None
    begun = _beginning(said, options, tie)
    labels = [(bool(match["final"]), _option(match["value"], known)) for match in _LABEL.finditer(said)]
    labelled: set[str | None] = {option for _, option in labels if option}
    if begun is None and not labelled and "\n" in said:
        labelled = {_option(said.rsplit("\n", 1)[1], known, alone=True)} - {None}
    read = {begun, *labelled} - {None}
    if len(read) > 1 and labels[-1][0] and re.search(_REVISION, said, _I):
        return labels[-1][1]
    if len(read) != 1:
        return None
    verdict = read.pop()
    assert verdict is not None
    return None if _contradicted(said, verdict, options) else verdict


def last_verdict(text: str, options: Options, tie: str = "") -> str | None:
    """Return the option of the last line "Verdict: ..." of a chain of thought, or None where there is none."""
    lines = [line for line in _plain(text).splitlines() if re.match(r"[^\w\n]*(?:final\s+)?verdict\W*[:\s]", line, _I)]
    said = re.split(r"verdict\W*?[:\s]", lines[-1], maxsplit=1, flags=_I)[1] if lines else ""
    return _option(said, (*options, tie) if tie else options)


def _plain(text: str) -> str:
    """Return the text with typographic quotes as plain ones, and without emphasis marks."""
    return re.sub(r"\*\*|__", "", text.translate(_QUOTES)).strip()


_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'})


def _option(value: Any, known: tuple[str, ...], *, alone: bool = False) -> str | None:
    """Return the option that a value consists of, or (unless `alone`) begins with before a full stop or a reason."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if not isinstance(value, str):
        return None
    bare = _START.sub("", _plain(value))[:400]
    bare = re.sub(rf"^{_NAMED}(?=\S)", "", bare, flags=_I)
    for option in known:
        end = r"[^\w\n]*$" if alone else r"(?:[^\w\n?/|&]*$|[\"'`)\]}]*\s{0,3}[.,;:!—–(]|\s+(?:because|since|as)\s)"
        if re.match(rf"{re.escape(option)}\b{end}", bare, _I):
            others = "|".join(re.escape(other) for other in known if other != option)
            if re.match(
                rf"\W{{0,4}}(?:or|and|vs\.?|/|&|,)?\W{{0,3}}(?:{others})\b\W*(?:$|or\b|,)", bare[len(option) :], _I
            ):
                return None
            return option
    if len(known[0]) == 1 and (claim := re.match(rf"([{known[0]}{known[1]}])\s+{_BETTER}", bare)):
        return claim[1]
    return None


def _structured(text: str, options: Options) -> Iterator[Any]:
    """Yield the verdicts that a reply boxes, or writes as JSON."""
    for boxed in _BOXED.finditer(text):
        yield boxed[1] or boxed[2] or boxed[3]
    start = re.match(r"(?:[^\n{]{0,80}\n)?\s{0,20}(?:```(?:json)?\s{0,20})?(?=\{)", text)
    if not start:
        return
    try:
        held, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    except (ValueError, RecursionError):
        return
    for key, value in held.items() if isinstance(held, dict) else ():
        name = re.sub(r"\W+", "_", str(key)).lower()
        bare = re.sub(r"^(?:final|overall|my)_|_(?:reply|response|option|choice|answer|verdict|label)$", "", name)
        if bare in _KEYS or name in _KEYS:
            yield value
        elif isinstance(value, bool) and options[0] == "yes":
            if re.match(r"(?:keeps|kept|follows|satisfied|complies|compliant|upholds)\b", bare.replace("_", " ")):
                yield value
            elif re.match(r"(?:violates|violated|violation|breaks|broken|breach)\b", bare.replace("_", " ")):
                yield not value


def _beginning(text: str, options: Options, tie: str) -> str | None:
    """Return the verdict that the reply begins with, or None."""
    start = _START.sub("", text)
    if tie and _TIED.match(start):
        return tie
    return _letter(start, options) if len(options[0]) == 1 else _word(start, options)


def _letter(start: str, options: Options) -> str | None:
    """Read "A", "Reply A", "(B)." and "A is better"; a letter before another word is an article or half a sentence."""
    letters = "".join(options)
    if order := re.match(
        rf"(?:{_NAMED})?([{letters}])\s*(>{{1,3}}|<{{1,3}}|≻)\s*(?:{_NAMED})?([{letters}])\b", start, _I
    ):
        return order[3 if "<" in order[2] else 1].upper() if order[1].upper() != order[3].upper() else None
    if ending := re.match(
        rf"{_NAMED}(?:that|which)\s[^.\n]{{0,60}}\b(?:better|best)\s+is\s+(?:{_NAMED})?([{letters}])\W*$", start, _I
    ):
        return ending[1].upper()
    if hedged := re.match(
        rf"[^.\n]{{0,80}}\bbut\s+(?:{_NAMED})?([{letters}])\s+{_BETTER}\s*(?:[.,;!\n]|because\b|since\b|$)", start
    ):
        return hedged[1]
    read = re.match(rf"(?:{_PREFER})?(?:{_NAMED})?[\"'(\[]{{0,2}}([{letters}])\b(?!'\w)[\"'`)\]]{{0,2}}", start, _I)
    if not read:
        return None
    option, rest = read[1].upper(), start[read.end() : read.end() + 2000]
    if read[1].islower() and rest.strip(" .!\n"):
        return None
    other = options[1 - options.index(option)]
    if re.match(rf"\s*(?:and|or|&|/|,|vs\.?|=|\|)\s*(?:or\s+)?(?:{_NAMED})?{other}\b", rest, _I):
        return None
    remark = rf"(?:^|[\n.;,]\s{{0,5}})(?:{_NAMED})?[\"'(]{{0,2}}{other}[\"')]{{0,2}}\s{{0,2}}"
    if re.match(r"\s*[:)]\s*\S", rest) and re.search(rf"{remark}[:)]", rest, _I):
        return None  # a remark on each of both
    if re.match(r"\.\s", rest) and re.search(rf"{remark}\.\s", rest):
        return None
    plainly = re.match(r"\s*(?:$|[.,;:!—–(\n\"]|-+\s)", rest)
    claimed = re.match(rf"\s+(?:{_BETTER}|because\b|since\b|by far\b|clearly\s*[.,!])", rest)
    return option if plainly or claimed else None


def _word(start: str, options: Options) -> str | None:
    """Read "yes" and "no" at the start, and a plain statement; "no doubt" and "not only" are no verdicts."""
    keeps, breaks = options
    if keeps == "yes":
        sentence = re.split(r"(?<=[.!?])\s|\n", start, maxsplit=1)[0]
        if _FAULTLESS.match(start) or _YES_WORDS.match(start) or _SAYS_KEPT.match(start):
            return None if _HEDGE.search(start[:400]) else keeps
        if _NO_WORDS.match(start):
            return breaks
        if _SAYS_BROKEN.match(start):
            return None if _HEDGE.search(sentence) else breaks
    read = re.match(rf"({re.escape(keeps)}|{re.escape(breaks)})\b", start, _I)
    if not read:
        return None
    option = keeps if read[1].lower() == keeps.lower() else breaks
    other = breaks if option == keeps else keeps
    rest = start[read.end() : read.end() + 2000]
    if re.match(rf"\W{{0,4}}(?:and|or|but|/|&|\||vs\.?)?\W{{0,3}}{re.escape(other)}\b(?!\s+\w)", rest, _I):
        return None
    if re.match(
        r"\s*[,;.—–-]{0,3}\s*(?:and|or|but|though|however|partly|partially|mostly|kind of|sort of|to some|in part)\b",
        rest,
        _I,
    ):
        return None
    plainly = re.match(r"\s*(?:$|[.,;:!—–(\n\"'`)\]✅❌]|-+\s)", rest)
    claimed = re.match(r"\s+(?:it|this|the\s+(?:reply|response|answer)|because|since)\b", rest, _I)
    return option if plainly or claimed else None


def _contradicted(text: str, verdict: str, options: Options) -> bool:
    """Return whether the reply takes its verdict back, or says the opposite beside it."""
    letters = "".join(options) if len(options[0]) == 1 else ""
    if verdict not in options:
        return bool(letters) and bool(
            re.search(
                rf"\b[{letters}]\b\s+(?:{_BETTER}|has the edge|edges)|\b(?:lean|prefer|go with)\b[^.\n]{{0,30}}\b[{letters}]\b",
                text,
            )
        )
    other = options[1 - options.index(verdict)]
    if re.search(rf"{_REVISION}[^\n]{{0,120}}?\b{other}\b", text, _I):
        return True
    if letters:
        return bool(
            re.search(rf"\b{other}\s+{_BETTER}(?!\s+(?:than nothing|written|at\b))", text)
            or re.search(
                rf"\b(?:prefer|choose|pick|select|go with|answer is|verdict is)\s+(?:{_NAMED})?{other}\b(?!')", text
            )
            or re.search(
                rf"\b{verdict}\s+(?:clearly\s+|plainly\s+)?(?:is worse|is weaker|violates|breaks|breaches|fails|ignores"
                r"|does(?:n't| not) (?:keep|follow|uphold|respect|honou?r))",
                text,
            )
            or re.search(
                rf"\b(?:only|just)\s+(?:{_NAMED})?{other}\s+(?:keeps|follows|upholds|respects|honou?rs)", text, _I
            )
            or re.search(
                rf"\b{other}\s+(?:is the one that|actually\s+)(?:\w+ly\s+)?(?:keeps|follows|upholds|respects|honou?rs)",
                text,
            )
        )
    opening = " ".join(re.split(r"(?<=[.!?])\s+|\n", text, maxsplit=2)[:2])
    opening = re.sub(r"\"[^\"]{0,300}\"", " ", opening)  # what is quoted is the reply's
    if verdict == options[0]:
        return bool(_CLAIMS_FAULT.search(opening)) and not _DENIES_FAULT.search(opening)
    return bool(_DENIES_FAULT.search(opening)) or (
        bool(_SAYS_KEPT.search(opening)) and not _CLAIMS_FAULT.search(opening)
    )
