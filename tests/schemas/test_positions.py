"""Positions are written `topic-partition:offset` and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.positions import Position, parse_position

topics = st.text("abcXYZ019._-", min_size=1, max_size=249)


@given(topics, st.integers(0, 99_999), st.integers(0, 10**18 - 1))
def test_a_position_is_read_back_as_it_was_written(topic: str, partition: int, offset: int) -> None:
    position = Position(topic, partition, offset)
    assert parse_position(str(position)) == position


def test_a_topic_may_look_like_a_position() -> None:
    assert parse_position("a-1-2:3") == Position("a-1", 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        *("", "journal", "journal-1", "journal:1", "-1:2", "journal-1:", "journal-:1"),
        *("journal-1:-1", "journal--1:1x", "journal-1:1 ", " journal-1:1", "journal-1:1\n"),
        *("journal-١:1", "journal-1:1e3", "jour nal-1:1", "journal-123456:1", "a-1:" + "9" * 19),
        *("é-1:1", "x" * 250 + "-1:1"),
    ],
)
def test_anything_else_is_refused_with_the_given_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_position(text, "minPosition")
    assert refusal.value.field == "minPosition"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert str(parse_position(text)).replace("0", "") == text.replace("0", "")
    except InvalidInput as refusal:
        assert refusal.field == "position"
