"""What each text teaches: labels merged, doubtful ones left out, and how much each counts."""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from analysis.lexicon import ANY, Lexicon, Term, lay
from analysis.taxonomy import default_taxonomy
from analysis.text import encode
from analysis.training.concepts import default_concepts, forms_by_language
from analysis.training.corpus import DIALOGUE_SOURCE, EMOTIONS, SENTIMENTS, read_folder
from analysis.training.optimise import Floats, Task
from analysis.training.sayings import SOURCE as SAYINGS
from analysis.training.sayings import default_sayings
from schemas.text_features import UNKNOWN_LANGUAGE

LANGUAGES: Final = (
    "de",
    "en",
    "es",
    "fr",
    "hi",
    "id",
    "it",
    "ms",
    "pt",
    "ro",
    "su",
    "sv",
    UNKNOWN_LANGUAGE,
)
"""Languages in Latin letters that the data can teach; the script tells the others. `und` is taught
by the sayings of languages that the corpora lack, so that Dutch is not called German."""
_HINDI_LINE: Final = (
    "aap ab aisa apna apne aur bahut bhai bhi gaya gayi hai hain hoon hu jab kab kaise kar karo ke"
    " ki koi kuch kya kyu kyun log mein mera mere meri nahi nahin raha rahe rahi sab tera teri tha"
    " thi toh tum tumhare woh yaar ye yeh"
)
_HINDI_WORDS: Final = frozenset(_HINDI_LINE.split())
_HINDI_WORDS_MIN: Final = 2
"""A tweet called romanised Hindi teaches Hindi only with so many words that English lacks: much
of that corpus is plain English."""
_LOVE_SIGNS: Final = ("❤", "😍", "😘", "🥰", "💕", "💖", "💗", "💘", "💞", "💝")
_LOVE_SHARE: Final = 0.7
"""How far a joyful text with a word or sign of love counts as `love`, where nobody could say so."""
_LANGUAGE_OF: Final = {name: name for name in LANGUAGES if name != "hi"} | {
    "hi-latn": "hi",
    **dict.fromkeys(("ar-latn", "nl", "pl", "tr", "vi"), UNKNOWN_LANGUAGE),
}
"""Column `lang` -> language. Code-switched and pidgin texts teach none, nor do Hindi tweets, of
which half are English."""

_SOURCE_IMPORTANCE: Final = {"xlmt-train": 4.0, DIALOGUE_SOURCE: 3.0, SAYINGS: 5.0}
_BALANCE: Final = 0.5
"""Exponent of the inverse class frequency within a source and language; at most 4."""
_RARITY: Final = 0.5
"""Exponent of a language's inverse size, so that English does not take every row of the table."""
_LANGUAGE_BALANCE: Final = 0.7
"""Exponent of a language's inverse frequency."""
_LOVE_SOURCES: Final = ("goemotions", "emot-", SAYINGS)
"""Corpora whose annotators had `love`; elsewhere `joy` stands for both."""

_AFFECTION: Final = re.compile(
    r"lov(?:e|ing)|ador|❤|♥|<3|hug|kiss|sweet|cute|beaut|precious|darling|honey|fav|😍|🥰|💕|😘",
    re.I,
)
_LONGING: Final = re.compile(
    r"\b(?:want\w*|wish\w*|need\w*|hop\w+|would like|wanna|should|please|careful|take care|stay"
    r"|seek|therap\w*|doctor|sorry|don.?t|luck|feel better|afraid|worry|strong|help\w*|envy"
    r"|jealous)"
    r"\b",
    re.I,
)
_OPTIMISM: Final = re.compile(
    r"\b(?:hop(?:e|ed|es|ing|efully)|wish\w*|good luck|one day|will be fine|optimis\w*)\b", re.I
)
_GLADNESS: Final = re.compile(
    r"\b(?:happy|love\w*|amaz\w*|thank\w*|lol|lmao|haha\w*|awesome|congrat\w*|fun\w*|glad|excit\w*"
    r"|proud|yay|great|best|nice|enjoy\w*|perfect|beautiful|brilliant)\b|[😂😊😍🤣😁🎉]|:\)|:D|xD",
    re.I,
)
"""GoEmotions' `caring` and `desire` stand as love in the tables, its `optimism` as joy: "seek a
therapist" and "I wish I could" are neither. A row without a sign of what it is called teaches
nothing but its language."""

