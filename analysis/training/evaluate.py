"""`fanmemory evaluate`: how good the analyser's own answers are on labelled texts.

Judged is what the pipeline stores, not the bare model: the sentiment *after* unsure texts became
neutral, and of the emotions the strongest one, where none means `neutral`. Texts with several
emotion labels are judged by the sets instead: each emotion's F1 over what was named.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.analyser import Analyser
from analysis.training.corpus import EMOTIONS, SENTIMENTS, Example
from analysis.training.judged import judge
from analysis.training.metrics import calibration_error, confusion, f1_scores, macro_f1, weighted_f1
from schemas.text_features import TextFeatures

_NEUTRAL = EMOTIONS.index("neutral")
_BATCH = 500


def best_emotion(found: TextFeatures) -> str:
    """The single best of the eight classes: the strongest emotion, or `neutral` for none."""
    return next(iter(found.emotions), "neutral")


def evaluate(analyser: Analyser, examples: Sequence[Example]) -> dict[str, Any]:
    """Figures over all examples, by task; see the module for what is judged."""
    analyser.analyse(["warm up ы"])  # builds the tables that are made once per process
    started = time.process_time()
    found: list[TextFeatures] = []
    for first in range(0, len(examples), _BATCH):
        found += analyser.analyse([example.text for example in examples[first : first + _BATCH]])
    seconds = time.process_time() - started
    pairs = list(zip(examples, found, strict=True))
    report: dict[str, Any] = {
        "texts": len(examples),
        "characters": round(sum(len(e.text) for e in examples) / max(len(examples), 1), 1),
        "microsecondsPerText": round(seconds / max(len(examples), 1) * 1e6, 1),
    }
    if sentiment := [pair for pair in pairs if pair[0].sentiment is not None]:
        report["sentiment"] = _sentiment(sentiment)
    if emotion := [pair for pair in pairs if pair[0].emotions is not None]:
        report["emotion"] = _emotion(emotion)
    report["language"] = _language(pairs)
    report["found"] = judge((example.text, features) for example, features in pairs)
    return report


Pairs = list[tuple[Example, TextFeatures]]


def _sentiment(pairs: Pairs) -> dict[str, Any]:
    truth = np.array([example.sentiment for example, _ in pairs])
    called = np.array([SENTIMENTS.index(found.sentiment) for _, found in pairs])
    confidences = np.array([found.confidence for _, found in pairs])
    report = _figures(truth, called, SENTIMENTS)
    report["calibrationError"] = round(calibration_error(confidences, truth == called), 4)
    report["byLanguage"] = _by(pairs, truth, called, SENTIMENTS, "language")
    report["bySource"] = _by(pairs, truth, called, SENTIMENTS, "source")
    return report


def _emotion(pairs: Pairs) -> dict[str, Any]:
    single = [pair for pair in pairs if len(pair[0].emotions or ()) == 1]
    truth = np.array([EMOTIONS.index(next(iter(e.emotions or ()))) for e, _ in single], np.int64)
    called = np.array([EMOTIONS.index(best_emotion(found)) for _, found in single], np.int64)
    report = _figures(truth, called, EMOTIONS)
    confidences = np.array([next(iter(found.emotions.values()), 0.0) for _, found in single])
    named = called != _NEUTRAL
    report["calibrationError"] = round(
        calibration_error(confidences[named], (truth == called)[named]), 4
    )
    report["byLanguage"] = _by(single, truth, called, EMOTIONS, "language")
    report["bySource"] = _by(single, truth, called, EMOTIONS, "source")
    report["severalLabels"] = _sets(pairs)
    return report


def _sets(pairs: Pairs) -> dict[str, Any]:
    """All texts, those with several labels too: F1 of each emotion over the named sets."""
    wanted = np.array([[label in (e.emotions or ()) for label in EMOTIONS] for e, _ in pairs])
    named = np.array(
        [[label in (found.emotions or {"neutral"}) for label in EMOTIONS] for _, found in pairs]
    )
    right = (wanted & named).sum(axis=0)
    scores = 2 * right / np.maximum(wanted.sum(axis=0) + named.sum(axis=0), 1)
    occurs = wanted.any(axis=0)
    return {
        "texts": len(pairs),
        "macroF1": round(float(scores[occurs].mean()), 4),
        "f1": dict(zip(EMOTIONS, scores.round(4).tolist(), strict=True)),
    }


def _figures(truth: Any, called: Any, labels: Sequence[str]) -> dict[str, Any]:
    table = confusion(truth, called, len(labels))
    return {
        "texts": len(truth),
        "macroF1": round(macro_f1(table), 4),
        "weightedF1": round(weighted_f1(table), 4),
        "accuracy": round(float(np.trace(table)) / max(len(truth), 1), 4),
        "f1": {
            label: round(float(v), 4) for label, v in zip(labels, f1_scores(table), strict=True)
        },
        "labels": list(labels),
        "confusion": table.tolist(),
    }


def _by(
    pairs: Pairs, truth: Any, called: Any, labels: Sequence[str], field: str
) -> dict[str, dict[str, Any]]:
    places: dict[str, list[int]] = {}
    for place, (example, _) in enumerate(pairs):
        places.setdefault(getattr(example, field), []).append(place)
    report = {}
    for name, chosen in sorted(places.items()):
        table = confusion(truth[chosen], called[chosen], len(labels))
        report[name] = {
            "texts": len(chosen),
            "macroF1": round(macro_f1(table), 4),
            "weightedF1": round(weighted_f1(table), 4),
        }
    return report


def _language(pairs: Pairs) -> dict[str, Any]:
    """Share of each labelled language's texts that were given that language."""
    counts: dict[str, list[int]] = {}
    for example, found in pairs:
        total = counts.setdefault(example.language, [0, 0])
        total[0] += 1
        total[1] += found.language == example.language
    return {
        name: {"texts": total, "accuracy": round(right / total, 4)}
        for name, (total, right) in sorted(counts.items())
    }
