"""Figures that say how good predictions are; all from counts of (truth, prediction)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def confusion(
    truth: Sequence[int] | Integers, predicted: Sequence[int] | Integers, labels: int
) -> Integers:
    """[i, j]: how many texts of label i were called j."""
    pairs = np.asarray(truth, np.int64) * labels + np.asarray(predicted, np.int64)
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def f1_scores(table: Integers) -> NDArray[np.float64]:
    """F1 of each label: 2 tp / (2 tp + fp + fn); 0 where nothing was right."""
    right = np.diag(table)
    scores: NDArray[np.float64] = 2 * right / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
    return scores


def macro_f1(table: Integers) -> float:
    """Mean F1 of the labels that occur in the truth."""
    occurs = table.sum(axis=1) > 0
    return float(f1_scores(table)[occurs].mean()) if occurs.any() else 0.0


def weighted_f1(table: Integers) -> float:
    """Mean F1 of the labels, weighted by how often each occurs in the truth."""
    sizes = table.sum(axis=1)
    return float((f1_scores(table) * sizes).sum() / max(int(sizes.sum()), 1))


def calibration_error(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15
) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over equal-width bins,
    weighted by size (Guo et al. 2017)."""
    if not len(confidences):
        return 0.0
    place = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    sizes = np.bincount(place, minlength=bins)
    gaps = np.bincount(place, weights=confidences, minlength=bins) - np.bincount(
        place, weights=right, minlength=bins
    )
    return float(np.abs(gaps).sum() / sizes.sum())
