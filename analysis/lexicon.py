"""Words and phrases that mean something by themselves, found in one pass over a whole batch.

Matching ignores case, accents and punctuation. A term matches whole words; a term ending in `*`
matches the beginning of a word; a term in a script without spaces matches anywhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind

from analysis.characters import EMOJI, IDEOGRAPH, LIMIT, tables
from analysis.text import Batch, encode

Meaning = TypeVar("Meaning")


def bare_text(batch: Batch) -> str:
    """The whole batch without accents, case and punctuation; emoji keep their place."""
    bare = tables().bare[batch.plain]
    pictures = np.flatnonzero(batch.kinds == EMOJI)
    if pictures.size:
        bare[pictures] = batch.plain[pictures]
    return bare.tobytes().decode("utf-32-le", "replace")


def pattern_of(term: str) -> str:
    """The term as it looks in `bare_text`, with a space for each boundary it asks for."""
    batch = encode([term.removesuffix("*")])
    bare = " ".join(bare_text(batch).split())
    if not bare:
        return ""
    clipped = [min(ord(char), LIMIT) for char in bare]
    kinds = tables().kind[clipped]
    if ((kinds == IDEOGRAPH) | (kinds == EMOJI)).all():
        return bare
    return f" {bare}" if term.endswith("*") else f" {bare} "


class Lexicon(Generic[Meaning]):
    """Terms with their meanings; immutable once built."""

    def __init__(self, terms: Mapping[str, Iterable[Meaning]]) -> None:
        meanings: defaultdict[str, list[Meaning]] = defaultdict(list)
        for term, known in terms.items():
            pattern = pattern_of(term)
            if pattern:
                meanings[pattern].extend(known)
        self._meanings: Sequence[tuple[Meaning, ...]] = [tuple(m) for m in meanings.values()]
        self._automaton = AhoCorasick(list(meanings), matchkind=MatchKind.Standard)

    def find(self, batch: Batch, bare: str) -> dict[int, list[Meaning]]:
        """Message index -> the meanings of its matches, in text order, repeats kept.

        `bare` is `bare_text(batch)`, handed in because several lexicons read the same one.
        """
        found: dict[int, list[Meaning]] = {}
        # A leading space lets a term match at the very beginning; separators end every message.
        matches = self._automaton.find_matches_as_indexes(" " + bare, overlapping=True)
        if not matches:
            return found
        # In `bare`, the last code point of a match is at end - 2; its first letter at start, or
        # one earlier for terms without boundaries. A phrase may not run over a message's end.
        spans = np.array([(start, end - 2) for _, start, end in matches], np.int64)
        firsts, messages = np.searchsorted(batch.bounds, spans.T, side="right") - 1
        for (pattern, _, _), message, first in zip(
            matches, messages.tolist(), firsts.tolist(), strict=True
        ):
            if first == message:
                found.setdefault(message, []).extend(self._meanings[pattern])
        return found
