"""Whether a text is like one that was sent lately: a fan notices the same opener every time."""

from collections.abc import Iterable
from typing import Final

from llm.speech import plain, words

SHARE: Final = 0.5
"""Of character triples in common (Jaccard)."""
OPENING_WORDS: Final = 4
TRIPLES_MIN: Final = 12
"""A shorter text ("Thank you!") may be said again."""


def is_like(text: str, sent: Iterable[str]) -> bool:
    """Half of its character triples in common, or its first words, with any of them."""
    triples, opening = _triples(text), _opening(text)
    for other in sent:
        if opening is not None and opening == _opening(other):
            return True
        theirs = _triples(other)
        if len(triples) >= TRIPLES_MIN and _shared(triples, theirs) >= SHARE:
            return True
    return False


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    whole = len(one | other)
    return len(one & other) / whole if whole else 0.0


def _triples(text: str) -> frozenset[str]:
    letters = " ".join(words(text)) or plain(text)
    return frozenset(letters[at : at + 3] for at in range(len(letters) - 2))


def _opening(text: str) -> tuple[str, ...] | None:
    found = words(text)[:OPENING_WORDS]
    return tuple(found) if len(found) == OPENING_WORDS else None
