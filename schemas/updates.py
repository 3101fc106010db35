"""A memory update: that a fan's views moved, without what is in them."""

from typing import Literal

import msgspec

from schemas.context import SignalAt
from schemas.text_features import SignalKind
from schemas.times import Time


class MemoryUpdate(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Value of a record on `memory-updates`; its key is `creatorId:fanId`.

    Delivered at least once; of two with the same fan the larger version is newer.
    """

    creator_id: str
    fan_id: str
    views: tuple[str, ...]
    """Names of the documents that can have moved."""
    version: str
    """Journal position of the newest folded interaction."""
    engagement_score: float
    """At the time of the event that moved it."""
    timestamp: Time
    """Event time."""
    erased: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    """The fan was erased: forget what you have copied. `version` is the order's place in
    `interactions`, `timestamp` when that was carried out, and no view holds anything any more."""
    signals: dict[SignalKind, SignalAt] | msgspec.UnsetType = msgspec.UNSET
    """What messages that are new in the views say that a person may want to be called for, as
    `emotionalState.signals` has it now; absent when they say nothing of the kind. An edit that
    first says it counts as new, and so does what is imported: look at the `timestamp`."""


class MemoryMove(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The same without names: how it waits in the outbox, next to its subject."""

    views: tuple[str, ...]
    version: str
    engagement_score: float
    timestamp: str
    signals: dict[SignalKind, SignalAt] | msgspec.UnsetType = msgspec.UNSET


encode_move = msgspec.json.Encoder().encode
encode_update = msgspec.json.Encoder().encode
decode_update = msgspec.json.Decoder(MemoryUpdate).decode
