"""The one interface of the room: a batch of texts in, one `TextFeatures` per text out."""

from collections.abc import Sequence
from functools import cache

from analysis.emoji import segment
from analysis.lexicon import Lexicon, bare_text
from analysis.taxonomy import Taxonomy, TopicFinder, default_taxonomy
from analysis.text import encode, surface, word_letters
from analysis.tone import default_tones, tone_weights
from schemas.text_features import Emotion, Sentiment, TextFeatures

_POLAR: dict[str, tuple[int, Emotion]] = {
    **dict.fromkeys(("happy", "great", "good", "amazing", "haha", "😂", "😊", "🎉"), (1, "joy")),
    **dict.fromkeys(("love", "te amo", "je t'aime", "❤", "😍", "😘", "🥰"), (1, "love")),
    **dict.fromkeys(("sad", "cry", "miserable", "😢", "😭", "💔"), (-1, "sadness")),
    **dict.fromkeys(("hate", "angry", "furious", "stupid", "😡", "🤬"), (-1, "anger")),
    **dict.fromkeys(("disgusting", "gross", "🤮", "🤢"), (-1, "disgust")),
    **dict.fromkeys(("scared", "afraid", "terrified", "😱"), (-1, "fear")),
}


@cache
def _polar() -> Lexicon[tuple[int, Emotion]]:
    return Lexicon({term: [meaning] for term, meaning in _POLAR.items()})


class Analyser:
    """Immutable once built; safe to share between threads."""

    def __init__(self, taxonomy: Taxonomy | None = None) -> None:
        self._topics = TopicFinder(taxonomy or default_taxonomy())
        self._tones = default_tones()
        self.taxonomy_version = self._topics.version

    def analyse(self, texts: Sequence[str]) -> list[TextFeatures]:
        """One result per text, in order; a text's result does not depend on its neighbours.

        Never raises for any `str`. At most `text.SCANNED_MAX` code points of each are read.
        """
        if not texts:
            return []
        batch = encode(texts)
        seen = surface(batch, word_letters(batch))
        bare = bare_text(batch)
        topics = self._topics.find(batch, bare)
        markers = self._tones.find(batch, bare)
        polar = _polar().find(batch, bare)
        pictured = batch.pictured.tolist()
        results = []
        for index, text in enumerate(texts):
            words = int(seen.words[index])
            capitalised, punctuated = bool(seen.capitalised[index]), bool(seen.punctuated[index])
            cased = bool(seen.cased[index])
            emojis = segment(text) if pictured[index] else ()
            tone = tone_weights(
                markers.get(index, ()),
                words=words,
                tidy=capitalised and punctuated and not emojis,
                loose=cased and not capitalised and not punctuated,
            )
            found = polar.get(index, [])
            total = sum(sign for sign, _ in found)
            label: Sentiment = "positive" if total > 0 else "negative" if total < 0 else "neutral"
            emotions = {emotion: 0.5 for _, emotion in found}
            results.append(
                TextFeatures(
                    sentiment=label,
                    score=round(total / (1 + len(found)), 4),
                    confidence=round(abs(total) / (1 + len(found)), 4),
                    emotions=dict(emotions),
                    topics=topics.get(index, ()),
                    tone=dict(tone),
                    emojis=emojis,
                    length=len(text),
                    words=words,
                    capitalised=capitalised,
                    punctuated=punctuated,
                    cased=cased,
                    gif=bool(batch.gifs[index]),
                    link=bool(batch.links[index]),
                )
            )
        return results
