"""The one interface of the room: a batch of texts in, one `TextFeatures` per text out."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.emoji import segment
from analysis.features import extract
from analysis.language import by_script, lettered
from analysis.lexicon import bare_text
from analysis.model import Model, Scores
from analysis.taxonomy import Taxonomy, TopicFinder, default_taxonomy
from analysis.text import SCANNED_MAX, Batch, encode, surface, word_letters
from analysis.tone import default_tones, tone_weights
from schemas.text_features import UNKNOWN_LANGUAGE, TextFeatures

_CHUNK_TEXTS: Final = 500
_CHUNK_CHARACTERS: Final = 200_000
"""Texts are read in chunks of at most so many texts and code points, to bound the memory."""
_NEUTRAL: Final = "neutral"


class Analyser:
    """A model and a taxonomy at work; immutable once built, safe to share between threads."""

    def __init__(self, model: Model, taxonomy: Taxonomy | None = None) -> None:
        self._model = model
        self._topics = TopicFinder(taxonomy or default_taxonomy())
        self._tones = default_tones()
        self.taxonomy_version = self._topics.version

    def analyse(self, texts: Sequence[str]) -> list[TextFeatures]:
        """One result per text, in order; a text's result does not depend on its neighbours.

        Never raises for any `str`. At most `text.SCANNED_MAX` code points of each are read.
        """
        return [result for chunk in _chunks(texts) for result in self._chunk(chunk)]

    def _chunk(self, texts: Sequence[str]) -> list[TextFeatures]:
        batch = encode(texts)
        inside = word_letters(batch)
        seen = surface(batch, inside)
        bare = bare_text(batch)
        topics = self._topics.find(batch, bare)
        markers = self._tones.find(batch, bare)
        found = extract(batch, inside)
        scores = self._model.score(found)
        sentiments, differences, confidences = self._sentiments(scores)
        emotions = self._emotions(scores.emotion)
        languages = self._languages(batch, scores.language)
        results = []
        columns = zip(
            texts,
            found.tokens.tolist(),
            sentiments,
            differences,
            confidences,
            languages,
            batch.pictured.tolist(),
            seen.words.tolist(),
            seen.capitalised.tolist(),
            seen.punctuated.tolist(),
            seen.cased.tolist(),
            batch.gifs.tolist(),
            batch.links.tolist(),
            strict=True,
        )
        for index, (
            text,
            tokens,
            sentiment,
            difference,
            confidence,
            language,
            pictured,
            words,
            capitalised,
            punctuated,
            cased,
            gif,
            link,
        ) in enumerate(columns):
            if not tokens:
                results.append(TextFeatures(length=len(text)))
                continue
            emojis = segment(text[:SCANNED_MAX]) if pictured else ()
            features = TextFeatures(
                sentiment,
                difference,
                confidence,
                emotions.get(index, {}),
                topics.get(index, ()),
                tone_weights(
                    markers.get(index),
                    words=words,
                    tidy=capitalised and punctuated and not emojis,
                    loose=cased and not capitalised and not punctuated,
                ),
                language,
                emojis,
                len(text),
                words,
                capitalised,
                punctuated,
                cased,
                gif,
                link,
            )
            results.append(features)
        return results

    def _sentiments(self, scores: Scores) -> tuple[list[str], list[float], list[float]]:
        """Labels, P(positive) - P(negative), and the strongest probability."""
        header = self._model.header
        table = scores.sentiment
        best = table.max(axis=1)
        chosen = table.argmax(axis=1)
        chosen[best < header.sentiment_sure] = header.sentiments.index(_NEUTRAL)
        positive, negative = map(header.sentiments.index, ("positive", "negative"))
        return (
            [header.sentiments[label] for label in chosen.tolist()],
            np.round(table[:, positive] - table[:, negative], 4).tolist(),
            np.round(best, 4).tolist(),
        )

    def _emotions(self, table: NDArray[np.float64]) -> dict[int, dict[str, float]]:
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
        for place in np.lexsort((labels, -weights, rows)).tolist():
            emotion = header.emotions[int(labels[place])]
            found.setdefault(int(rows[place]), {})[emotion] = float(weights[place])
        return found

    def _languages(self, batch: Batch, table: NDArray[np.float64]) -> list[str]:
        header = self._model.header
        chosen = [header.languages[label] for label in table.argmax(axis=1).tolist()]
        unsure = table.max(axis=1) < header.language_sure
        unsure |= ~lettered(batch)
        for index in np.flatnonzero(unsure).tolist():
            chosen[index] = UNKNOWN_LANGUAGE
        for index, language in by_script(batch).items():
            chosen[index] = language
        return chosen


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    first = size = 0
    for index, text in enumerate(texts):
        length = min(len(text), SCANNED_MAX)
        if index - first == _CHUNK_TEXTS or (size + length > _CHUNK_CHARACTERS and index > first):
            yield texts[first:index]
            first, size = index, 0
        size += length
    if first < len(texts):
        yield texts[first:]