_LAUGHS: Final = {
    "en": ("lol", "😂", "haha", "lmao", "🤣"),
    "es": ("jaja", "😂", "jajaja"),
    "fr": ("mdr", "😂", "lol"),
    "de": ("haha", "😂", "lol"),
    "pt": ("kkk", "😂", "kkkk"),
    "it": ("ahah", "😂", "ahaha"),
    "id": ("wkwk", "😂", "haha"),
    "ru": ("ахах", "😂"),
    "ar": ("ههههه", "😂"),
}
_NEGATED_PRAISE: Final = (
    "good",
    "great",
    "happy",
    "beautiful",
    "fun",
    "perfect",
    "excited",
    "interesting",
    "smart",
    "sexy",
)
_NEGATED_BLAME: Final = (
    "bad",
    "sad",
    "angry",
    "ugly",
    "stupid",
    "disappoint",
    "shame",
    "disgust",
    "tired",
    "problem",
    "dirty",
    "lazy",
    "expensive",
)
_NEGATIONS: Final = {
    "en": ("not {}", "it's not {} at all", "that isn't {}", "it wasn't {}"),
    "es": ("no es {}", "nada {}", "no está {}", "no fue {}"),
    "fr": ("pas {}", "c'est pas {}", "ce n'est pas {} du tout", "c'était pas {}"),
    "de": ("nicht {}", "das ist nicht {}", "gar nicht {}", "war nicht {}"),
    "pt": ("não é {}", "nada {}", "não foi {}", "não tá {}"),
    "it": ("non è {}", "per niente {}", "non è stato {}", "mica {}"),
    "ar": ("مش {}", "ليس {}", "مو {}"),
    "hi": ("{} nahi hai", "{} nahi tha", "bilkul {} nahi"),
}
"""How each language negates a word; what is praised or blamed comes from the concepts."""

_CHUNK: Final = 1000
_LAUGHED_AT: Final = 12
_LAUGHED_CHARACTERS_MAX: Final = 140
"""Every twelfth negative text of that length is also taught with a laugh at its end, since a laugh
does not make an insult kind."""


class Text(msgspec.Struct):
    """Everything known of one text: the sentiment and the emotion tables share some."""

    text: str
    language: str
    held_out: bool
    sentiment: int | None = None
    sentiment_source: str = ""
    emotions: frozenset[str] | None = None
    emotion_source: str = ""


def texts_of(folder: Path) -> list[Text]:
    """Everything there is to learn from and to choose by, in a fixed order."""
    texts = _merged(folder)
    for text in texts:
        _strike_doubtful(text)
    return [*texts, *_laughed_at(texts), *_sayings(), *_negations(), *_word_lists()]


def _strike_doubtful(text: Text) -> None:
    if text.held_out or not text.emotion_source.startswith("goemotions"):
        return
    labels = text.emotions or frozenset()
    doubtful = set()
    if "love" in labels and _LONGING.search(text.text) and not _AFFECTION.search(text.text):
        doubtful.add("love")
    if "joy" in labels and _OPTIMISM.search(text.text) and not _GLADNESS.search(text.text):
        doubtful.add("joy")
    if doubtful:
        text.emotions = labels - doubtful or None
        if text.sentiment_source.startswith("goemotions"):
            text.sentiment = None


