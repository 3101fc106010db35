"""Sealed bytes open only with their key, and only where they belong."""

import os
from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from privacy.keys import new_key
from privacy.seal import (
    EVENT_KEY_BYTES,
    FORMER_KINDS,
    event_key,
    former_event_key,
    moved_key,
    open_if_intact,
    other_key,
    seal,
    seal_entry,
    source_key,
    text_keys,
    unseal,
)
from schemas.details import Details, Kind, Reference
from schemas.errors import SealBroken
from schemas.events import KINDS
from schemas.journal import JournalEntry, forgotten

KEY = new_key()
CIPHER = AESGCM(KEY)
TOPIC, SUBJECT = b"journal", os.urandom(16)
EVENT = event_key(KEY, "e1")
PLAIN = b"what the fan said"


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_to_the_same(plain: bytes) -> None:
    sealed = seal(CIPHER, plain, TOPIC, SUBJECT, EVENT)
    assert unseal(CIPHER, sealed, TOPIC, SUBJECT, EVENT) == plain


def test_the_same_twice_looks_different() -> None:
    first, second = (seal(CIPHER, PLAIN, TOPIC, SUBJECT, EVENT) for _ in range(2))
    assert first != second
    assert PLAIN not in first


@pytest.mark.parametrize(
    ("topic", "subject", "event"),
    [
        (b"other", SUBJECT, EVENT),
        (TOPIC, os.urandom(16), EVENT),
        (TOPIC, SUBJECT, event_key(KEY, "e2")),
    ],
    ids=["another topic", "another fan", "another event"],
)
def test_a_body_can_not_be_moved(topic: bytes, subject: bytes, event: bytes) -> None:
    sealed = seal(CIPHER, PLAIN, TOPIC, SUBJECT, EVENT)
    with pytest.raises(SealBroken):
        unseal(CIPHER, sealed, topic, subject, event)


def test_another_key_opens_nothing() -> None:
    sealed = seal(CIPHER, PLAIN, TOPIC, SUBJECT, EVENT)
    with pytest.raises(SealBroken):
        unseal(AESGCM(new_key()), sealed, TOPIC, SUBJECT, EVENT)


@given(st.integers(0, (12 + len(PLAIN) + 16) * 8 - 1))
def test_any_bit_changed_is_noticed(bit: int) -> None:
    changed = bytearray(seal(CIPHER, PLAIN, TOPIC, SUBJECT, EVENT))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        unseal(CIPHER, bytes(changed), TOPIC, SUBJECT, EVENT)


@given(st.binary(max_size=60))
def test_bytes_that_were_never_sealed_are_refused(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(CIPHER, sealed, TOPIC, SUBJECT, EVENT)


def test_an_event_key_is_stable_for_its_fan_and_means_nothing_to_others() -> None:
    assert event_key(KEY, "e1") == EVENT
    assert len(EVENT) == EVENT_KEY_BYTES
    assert event_key(new_key(), "e1") != EVENT
    assert event_key(KEY, "E1") != EVENT
    assert event_key(KEY, "é" * 128) != event_key(KEY, "é" * 127)


@given(st.integers(0, 10**9), st.integers(0, 10**18), st.integers(0, 10**9))
def test_no_producers_id_is_that_of_an_event_without_one(
    partition: int, offset: int, zeros: int
) -> None:
    source = f"interactions-{partition}:{offset}"
    assert event_key(KEY, source) != source_key(KEY, source)
    padded = f"interactions-{zeros % 9 * '0'}{partition}:{offset}"
    assert event_key(KEY, padded) != source_key(KEY, source)


def test_the_keys_of_what_was_journalled_before_stay_what_they_were() -> None:
    """An event that an older version wrote and a newer one writes again is one event."""

    def before(event_id: str) -> bytes:
        return blake2b(event_id.encode(), key=KEY, digest_size=16, person=b"event").digest()

    assert source_key(KEY, "interactions-3:7") == before("interactions-3:7")
    for event_id in ("e1", "interactions", "interactions-3:", "interactions-3:7x", "orders-3:7"):
        assert event_key(KEY, event_id) == before(event_id)


def test_a_message_and_its_tip_may_share_an_id() -> None:
    keys = {event_key(KEY, "10408879870999", kind) for kind in KINDS}
    assert len(keys) == len(KINDS)
    # A type must not be told by what a producer writes into an id.
    assert event_key(KEY, "tip\0a") != event_key(KEY, "a", "tip")


def test_another_release_knew_money_and_acts_under_another_key() -> None:
    for kind in KINDS:
        now, former = event_key(KEY, "a", kind), former_event_key(KEY, "a")
        if kind in FORMER_KINDS:
            assert other_key(KEY, "a", kind, now) == former
            assert other_key(KEY, "a", kind, former) == now
        else:
            assert other_key(KEY, "a", kind, now) is None
        # Of an event without an id the key is of its place, whatever is written there.
        place = source_key(KEY, "interactions-3:7")
        assert other_key(KEY, "interactions-3:7", kind, place) is None


# What moves to another key.

PLACE = "interactions-3:7"


def entry(event_id: str, kind: Kind = "message") -> JournalEntry:
    named = Details(refers_to=Reference("another", None)) if kind == "delete" else None
    return JournalEntry(event_id, kind, 1, details=named)


def test_a_message_is_known_by_its_id_or_by_its_place() -> None:
    keys = event_key(KEY, PLACE), event_key(KEY, PLACE, "note"), source_key(KEY, PLACE)
    assert text_keys(KEY, PLACE) == keys


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_the_same_one_under_another_key(kind: Kind) -> None:
    """So it is known again when it comes once more: as it is, and after it was forgotten."""
    new = new_key()
    for one in (entry("a", kind), forgotten(entry("a", kind))):
        now, former = event_key(KEY, "a", kind), former_event_key(KEY, "a")
        assert moved_key(KEY, new, now, one, [PLACE]) == event_key(new, "a", kind)
        assert moved_key(KEY, new, former, one, [PLACE]) == former_event_key(new, "a")


def test_an_event_without_an_id_is_known_by_any_name_of_its_place() -> None:
    new, one = new_key(), entry(PLACE)
    stands = source_key(KEY, PLACE)
    assert moved_key(KEY, new, stands, one, ["other-3:7", PLACE]) == source_key(new, PLACE)


def test_what_is_known_by_nothing_gets_a_key_that_is_its_own() -> None:
    new, one = new_key(), entry("a")
    first, second = (moved_key(KEY, new, os.urandom(16), one, [PLACE]) for _ in range(2))
    assert len({first, second, event_key(new, "a"), *text_keys(new, PLACE)}) == 6
    assert moved_key(KEY, new, EVENT, one, []) == moved_key(KEY, new, EVENT, one, [])


def test_a_body_that_was_altered_is_passed_over() -> None:
    body = seal_entry(CIPHER, SUBJECT, EVENT, entry("a"))
    assert open_if_intact(CIPHER, SUBJECT, EVENT, body) == entry("a")
    assert open_if_intact(CIPHER, SUBJECT, EVENT, body[:-1]) is None
    assert open_if_intact(CIPHER, SUBJECT, event_key(KEY, "b"), body) is None
