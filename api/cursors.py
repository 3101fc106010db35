"""Cursors through what happened to a fan, the newest first: sealed, and good for one question."""

from typing import Final

import msgspec

from api.parameters import Query, optional
from privacy.cursors import Cursors
from schemas.positions import Place


class _Where(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a cursor holds."""

    time: int
    offset: int


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Where).decode


def before_of(query: Query, cursors: Cursors, bound_to: bytes) -> Place | None:
    """Where the page before this one has ended; None: this is the first.

    Raises `InvalidInput` for a cursor that was given for another question.
    """
    cursor = optional(query, "cursor")
    if cursor is None:
        return None
    where = _decode(cursors.open(cursor, bound_to))
    return Place(where.time, where.offset)


def following(end: Place | None, cursors: Cursors, bound_to: bytes) -> str | None:
    """The cursor of the next page; None when there is none."""
    return None if end is None else cursors.seal(_encode(_Where(*end)), bound_to)
