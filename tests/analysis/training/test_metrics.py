"""Figures against hand-computed ones."""

import numpy as np
import pytest

from analysis.training.metrics import calibration_error, confusion, f1_scores, macro_f1, weighted_f1


def test_figures_of_a_small_table() -> None:
    table = confusion([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], 3)
    assert table.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    # label 0: p 2/2 r 2/3; label 1: p 1/2 r 1/2; label 2: p 1/2 r 1/1
    assert f1_scores(table) == pytest.approx([0.8, 0.5, 2 / 3])
    assert macro_f1(table) == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert weighted_f1(table) == pytest.approx((3 * 0.8 + 2 * 0.5 + 2 / 3) / 6)


def test_labels_that_never_occur_do_not_count() -> None:
    assert macro_f1(confusion([0, 1], [0, 1], 5)) == 1.0
    assert macro_f1(confusion([], [], 3)) == 0.0
    assert weighted_f1(confusion([], [], 3)) == 0.0


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    assert calibration_error(np.full(10, 0.8), np.arange(10) < 8) == pytest.approx(0.0)
    assert calibration_error(np.full(10, 0.9), np.arange(10) < 5) == pytest.approx(0.4)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0
    assert calibration_error(np.empty(0), np.empty(0, np.bool_)) == 0.0
