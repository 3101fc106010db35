"""The one interface of the room: a batch of texts in, one `TextFeatures` per text out."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np

from analysis.emoji import segment
from analysis.facts import Cue, default_facts
from analysis.kernel import open_kernel
from analysis.language import LANGUAGES_BY_SCRIPT
from analysis.lexicon import Lexicon, Term
from analysis.model import Floats, Model
from analysis.reading import Reading, read
from analysis.signals import Mention, default_signals, signals_of
from analysis.taxonomy import TOPICS_MAX, Taxonomy, default_taxonomy
from analysis.text import SCANNED_MAX, Flags
from analysis.tone import (
    CASUAL_WORDS_MIN,
    FORMAL_ALONE,
    FORMAL_WORDS_MIN,
    Marker,
    default_tones,
    tone_weights,
)
from schemas.text_features import UNKNOWN_LANGUAGE, Fact, TextFeatures

_CHUNK_TEXTS: Final = 500
_CHUNK_CHARACTERS: Final = 200_000
"""Texts are read in chunks of at most so many texts and code points, to bound the memory."""
_NEUTRAL: Final = "neutral"
RULES: Final = "2"
"""Goes up when code says something else of a text by the same model and lists."""


Meaning = str | Marker | Mention | Cue
"""Of a term: a topic, a tone, a signal or where a fact may stand."""


class Analyser:
    """A model and a taxonomy at work; immutable once built, safe to share between threads."""

    def __init__(
        self, model: Model, taxonomy: Taxonomy | None = None, *, kernel: bool = True
    ) -> None:
        """Without `kernel`, or where it cannot run, NumPy reads: slower, and the same answers."""
        taxonomy = taxonomy or default_taxonomy()
        self._model = model
        self._kernel = open_kernel(model) if kernel else None
        named = frozenset((*model.header.languages, *LANGUAGES_BY_SCRIPT)) - {UNKNOWN_LANGUAGE}
        tones, signals, self._facts = default_tones(), default_signals(), default_facts()
        terms: chain[Term[Meaning]] = chain(
            taxonomy.terms(), tones.terms, signals.terms, self._facts.terms
        )
        self._lexicon: Lexicon[Meaning] = Lexicon(terms, named)
        self._topics = frozenset(taxonomy.topics)
        self.words_version = words_version(taxonomy)

    def analyse(self, texts: Sequence[str]) -> list[TextFeatures]:
        """One result per text, in order; a text's result does not depend on its neighbours.

        Never raises for any `str`. At most `text.SCANNED_MAX` code points of each are read.
        """
        return [result for chunk in _chunks(texts) for result in self._chunk(chunk)]

    def _chunk(self, texts: Sequence[str]) -> list[TextFeatures]:
        reading = self._kernel.read(texts) if self._kernel else None
        if reading is None:
            reading = read(self._model, texts)
        languages = [self._model.codes[place] for place in reading.languages.tolist()]
        meant = self._lexicon.find(reading.laid, languages)
        sentiments, differences, confidences = self._sentiments(reading.sentiment)
        emotions = self._emotions(reading.emotion)
        results: list[TextFeatures] = []
        add = results.append
        for index, (
            text,
            language,
            sentiment,
            difference,
            confidence,
            tokens,
            words,
            capitalised,
            punctuated,
            cased,
            pictured,
            link,
            gif,
            tidy,
            loose,
        ) in enumerate(
            zip(
                texts,
                languages,
                sentiments,
                differences,
                confidences,
                *(column.tolist() for column in reading[3:11]),
                *(column.tolist() for column in surface_tones(reading)),
                strict=True,
            )
        ):
            if not tokens:
                add(TextFeatures(length=len(text)))
                continue
            emojis = segment(text[:SCANNED_MAX]) if pictured else ()
            tidy = tidy and not emojis
            signals: dict[str, str] = {}
            facts: tuple[Fact, ...] = ()
            if index in meant:
                topics, markers, mentions, cues = _split(meant[index])
                tones = tone_weights(markers, tidy=tidy, loose=loose)
                if mentions:
                    signals = signals_of(mentions, difference)
                    topics |= self._topics & signals.keys()
                if cues:
                    facts = self._facts.find(text, cues)
                named = tuple(sorted(topics)[:TOPICS_MAX]) if topics else ()
            else:
                named, tones = (), {"formal": FORMAL_ALONE} if tidy else {}
            add(
                TextFeatures(
                    sentiment,
                    difference,
                    confidence,
                    emotions.get(index, {}),
                    named,
                    tones,
                    language,
                    emojis,
                    len(text),
                    words,
                    capitalised,
                    punctuated,
                    cased,
                    gif,
                    link,
                    signals,
                    facts,
                )
            )
        return results

    def _sentiments(self, table: Floats) -> tuple[list[str], list[float], list[float]]:
        """Labels, P(positive) - P(negative), and the strongest probability."""
        header = self._model.header
        best = table.max(axis=1)
        chosen = table.argmax(axis=1)
        chosen[best < header.sentiment_sure] = header.sentiments.index(_NEUTRAL)
        positive, negative = map(header.sentiments.index, ("positive", "negative"))
        return (
            [header.sentiments[label] for label in chosen.tolist()],
            np.round(table[:, positive] - table[:, negative], 4).tolist(),
            np.round(best, 4).tolist(),
        )

    def _emotions(self, table: Floats) -> dict[int, dict[str, float]]:
        """Message index -> its emotions; only where something other than neutral is likeliest.

        Named are the strongest and whatever has at least `emotion_share` of its probability.
        """
        header = self._model.header
        neutral = header.emotions.index(_NEUTRAL)
        best = table.max(axis=1, keepdims=True)
        named = table >= best * header.emotion_share
        named[:, neutral] = False
        named &= (table.argmax(axis=1) != neutral)[:, None]
        found: dict[int, dict[str, float]] = {}
        rows, labels = np.nonzero(named)
        weights = np.round(table[rows, labels], 4)
        order = np.lexsort((labels, -weights, rows))
        for row, label, weight in zip(
            rows[order].tolist(), labels[order].tolist(), weights[order].tolist(), strict=True
        ):
            found.setdefault(row, {})[header.emotions[label]] = weight
        return found


def surface_tones(reading: Reading) -> tuple[Flags, Flags]:
    """Which texts are tidy, and which loose: `tone` says what that means."""
    tidy = reading.capitalised & reading.punctuated & (reading.words >= FORMAL_WORDS_MIN)
    loose = reading.cased & ~reading.capitalised & ~reading.punctuated
    return tidy, loose & (reading.words >= CASUAL_WORDS_MIN)


def _split(meanings: list[Meaning]) -> tuple[set[str], list[Marker], list[Mention], list[Cue]]:
    """Topic ids, the markers of tones, what says a signal, and where facts may stand."""
    topics: set[str] = set()
    markers: list[Marker] = []
    mentions: list[Mention] = []
    cues: list[Cue] = []
    for meaning in meanings:
        if isinstance(meaning, str):
            topics.add(meaning)
        elif isinstance(meaning, Mention):
            mentions.append(meaning)
        elif isinstance(meaning, Cue):
            cues.append(meaning)
        else:
            markers.append(meaning)
    return topics, markers, mentions, cues


def words_version(taxonomy: Taxonomy) -> str:
    """First 12 hex of a hash of all lists that a text is looked up in, and of `RULES`."""
    lists = default_tones(), default_signals(), default_facts()
    versions = RULES, taxonomy.version, *(one.version for one in lists)
    return hashlib.sha256("/".join(versions).encode()).hexdigest()[:12]


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(texts), _CHUNK_TEXTS):
        chunk = texts[first : first + _CHUNK_TEXTS]
        if sum(map(len, chunk)) <= _CHUNK_CHARACTERS:
            yield chunk
        else:
            yield from _pieces(chunk)


def _pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    first = size = 0
    for index, text in enumerate(texts):
        length = min(len(text), SCANNED_MAX)
        if size + length > _CHUNK_CHARACTERS and index > first:
            yield texts[first:index]
            first, size = index, 0
        size += length
    yield texts[first:]
