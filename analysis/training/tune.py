"""Choosing a trained model's biases, temperature and thresholds on the development sets.

Training fits the corpora's own shares of labels; the development sets say how a text is to be
called. Only shifts of whole labels are chosen here, by coordinate ascent in coarse steps, so few
choices are made on many texts.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.artefact import Artefact
from analysis.features import extract
from analysis.language import by_script
from analysis.model import Model, Scores
from analysis.text import encode, word_letters
from analysis.training.corpus import DIALOGUE_SOURCE, EMOTIONS, SENTIMENTS
from analysis.training.metrics import confusion, macro_f1, weighted_f1

Floats = NDArray[np.float64]
_STEPS: Final = (0.4, 0.2, 0.1)
_GAIN_MIN: Final = 1e-4
_TEMPERATURES: Final = tuple(0.6 + 0.05 * k for k in range(29))
_SHARES: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SHARE_COST_MAX: Final = 0.001
_LOST_MAX: Final = 0.002
"""Share of rightly recognised languages that may become unknown for being unsure."""
_BROKEN: Final = frozenset({("xlmt-val", "hi")})
"""An independent model is at chance on that part too."""
_CHAT: Final = "chat"
_CHAT_SOURCES: Final = ("emocontext", "arsarcasm2")
_LANGUAGE_TEXTS_MIN: Final = 200
_PRIOR: Final = 400
"""Texts' worth of belief that a language needs no shift of its own."""
Shift = tuple[float, ...]
_NO_SHIFT: Final[Shift] = (0.0,) * len(SENTIMENTS)
_EMOTION_SHARES: Final = {DIALOGUE_SOURCE: 0.1, "emocontext": 0.3}
_NEUTRAL: Final = SENTIMENTS.index("neutral")


class Labelled(NamedTuple):
    """One held-out text."""

    text: str
    language: str
    source: str
    sentiment: int | None
    emotions: frozenset[str] | None


def tuned(artefact: Artefact, texts: Sequence[Labelled]) -> Artefact:
    """The artefact with the choices of this module in its header."""
    scores = _scores(Model(artefact), [text.text for text in texts])
    sentiment = [n for n, text in enumerate(texts) if text.sentiment is not None]
    emotion = [n for n, text in enumerate(texts) if text.emotions is not None]
    header = artefact.header

    logits = np.log(scores.sentiment[sentiment])
    judge = _sentiment_judge([texts[n] for n in sentiment])
    shifts = _ascend(logits, lambda moved: judge(moved.argmax(axis=1)))
    truth = np.array([texts[n].sentiment for n in sentiment])
    temperature = _temperature(logits + shifts, np.eye(len(SENTIMENTS))[truth])
    tempered = (logits + shifts) / temperature
    by_language = _language_shifts(tempered, [texts[n] for n in sentiment])
    for row, n in enumerate(sentiment):
        tempered[row] += by_language.get(texts[n].language, _NO_SHIFT)
    probabilities = _softmax(tempered)
    sure = _sentiment_sure(probabilities, judge)

    emotion_logits = np.log(scores.emotion[emotion])
    emotion_judge = _emotion_judge([texts[n] for n in emotion])
    emotion_shifts = _ascend(emotion_logits, lambda moved: emotion_judge(moved.argmax(axis=1)))
    targets = _targets([texts[n] for n in emotion])
    emotion_temperature = _temperature(
        emotion_logits + emotion_shifts, targets / targets.sum(axis=1, keepdims=True)
    )
    share = _emotion_share(
        _softmax((emotion_logits + emotion_shifts) / emotion_temperature), targets
    )

    cuts = np.repeat([temperature, emotion_temperature], [len(SENTIMENTS), len(EMOTIONS)])
    biases = (np.array(header.biases) + np.append(shifts, emotion_shifts)) / cuts
    heads = np.array(header.heads) / cuts
    return artefact._replace(
        header=msgspec.structs.replace(
            header,
            biases=tuple(biases.tolist()),
            heads=tuple(tuple(row) for row in heads.tolist()),
            sentiment_sure=sure,
            emotion_share=share,
            shifts=by_language,
            language_sure=_language_sure(scores.language, texts, header.languages),
        )
    )


def _scores(model: Model, texts: Sequence[str]) -> Scores:
    parts = []
    for first in range(0, len(texts), 500):
        batch = encode(texts[first : first + 500])
        parts.append(model.score(extract(batch, word_letters(batch))))
    tables = [np.maximum(np.concatenate(columns), 1e-6) for columns in zip(*parts, strict=True)]
    return Scores(*tables)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _ascend(logits: Floats, judge: Callable[[Floats], float]) -> Floats:
    """Shifts of the labels that the judge likes best."""
    shifts = np.zeros(logits.shape[1])
    best = judge(logits)
    for step in _STEPS:
        for _ in range(2):
            for label in range(len(shifts)):
                for change in (-step, step):
                    tried = shifts.copy()
                    tried[label] += change
                    value = judge(logits + tried)
                    if value > best + _GAIN_MIN:
                        best, shifts = value, tried
    return shifts


Judge = Callable[[NDArray[np.int64]], float]


