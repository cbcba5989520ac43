"""The rule about vague words: which of them are vague where they stand, and which are explained beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cai_lite.linting.findings import Finding, Level, Subject, found
from cai_lite.linting.words import (
    ABSTRACT,
    FREQUENCY,
    OR_NOUNS,
    TERMS,
    VAGUE,
    VAGUE_PHRASES,
    VERBS,
    VIRTUES,
    WEAK,
)

QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']{3,}'(?!\w)|“[^”]*”|`[^`]*`")
# What says how a word is meant, where it follows in the same sentence.
_EXPLAINED = re.compile(
    r":\s*\w|\b(?:such as|for example|for instance|e\.g\.|i\.e\.|that is|namely|meaning|in that|defined (?:as|in|"
    r"by)|by (?:\w+ )?\w+ing|"
    r"which means|as (?:listed|described|defined|set out|stated) in)(?:\b|(?=\s))|\((?:e\.g\.|i\.e\.|such|at most|"
    r"that is)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=\S)|\n+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_PHRASES = re.compile(rf"\b(?:{'|'.join(VAGUE_PHRASES)})\b", re.IGNORECASE)
_TERMS = re.compile(rf"\b(?:{'|'.join(TERMS)})\b", re.IGNORECASE)
_FREQUENCY_OF_A_DEMAND = re.compile(
    r"^\W*(?:[\w ]{0,30}\b(?:you|assistant|agent|model|bot|repl(?:y|ies)|answers?|we|staff)\b[\w ]*|"
    rf"(?:{'|'.join(sorted(VERBS | OR_NOUNS))}) (?:\w+ )?)$",
    re.IGNORECASE,
)
_AIM = re.compile(
    r"\b(?:respect|honou?r|uphold|value|protect|safeguard|promote|foster|maintain|preserve|prioriti[sz]e|support|"
    r"encourage|"
    r"ensure|guarantee|(?:be|stay|remain) (?:mindful|considerate|respectful|aware) of|show (?:respect|"
    r"consideration) for|care "
    rf"about)(?:s|es|ed|ing)?\s+(?:(?:\w+(?:'s|s')?|of)\s+){{0,5}}?({ABSTRACT})\b",
    re.IGNORECASE,
)
# "Respect" says no more than it names, unless what is respected has a fixed value, such as a limit or a decision.
_RESPECT = re.compile(
    r"(?<!with )(?<!of )(?<!show )\brespect(?:s|ing)? (?!to\b)(?![\w' -]*\b(?:limits?|numbers?|settings?|formats?|"
    r"deadlines?|"
    r"requests?|instructions?|rules?|orders?|choices?|preferences?|laws?|copyrights?|sizes?|lengths?|budgets?|"
    r"schedules?|"
    r"opt-outs?|wish(?:es)?|decisions?|conventions?|licen[cs]es?|hours|names?|pronouns?|word counts?|maxim\w+|"
    r"minim\w+)\b)"
    r"((?:[\w'-]+ ?){1,3})",
    re.IGNORECASE,
)
_WITH = re.compile(
    rf"\b(?:treat\w*|handl\w*|approach\w*|act\w*|repl(?:y|ies)|respond\w*|speak\w*|answer\w*|deal\w*|serv\w*|"
    rf"meet\w*)\b[^,.;:]{{0,60}}? with "
    rf"(?:(?:the )?(?:utmost|great|due|extra|more|special|particular|"
    rf"proper)(?:est)? )?({'|'.join(sorted(VIRTUES))}|dignity|caution|delicacy|consideration)\b",
    re.IGNORECASE,
)
_CARE = re.compile(
    r"\b(?:take (?:extra |special |great |particular |due |good )?care (?:with|of|when|in|not)|"
    r"(?:exercise|use) (?:\w+ )?(?:caution|discretion|care|restraint)|"
    r"take [\w' ]{0,40}\b(?:feelings|needs|circumstances|emotions|situation) into account)\b",
    re.IGNORECASE,
)
_CONCRETE = re.compile(
    rf"^[^.;:]{{0,30}}?(?:,(?: and| then)?|\band) (?:{'|'.join(sorted(VERBS | OR_NOUNS))})\b", re.IGNORECASE
)
_HOW = "say what a reply does, or leaves out, to that end"


def vague(subject: Subject) -> Iterator[Finding]:
    """Report words that people understand differently.

    Words in quotation marks do not count, nor words that the sentence explains ("such as", "by naming", a colon), nor
    terms such as "effective date". A principle that asks which of two replies is better is a comparison, in which
    such a word is a direction and not a threshold.
    """
    for principle in subject.constitution.principles:
        if principle.comparative:
            continue
        for sentence in _SENTENCE.split(QUOTED.sub(" ", principle.text)):
            if hit := _vague(sentence):
                term, mend, level = hit
                yield found(principle, "vague", level, f"'{term}' means different things to different people", mend)
                break


def _vague(sentence: str) -> tuple[str, str, Level] | None:
    """Return the vague words of a sentence, how to mend them and the level, or None."""
    sentence = _TERMS.sub(lambda term: "x" * len(term[0]), sentence)
    hits: list[tuple[int, str, str, Level]] = []
    for phrase in _PHRASES.finditer(sentence):
        hits.append((phrase.start(), phrase[0].lower(), "say when, and how a reader would recognise it", "warning"))
    for word in _WORD.finditer(sentence):
        low = word[0].lower()
        if low in FREQUENCY and (word.start() == 0 or _FREQUENCY_OF_A_DEMAND.match(sentence[: word.start()])):
            hits.append((word.start(), low, FREQUENCY[low], "note"))
        elif low in VAGUE:
            hits.append((word.start(), low, VAGUE[low], "note" if low in WEAK else "warning"))
    for pattern in (_AIM, _WITH, _RESPECT):
        for aim in pattern.finditer(sentence):
            if not _CONCRETE.match(sentence[aim.end() :]):
                hits.append((aim.start(), " ".join(aim[0].split()).lower(), _HOW, "warning"))
    if care := _CARE.search(sentence):
        hits.append((care.start(), care[0].lower(), _HOW, "warning"))
    for start, term, mend, level in sorted(hits, key=lambda hit: (hit[3] == "note", hit[0])):
        if not _EXPLAINED.search(sentence[start + len(term) :]) and not re.search(r":\s*$", sentence[:start]):
            return term, mend, level
    return None
