"""The keyring: what it wraps it unwraps, for as long as it has the key, and nobody else does."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.keys import KEY_BYTES, Keyring, new_key, parse_ring, without
from schemas.errors import Misconfigured, SealBroken

SUBJECT = os.urandom(16)
WHO = ("creator", "fan")


def written(name: str, key: bytes) -> str:
    return f"{name}:{base64.b64encode(key).decode()}"


OLD, NEW = written("2024", os.urandom(KEY_BYTES)), written("2025", os.urandom(KEY_BYTES))


def test_a_wrapped_key_is_unwrapped() -> None:
    keyring, key = Keyring.parse(OLD), new_key()
    kek, wrapped = keyring.wrap(SUBJECT, WHO, key)
    assert kek == "2024"
    assert key not in wrapped
    assert keyring.unwrap(SUBJECT, WHO, kek, wrapped) == key


def test_after_a_rotation_the_newest_key_wraps_and_the_old_one_still_unwraps() -> None:
    key = new_key()
    kek, wrapped = Keyring.parse(OLD).wrap(SUBJECT, WHO, key)
    rotated = Keyring.parse(f" {NEW} , {OLD} ,")
    assert rotated.unwrap(SUBJECT, WHO, kek, wrapped) == key
    assert rotated.wrap(SUBJECT, WHO, key)[0] == "2025"


def test_names_in_the_cache_survive_a_rotation() -> None:
    assert Keyring.parse(f"{NEW},{OLD}").derive(b"cache") == Keyring.parse(OLD).derive(b"cache")
    assert Keyring.parse(OLD).derive(b"cache") != Keyring.parse(OLD).derive(b"other")
    assert Keyring.parse(OLD).derive(b"cache") != Keyring.parse(NEW).derive(b"cache")


def test_a_keyring_without_the_key_says_so() -> None:
    kek, wrapped = Keyring.parse(OLD).wrap(SUBJECT, WHO, new_key())
    with pytest.raises(SealBroken, match="keyring lacks"):
        Keyring.parse(NEW).unwrap(SUBJECT, WHO, kek, wrapped)


def test_a_key_of_the_same_name_but_other_bytes_opens_nothing() -> None:
    kek, wrapped = Keyring.parse(OLD).wrap(SUBJECT, WHO, new_key())
    with pytest.raises(SealBroken):
        Keyring.parse(written("2024", os.urandom(KEY_BYTES))).unwrap(SUBJECT, WHO, kek, wrapped)


def test_a_wrapped_key_belongs_to_its_subject() -> None:
    keyring = Keyring.parse(OLD)
    kek, wrapped = keyring.wrap(SUBJECT, WHO, new_key())
    with pytest.raises(SealBroken):
        keyring.unwrap(os.urandom(16), WHO, kek, wrapped)


@pytest.mark.parametrize(
    "who", [("other", "fan"), ("creator", "other"), ("fan", "creator"), ("creatorf", "an")]
)
def test_a_wrapped_key_belongs_to_its_relationship(who: tuple[str, str]) -> None:
    keyring = Keyring.parse(OLD)
    kek, wrapped = keyring.wrap(SUBJECT, WHO, new_key())
    for unbound_opens in (False, True):
        with pytest.raises(SealBroken):
            keyring.unwrap(SUBJECT, who, kek, wrapped, unbound_opens=unbound_opens)


def test_a_key_wrapped_by_the_former_release_opens_only_while_that_is_allowed() -> None:
    keyring, key = Keyring.parse(OLD), new_key()
    kek, wrapped = keyring.wrap_unbound(SUBJECT, key)
    assert keyring.unwrap(SUBJECT, WHO, kek, wrapped, unbound_opens=True) == key
    with pytest.raises(SealBroken, match="not bound") as refusal:
        keyring.unwrap(SUBJECT, WHO, kek, wrapped)
    assert "fanmemory verify" in refusal.value.advice


@given(st.data())
def test_any_bit_changed_is_noticed(data: st.DataObject) -> None:
    keyring = Keyring.parse(OLD)
    kek, wrapped = keyring.wrap(SUBJECT, WHO, new_key())
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    changed = bytearray(wrapped)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        keyring.unwrap(SUBJECT, WHO, kek, bytes(changed))


@given(st.binary(max_size=80))
def test_bytes_that_were_never_sealed_are_refused(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        Keyring.parse(OLD).open("2024", sealed, SUBJECT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "no colon",
        "short:" + base64.b64encode(b"x" * 31).decode(),
        "long:" + base64.b64encode(b"x" * 33).decode(),
        ":" + base64.b64encode(b"x" * 32).decode(),
        "not base64:!!!",
        "é" * 65 + ":" + base64.b64encode(b"x" * 32).decode(),
        "ascii:" + "é" * 44,
    ],
)
def test_a_malformed_keyring_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        Keyring.parse(text)
    _, _, secret = text.partition(":")
    assert not secret or secret not in str(refusal.value) + refusal.value.advice


def test_a_key_that_only_opens_is_not_wrapped_with_and_nothing_is_derived_from_it() -> None:
    """So that every process can know it before the first one wraps with it."""
    both = Keyring.parse(f"{OLD},+{NEW}")
    assert both.newest == Keyring.parse(OLD).newest
    assert both.derive(b"cache") == Keyring.parse(OLD).derive(b"cache")
    kek, wrapped = Keyring.parse(f"{NEW},{OLD}").wrap(SUBJECT, WHO, key := new_key())
    assert both.unwrap(SUBJECT, WHO, kek, wrapped) == key
    with pytest.raises(Misconfigured):
        Keyring.parse(f"+{NEW}")


def test_what_is_derived_outlives_the_retired_key_which_opens_nothing() -> None:
    before = Keyring.parse(f"{NEW},{OLD}")
    kek, wrapped = Keyring.parse(OLD).wrap(SUBJECT, WHO, new_key())
    ring = without(parse_ring(f"{NEW},{OLD}"), "2024", None)
    text = ",".join(map(str, ring))
    assert OLD.partition(":")[2] not in text
    after = Keyring.parse(text)
    assert after.names == {before.newest}
    assert after.derive(b"cache") == before.derive(b"cache")
    with pytest.raises(SealBroken):
        after.unwrap(SUBJECT, WHO, kek, wrapped)
    (_, left) = ring
    with pytest.raises(SealBroken):
        after.open(left.id, wrapped[1:], SUBJECT)
    # One in the middle leaves nothing behind.
    middle = written("middle", new_key())
    assert without(parse_ring(f"{NEW},{middle},{OLD}"), "middle", None) == parse_ring(
        f"{NEW},{OLD}"
    )
