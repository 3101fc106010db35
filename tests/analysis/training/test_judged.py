"""What a person has said of topics and signals that were found."""

import re

import pytest

from analysis import Analyser, default_model
from analysis.training import judged
from schemas.text_features import TextFeatures


def test_the_signals_are_found_in_the_phrases_written_to_measure_them() -> None:
    rows = judged.signal_phrases(Analyser(default_model()))
    assert rows.keys() == {"distress", "refund", "leaving"}
    for row in rows.values():
        assert row["phrases"] >= 50
        assert row["recall"] >= 0.95
        assert row["wrong"] <= 2


def test_what_nobody_judged_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    said = TextFeatures(topics=("music", "refund"), signals={"refund": "explicit"})
    marks = {
        judged.mark_of("music", "one"): "right",
        judged.mark_of("signal:refund", "two"): "wrong",
    }
    monkeypatch.setattr(judged, "verdicts", lambda: marks)
    assert judged.judge([("one", said), ("two", said), ("three", TextFeatures())]) == {
        "music": {"found": 2, "right": 1, "wrong": 0},
        "refund": {"found": 2, "right": 0, "wrong": 0},
        "signal:refund": {"found": 2, "right": 0, "wrong": 1},
    }


def test_verdicts_are_hashes_and_no_texts() -> None:
    known = judged.verdicts()
    assert len(known) > 200
    assert set(known.values()) == set(judged.VERDICTS)
    assert all(re.fullmatch("[0-9a-f]{16}", mark) for mark in known)


@pytest.mark.parametrize("content", ["a phrase", "@ en distress\n@ en\na phrase"])
def test_a_phrase_without_a_head_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="a phrase"):
        list(judged.read_phrases(content))
