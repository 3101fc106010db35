"""Words and phrases that mean something by themselves, found in one pass over a whole batch.

A term belongs to a language. It is looked for in texts of its own language, and in texts of
unknown language, there with its accents (`tô` is not `to`). A term of `ANY`, or of a language that
the analyser cannot name, is looked for in every text, with its accents too.

Matching ignores case and punctuation, and accents in the term's own language unless the term
begins with `=` (`=uñas` is not `unas`). A term matches whole words; a term ending in `*` matches
the beginning of a word; a term in a script without spaces matches anywhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from numpy.typing import NDArray

from analysis.characters import EMOJI, IDEOGRAPH, LIMIT, tables
from analysis.text import Batch, Positions, encode
from schemas.text_features import UNKNOWN_LANGUAGE

Meaning = TypeVar("Meaning", covariant=True)

ANY: Final = "any"
_SIBLINGS: Final = {"id": ("ms", "su"), "ms": ("id", "su"), "uk": ("ru",)}
"""Languages that are written alike and told apart badly."""


class Term(NamedTuple, Generic[Meaning]):
    """One entry of a word list."""

    language: str
    text: str
    meaning: Meaning
    hides: frozenset[Meaning] = frozenset()
    """With these it is not found itself: terms of these meanings within it are not, either."""


class _Known(NamedTuple, Generic[Meaning]):
    homes: frozenset[str] | None
    """Languages whose texts it is looked for in; None: all."""
    accented: str | None
    """Its letters with their accents, if it has any."""
    strict: bool
    """Whether its own language needs the accents too."""
    meaning: Meaning
    hides: frozenset[Meaning]


class Laid(NamedTuple):
    """A batch as word lists read it."""

    bare: str
    """Without accents, case and punctuation; emoji keep their place."""
    codes: NDArray[np.uint32]
    """Folded code points, at the same places."""
    bounds: Positions


def lay(batch: Batch) -> Laid:
    """What `Lexicon.find` needs of a batch."""
    bare = tables().bare[batch.plain]
    pictures = np.flatnonzero(batch.kinds == EMOJI)
    if pictures.size:
        bare[pictures] = batch.plain[pictures]
    return Laid(bare.tobytes().decode("utf-32-le", "replace"), batch.codes, batch.bounds)


class _Spelling(NamedTuple):
    pattern: str
    """The term as it looks in `Laid.bare`, with a space for each boundary it asks for."""
    accented: str | None
    """Its letters with their accents, if it has any."""


def _spellings(terms: Sequence[str]) -> list[_Spelling]:
    batch = encode([term.removeprefix("=").removesuffix("*") for term in terms])
    laid = lay(batch)
    kinds = tables().kind
    found = []
    for place, term in enumerate(terms):
        first, last = laid.bounds[place : place + 2].tolist()
        bare = " ".join(laid.bare[first:last].split())
        letters = _letters(laid, first, last)
        clipped = [min(ord(char), LIMIT) for char in bare]
        apart = not ((kinds[clipped] == IDEOGRAPH) | (kinds[clipped] == EMOJI)).all()
        pattern = f" {bare}" if apart else bare
        if apart and not term.endswith("*"):
            pattern += " "
        accented = None if letters == bare.replace(" ", "") else letters
        found.append(_Spelling(pattern if bare else "", accented))
    return found


def _letters(laid: Laid, first: int, last: int) -> str:
    """The folded code points from `first` to `last` that stand in words."""
    codes, bare = laid.codes[first:last].tolist(), laid.bare[first:last]
    return "".join(chr(code) for code, char in zip(codes, bare, strict=True) if char != " ")


class Lexicon(Generic[Meaning]):
    """Terms with their meanings; immutable once built."""

    def __init__(self, terms: Iterable[Term[Meaning]], named: frozenset[str] = frozenset()) -> None:
        """`named` are the languages that texts are said to be in."""
        entries: defaultdict[str, list[_Known[Meaning]]] = defaultdict(list)
        listed = list(terms)
        spellings = _spellings([term.text for term in listed])
        for (language, text, meaning, hides), (pattern, accented) in zip(
            listed, spellings, strict=True
        ):
            if not pattern:
                continue
            homes = frozenset((language, *_SIBLINGS.get(language, ())))
            strict = text.startswith("=") and accented is not None
            known = _Known(homes if language in named else None, accented, strict, meaning, hides)
            entries[pattern].append(known)
        self._entries: Sequence[tuple[_Known[Meaning], ...]] = [
            tuple(known) for known in entries.values()
        ]
        self._automaton = AhoCorasick(list(entries), matchkind=MatchKind.Standard)

    def find(self, laid: Laid, languages: Sequence[str] | None = None) -> dict[int, list[Meaning]]:
        """Message index -> the meanings of its matches, in text order, repeats kept.

        Without the messages' `languages` all are unknown.
        """
        found: dict[int, list[Meaning]] = {}
        hidden: dict[int, list[tuple[int, int, frozenset[Meaning]]]] = {}
        # A leading space lets a term match at the very beginning; separators end every message.
        matches = self._automaton.find_matches_as_indexes(" " + laid.bare, overlapping=True)
        if not matches:
            return found
        # In `bare`, the last code point of a match is at end - 2; its first letter at start, or
        # one earlier for terms without boundaries. A phrase may not run over a message's end.
        spans = np.array(matches, np.int64).T[1:]
        spans[1] -= 2
        firsts, messages = np.searchsorted(laid.bounds, spans, side="right") - 1
        entries = self._entries
        places = np.flatnonzero(firsts == messages)
        for place in places.tolist():
            pattern, start, end = matches[place]
            message = int(messages[place])
            language = languages[message] if languages else UNKNOWN_LANGUAGE
            for known in entries[pattern]:
                if not _counts(known, laid, language, start, end):
                    continue
                if known.hides:
                    hidden.setdefault(message, []).append((start, end, known.hides))
                else:
                    found.setdefault(message, []).append(known.meaning)
        for message, covers in hidden.items():  # few: each is looked at once more
            language = languages[message] if languages else UNKNOWN_LANGUAGE
            found[message] = [
                known.meaning
                for pattern, start, end in (
                    matches[place] for place in places[messages[places] == message].tolist()
                )
                for known in entries[pattern]
                if not known.hides
                and _counts(known, laid, language, start, end)
                and not any(
                    first <= start and end <= last and known.meaning in meanings
                    for first, last, meanings in covers
                )
            ]
        return found


def _counts(known: _Known[Meaning], laid: Laid, language: str, start: int, end: int) -> bool:
    """Whether letters that match a term are the term, in a text of this language."""
    if known.homes is None or language == UNKNOWN_LANGUAGE:
        exact = known.accented is not None
    elif language in known.homes:
        exact = known.strict
    else:
        return False
    return not exact or known.accented == _letters(laid, max(start - 1, 0), end - 1)
