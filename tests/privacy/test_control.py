"""Orders: only who has the keyring can give one, and only for the relationship that it names."""

import base64
import os

import pytest

from privacy.control import ControlSigner, is_control
from privacy.keys import Keyring
from schemas.control import HEADER, Erase, decode_control, encode_control
from schemas.errors import InvalidInput

KEY = b"creator:fan"
ORDER = Erase("creator", "fan", "00000000-0000-0000-0000-000000000001")
VALUE = encode_control(ORDER)


def ring(*names: str) -> Keyring:
    keys = {name: base64.b64encode(name.encode().ljust(32, b"-")).decode() for name in names}
    return Keyring.parse(",".join(f"{name}:{key}" for name, key in keys.items()))


def test_a_signed_order_is_proven() -> None:
    signer = ControlSigner(ring("one"))
    headers = [("correlationId", b"x"), signer.header(KEY, VALUE)]

    assert is_control(headers)
    assert signer.proves(headers, KEY, VALUE)
    assert decode_control(VALUE) == ORDER
    assert ORDER.who == ("creator", "fan")


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"creator:other", VALUE), (KEY, VALUE.replace(b"fan", b"fin")), (KEY + VALUE[:1], VALUE[1:])],
)
def test_an_altered_order_is_not(key: bytes, value: bytes) -> None:
    signer = ControlSigner(ring("one"))
    assert not signer.proves([signer.header(KEY, VALUE)], key, value)


def test_who_has_another_keyring_can_give_none() -> None:
    forged = ControlSigner(ring("other")).header(KEY, VALUE)
    signer = ControlSigner(ring("one"))

    assert not signer.proves([forged], KEY, VALUE)
    assert not signer.proves([(HEADER, os.urandom(64))], KEY, VALUE)
    assert not signer.proves([], KEY, VALUE)
    assert not is_control([("correlationId", b"x")])


def test_an_order_that_was_given_before_a_rotation_is_proven_after_it() -> None:
    given = ControlSigner(ring("old")).header(KEY, VALUE)
    rotated = ControlSigner(ring("new", "old"))

    assert rotated.proves([given], KEY, VALUE)
    # And by those who have not heard of the new key yet.
    assert ControlSigner(ring("old")).proves([rotated.header(KEY, VALUE)], KEY, VALUE)
    assert not ControlSigner(ring("new")).proves([given], KEY, VALUE)


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", VALUE[:-1] + b',"more":1}'])
def test_what_is_no_order_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_control(value)