def _sentiment_judge(texts: Sequence[Labelled]) -> Judge:
    """Mean macro-F1 over the languages of the multilingual set, plus the weighted F1 of dialogues,
    which are nearest to what fans write, plus half the macro-F1 of the English tweets, as far as
    they are there."""
    truth = np.array([text.sentiment for text in texts])
    parts: dict[tuple[str, str], list[int]] = {}
    for n, text in enumerate(texts):
        if (text.source, text.language) in _BROKEN:
            continue
        pool = (_CHAT, "") if text.source in _CHAT_SOURCES else (text.source, text.language)
        parts.setdefault(pool, []).append(n)

    def judge(predicted: NDArray[np.int64]) -> float:
        languages, others = [], 0.0
        for (source, _), places in parts.items():
            table = confusion(truth[places], predicted[places], len(SENTIMENTS))
            if source == DIALOGUE_SOURCE:
                others += weighted_f1(table)
            elif source.startswith("xlmt"):
                languages.append(macro_f1(table))
            elif source == _CHAT:
                others += macro_f1(table)
            else:
                others += 0.5 * macro_f1(table)
        return others + (float(np.mean(languages)) if languages else 0.0)

    return judge


def _language_shifts(logits: Floats, texts: Sequence[Labelled]) -> dict[str, Shift]:
    """What serves each language's own macro-F1 best, drawn towards nothing by `_PRIOR` texts."""
    rows: dict[str, list[int]] = {}
    for n, text in enumerate(texts):
        if (text.source, text.language) not in _BROKEN:
            rows.setdefault(text.language, []).append(n)
    found = {}
    for language, chosen in sorted(rows.items()):
        if len(chosen) < _LANGUAGE_TEXTS_MIN:
            continue
        judge = _mean_judge([texts[n] for n in chosen])
        best = _ascend(logits[chosen], judge)
        share = len(chosen) / (len(chosen) + _PRIOR)
        found[language] = tuple((best * share).round(3).tolist())
    return found


def _mean_judge(texts: Sequence[Labelled]) -> Callable[[Floats], float]:
    """Mean macro-F1 of the sources."""
    truth = np.array([text.sentiment for text in texts])
    sources = sorted({text.source for text in texts})
    parts = [np.array([text.source == source for text in texts]) for source in sources]

    def judge(logits: Floats) -> float:
        called = logits.argmax(axis=1)
        tables = (confusion(truth[part], called[part], len(SENTIMENTS)) for part in parts)
        return float(np.mean([macro_f1(table) for table in tables]))

    return judge


def _targets(texts: Sequence[Labelled]) -> Floats:
    return np.array(
        [[float(label in (text.emotions or ())) for label in EMOTIONS] for text in texts]
    )


def _emotion_judge(texts: Sequence[Labelled]) -> Judge:
    """By source: macro-F1 of the texts with one label plus that of all texts' sets; the source
    with all eight labels counts most."""
    targets = _targets(texts)
    truth = targets.argmax(axis=1)
    parts: dict[str, list[int]] = {}
    for n, text in enumerate(texts):
        parts.setdefault(text.source, []).append(n)

    def judge(predicted: NDArray[np.int64]) -> float:
        value = 0.0
        for source, places in parts.items():
            wanted, called = targets[places], predicted[places]
            single = wanted.sum(axis=1) == 1
            table = confusion(truth[places][single], called[single], len(EMOTIONS))
            complete = bool((table.sum(axis=1) > 0).all())
            share = 1.0 if complete else _EMOTION_SHARES.get(source, 0.3)
            sets = _set_f1(np.eye(len(EMOTIONS))[called], wanted)
            value += share * (macro_f1(table) + sets) / 2
        return value

    return judge


def _set_f1(named: Floats, targets: Floats) -> float:
    """Macro-F1 over the labels, of sets of labels."""
    occurs = targets.any(axis=0)
    right = (named * targets).sum(axis=0)
    sizes = named.sum(axis=0) + targets.sum(axis=0)
    return float((2 * right / np.maximum(sizes, 1))[occurs].mean())


def _temperature(logits: Floats, targets: Floats) -> float:
    """The divisor of the logits at which the targets are likeliest (Guo et al. 2017)."""
    losses = [
        -float((targets * np.log(np.maximum(_softmax(logits / t), 1e-9))).sum())
        for t in _TEMPERATURES
    ]
    return round(_TEMPERATURES[int(np.argmin(losses))], 2)


def _sentiment_sure(probabilities: Floats, judge: Judge) -> float:
    """The highest threshold that costs the judge's value nothing worth naming."""
    labels, best = probabilities.argmax(axis=1), probabilities.max(axis=1)
    tried = [0.34 + 0.01 * k for k in range(17)]
    values = [judge(np.where(best < sure, _NEUTRAL, labels)) for sure in tried]
    top = max(values)
    return round(max(s for s, v in zip(tried, values, strict=True) if v >= top - 0.002), 2)


def _emotion_share(probabilities: Floats, targets: Floats) -> float:
    """The share of the strongest from which naming further emotions serves the sets' F1 best; of
    nearly equal ones the lowest, since a mixed feeling is worth telling."""
    neutral = EMOTIONS.index("neutral")
    values = {}
    for share in _SHARES:
        named = probabilities >= share * probabilities.max(axis=1, keepdims=True)
        calm = probabilities.argmax(axis=1) == neutral
        named[calm] = False
        named[:, neutral] = calm
        values[share] = _set_f1(named.astype(np.float64), targets)
    best = max(values.values())
    return min(share for share, value in values.items() if value >= best - _SHARE_COST_MAX)


def _language_sure(
    probabilities: Floats, texts: Sequence[Labelled], languages: Sequence[str]
) -> float:
    """The highest threshold at which hardly a text loses its right language: `_LOST_MAX`."""
    decided = by_script(encode([text.text for text in texts]))
    open_texts = [
        n for n, text in enumerate(texts) if n not in decided and text.language in languages
    ]
    truth = np.array([languages.index(texts[n].language) for n in open_texts])
    chosen = probabilities[open_texts]
    right = chosen.argmax(axis=1) == truth
    confident = np.sort(chosen.max(axis=1)[right])
    return round(float(confident[int(_LOST_MAX * len(confident))]), 2)
