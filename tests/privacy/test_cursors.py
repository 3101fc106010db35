"""Cursors open for the list that they were made for, and are refused in any other form."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.cursors import LENGTH_MAX, Cursors
from privacy.keys import Keyring
from schemas.errors import InvalidInput

FIRST, SECOND = (f"{name}:" + base64.b64encode(os.urandom(32)).decode() for name in ("a", "b"))
CURSORS = Cursors(Keyring.parse(FIRST))
LIST = b"fans of a creator"


def refused(cursor: str, bound_to: bytes = LIST, cursors: Cursors = CURSORS) -> None:
    with pytest.raises(InvalidInput, match="begin again without it") as error:
        cursors.open(cursor, bound_to)
    assert error.value.field == "cursor"


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_a_place_comes_back_for_the_same_list_alone(place: bytes, bound_to: bytes) -> None:
    cursor = CURSORS.seal(place, bound_to)
    assert CURSORS.open(cursor, bound_to) == place
    refused(cursor, bound_to + b"x")


def test_a_cursor_is_not_one_when_anything_of_it_is_changed() -> None:
    cursor = CURSORS.seal(b"place", LIST)
    for at in range(len(cursor)):
        refused(cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :])
    for other in ("", "é", "a b", cursor + "=", cursor[:-1], cursor + "A", "A" * LENGTH_MAX):
        refused(other)


def test_what_is_too_long_is_not_looked_at() -> None:
    long = CURSORS.seal(bytes(LENGTH_MAX), LIST)
    assert len(long) > LENGTH_MAX
    refused(long)


def test_it_outlives_a_new_key_and_means_nothing_to_another_keyring() -> None:
    cursor = CURSORS.seal(b"place", LIST)
    assert Cursors(Keyring.parse(f"{SECOND},{FIRST}")).open(cursor, LIST) == b"place"
    refused(cursor, cursors=Cursors(Keyring.parse(SECOND)))