def _laughed_at(texts: Sequence[Text]) -> list[Text]:
    found = []
    for text in texts:
        laughs = _LAUGHS.get(text.language)
        number = zlib.crc32(text.text.encode("utf-8", "replace"))
        if (
            laughs is None
            or text.held_out
            or text.sentiment != 0
            or len(text.text) > _LAUGHED_CHARACTERS_MAX
            or number % _LAUGHED_AT
        ):
            continue
        laugh = laughs[number // _LAUGHED_AT % len(laughs)]
        found.append(msgspec.structs.replace(text, text=f"{text.text} {laugh}"))
    return found


def _sayings() -> list[Text]:
    return [
        Text(
            text=example.text,
            language=example.language,
            held_out=False,
            sentiment=example.sentiment,
            sentiment_source=SAYINGS,
            emotions=example.emotions,
            emotion_source=SAYINGS,
        )
        for _, example in default_sayings()
    ]


def _negations() -> list[Text]:
    """Words of praise and of blame, negated: the opposite sentiment, and no emotion."""
    concepts = default_concepts()
    return [
        Text(
            text=frame.format(form),
            language="hi-latn" if language == "hi" else language,
            held_out=False,
            sentiment=SENTIMENTS.index(sentiment),
            sentiment_source=SAYINGS,
        )
        for sentiment, names in (("negative", _NEGATED_PRAISE), ("positive", _NEGATED_BLAME))
        for name in names
        for language, frames in _NEGATIONS.items()
        for place, form in enumerate(concepts[name][language])
        for frame in (frames[place % len(frames)],)
    ]


def _merged(folder: Path) -> list[Text]:
    """One entry per distinct training text of the tables; held-out texts and utterances as they
    are, since how often people say a thing belongs to what is learnt."""
    texts: list[Text] = []
    shared: dict[str, Text] = {}
    for example in read_folder(folder):
        known = None if example.held_out else shared.get(example.text)
        if known is None or example.source == DIALOGUE_SOURCE:
            known = Text(example.text, example.language, example.held_out)
            texts.append(known)
            if not example.held_out and example.source != DIALOGUE_SOURCE:
                shared[example.text] = known
        if example.sentiment is not None:
            known.sentiment, known.sentiment_source = example.sentiment, example.source
        if example.emotions is not None:
            known.emotions, known.emotion_source = example.emotions, example.source
    return texts


def _word_lists() -> list[Text]:
    """Our own word lists by language, which teach the language head alone."""
    lists = [
        (language, " ".join(term.removesuffix("*") for term in terms))
        for languages in default_taxonomy().topics.values()
        for language, terms in languages.items()
    ]
    lists += forms_by_language(default_concepts())
    return [Text(words, language, held_out=False) for language, words in lists]


def tasks_of(texts: Sequence[Text]) -> tuple[list[Task], Task]:
    """What the three softmaxes are taught."""
    count = len(texts)
    sentiment = Task(np.zeros((count, len(SENTIMENTS)), np.float32), np.zeros(count, np.float32))
    blurred = np.zeros(count, np.bool_)
    emotion = Task(
        np.zeros((count, len(EMOTIONS)), np.float32),
        np.zeros(count, np.float32),
        ([EMOTIONS.index("joy"), EMOTIONS.index("love")], blurred),
    )
    language = Task(np.zeros((count, len(LANGUAGES)), np.float32), np.zeros(count, np.float32))
    balance = _balance(texts)
    joy, love = EMOTIONS.index("joy"), EMOTIONS.index("love")
    loving = _loving([text.text for text in texts])
    for row, text in enumerate(texts):
        if text.sentiment is not None:
            key = (text.sentiment_source, text.language)
            sentiment.targets[row, text.sentiment] = 1.0
            sentiment.importance[row] = balance[key][text.sentiment] * _SOURCE_IMPORTANCE.get(
                text.sentiment_source, 1.0
            )
        if text.emotions is not None:
            emotion.importance[row] = _SOURCE_IMPORTANCE.get(text.emotion_source, 1.0)
            for label in text.emotions:
                emotion.targets[row, EMOTIONS.index(label)] = 1.0 / len(text.emotions)
            if not text.emotion_source.startswith(_LOVE_SOURCES):
                blurred[row] = row not in loving
                if not blurred[row]:
                    emotion.targets[row, love] = _LOVE_SHARE * emotion.targets[row, joy]
                    emotion.targets[row, joy] *= 1.0 - _LOVE_SHARE
        name = _LANGUAGE_OF.get(text.language)
        if name == "hi" and len(_HINDI_WORDS & set(text.text.lower().split())) < _HINDI_WORDS_MIN:
            name = None
        if name is not None and not text.held_out:
            language.targets[row, LANGUAGES.index(name)] = 1.0
    known = language.targets.sum(axis=0)
    rarity = ((known.mean() / np.maximum(known, 1.0)) ** _LANGUAGE_BALANCE).astype(np.float32)
    language.importance[:] = (language.targets * rarity).sum(axis=1)
    return [sentiment, emotion], language


def _loving(texts: Sequence[str]) -> set[int]:
    """Texts with a word of the concept `love` in any language, or with a heart or the like."""
    forms = default_concepts()["love"].values()
    terms = [*_LOVE_SIGNS, *(form for column in forms for form in column)]
    lexicon = Lexicon([Term(ANY, term, "love") for term in terms])
    found: set[int] = set()
    for first in range(0, len(texts), _CHUNK):
        batch = encode(texts[first : first + _CHUNK])
        found.update(first + index for index in lexicon.find(lay(batch)))
    return found


def _balance(texts: Sequence[Text]) -> dict[tuple[str, str], list[float]]:
    """(source, language) -> how much a text of each sentiment counts."""
    counts: dict[tuple[str, str], list[int]] = {}
    for text in texts:
        if text.sentiment is not None and not text.held_out:
            key = (text.sentiment_source, text.language)
            counts.setdefault(key, [0] * len(SENTIMENTS))[text.sentiment] += 1
    held_out = {(t.sentiment_source, t.language): [1.0] * 3 for t in texts if t.held_out}
    return held_out | {
        key: [
            1.0
            if key[0] == DIALOGUE_SOURCE
            else min((sum(found) / len(found) / max(number, 1)) ** _BALANCE, 4.0)
            for number in found
        ]
        for key, found in counts.items()
    }


def rarity(texts: Sequence[Text]) -> Floats:
    """How much a text counts when features are chosen: less, the more its language has."""
    sizes = Counter(text.language for text in texts)
    mean = len(texts) / len(sizes)
    counts = [(mean / sizes[text.language]) ** _RARITY for text in texts]
    return np.array(counts, np.float32)
