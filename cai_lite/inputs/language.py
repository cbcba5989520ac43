"""Guess roughly in which language a text is written, from its script and its commonest words."""

from __future__ import annotations

import re
from functools import lru_cache

ENGLISH = "en"
READ = 600  # characters
FEWEST = 6  # words in a Latin script; fewer say nothing
FUNCTION_WORDS = {
    ENGLISH: "the of and to a in is you that it for on with as are this be or your have at not can from by an if will",
    "de": "der die das und ist nicht ein eine einen zu mit sie ich auf f\u00fcr den dem von sich auch es im bitte",
    "fr": "le la les des et est une un vous que pas pour dans ce qui sur avec votre au du il ne en je plus",
    "es": "el la los las de que y en un una es por con para su no se lo al m\u00e1s del como usted si pero",
    "it": "il la di che e un una per non \u00e8 con si del della gli le da sono ma pi\u00f9 come anche questo suo lei",
    "pt": "o a os as de que e um uma n\u00e3o para com em por se do da seu sua mais voc\u00ea mas como ao \u00e9",
    "nl": "de het een en van is niet dat te op met voor zijn u je aan er ook als maar door bij naar uw",
    "sv": "och att det som en p\u00e5 \u00e4r av f\u00f6r med den inte har du till om ett eller jag kan ska din",
    "da": "og at det som en p\u00e5 er af for med den ikke har du til om et eller jeg kan skal din",
    "pl": "i w nie na z si\u0119 do to \u017ce jest jak o ale co po tak za od przez dla ma czy mo\u017ce",
    "tr": "ve bir bu i\u00e7in ile de da ne \u00e7ok daha gibi olarak var mi ama sonra kadar en her siz",
    "id": "dan yang di untuk dengan tidak ini itu dari ke pada anda ada akan atau juga bisa dalam adalah",
}
_WORDS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
_LANGUAGES = {
    word: tuple(language for language, known in _WORDS.items() if word in known)
    for word in frozenset().union(*_WORDS.values())
}
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = {
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Hebrew": "\u0590-\u05ff",
    "Indic": "\u0900-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Korean": "\uac00-\ud7af",
    "Chinese or Japanese": "\u3040-\u30ff\u3400-\u9fff",
}
_SCRIPT = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}


@lru_cache(maxsize=64)
def language_of(text: str) -> str:
    """Return a code such as "en", the name of a script that is not Latin, or "" where the text is too short to tell."""
    start = text[:READ]
    if not start.isascii():
        letters = sum(len(word) for word in _WORD.findall(start))
        for name, pattern in _SCRIPT.items():
            if 2 * len(pattern.findall(start)) > letters:
                return name
    words = _WORD.findall(start.lower())
    if len(words) < FEWEST:
        return ""
    counts = dict.fromkeys(_WORDS, 0)
    for word in words:
        for language in _LANGUAGES.get(word, ()):
            counts[language] += 1
    best = max(counts, key=lambda language: (counts[language], language == ENGLISH))
    others = max(count for language, count in counts.items() if language != ENGLISH)
    if counts[ENGLISH] and 2 * counts[ENGLISH] >= others:
        return ENGLISH
    return best if 6 * counts[best] >= len(words) else ""


@lru_cache(maxsize=1024)
def language_of_patterns(patterns: tuple[str, ...]) -> str:
    """Return the language that patterns are written for: English, unless their letters or words are another's."""
    joined = " ".join(re.sub(r"\\[a-zA-Z]", " ", pattern) for pattern in patterns)
    if not joined.isascii():
        letters = joined.replace("\u2019", "'")
        for name, pattern in _SCRIPT.items():
            if pattern.search(letters):
                return name
        if any(char.isalpha() and not char.isascii() for char in letters):
            return ""
    words = set(_WORD.findall(joined.lower()))
    english = len(words & _WORDS[ENGLISH])
    return ENGLISH if english >= max(len(words & known) for known in _WORDS.values()) else ""
