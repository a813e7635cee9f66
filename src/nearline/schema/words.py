"""Words as 32-bit keys: small enough for an event, and words of one stem stand side by side when sorted."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from nearline.schema.ids import key32

WORDS = 4
"""Words kept of a search."""
STEM = 5
"""Letters of a stem at most."""
WHOLE = 12
"""Low bits of a key, which tell the words of one stem apart."""
_WORD = re.compile(r"\w+")


@lru_cache(1 << 16)
def word_key(word: str) -> int:
    """Return the key of a word in small letters: 20 bits of its stem, then 12 of the whole word; never 0.

    The stem is its first letters, without the endings that plurals have in English, German, French and Spanish: so
    "shoes" finds "shoe", and "headphone" "headphones". What has a digit, such as a model's number, is a stem of its own.
    """
    stem = word.rstrip("esn")
    stem = word if not word.isalpha() else stem[:STEM] if len(stem) >= 3 else word[:3]
    return (key32(stem) >> WHOLE << WHOLE) | (key32(word) & ((1 << WHOLE) - 1)) or 1


def words_of(text: str, most: int) -> tuple[int, ...]:
    """Return the keys of the different words of a text in its order, the first `most`; accents and case don't matter."""
    text = text.casefold()
    if not text.isascii():
        text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    found: dict[int, None] = {}
    for match in _WORD.finditer(text):
        found[word_key(match[0])] = None
        if len(found) == most:
            break
    return tuple(found)


def query_words(text: str) -> tuple[int, ...]:
    """Return what is kept of a search: the keys of its longest words, in its order, 0 where there are fewer."""
    words = _WORD.findall(text.casefold())
    longest = sorted(dict.fromkeys(words), key=lambda word: -len(word))[:WORDS]
    kept = words_of(" ".join(word for word in dict.fromkeys(words) if word in longest), WORDS)
    return kept + (0,) * (WORDS - len(kept))
