"""Both wrappers keep one promise; and a service that fails is named, without the keys."""

import os
from collections.abc import Iterator

import pytest

from infra.settings import Settings
from privacy.keys import Keyring, new_entry, parse_ring
from privacy.wrappers import LocalWrapper, VaultTransit, Wrapper
from schemas.errors import KeyServiceUnavailable, Misconfigured, SealBroken
from tests.vault import TOKEN, Transit, vault

SUBJECT, WHO = os.urandom(16), ("creator", "fan")


@pytest.fixture(scope="module")
def running() -> Iterator[Transit]:
    with vault() as transit:
        yield transit


@pytest.fixture
def transit(running: Transit) -> Transit:
    running.status = running.body = None
    return running


@pytest.fixture
def service(transit: Transit) -> VaultTransit:
    return VaultTransit(transit.url, TOKEN, "fanmemory")


@pytest.fixture(params=["local", "vault"])
def wrapper(request: pytest.FixtureRequest, service: VaultTransit) -> Wrapper:
    return LocalWrapper(os.urandom(32)) if request.param == "local" else service


def test_what_is_wrapped_opens_in_its_own_context_only(wrapper: Wrapper) -> None:
    wrapped = wrapper.wrap(b"key", b"context")
    assert wrapper.unwrap(wrapped, b"context") == b"key"
    assert b"key" not in wrapped
    assert wrapper.wrap(b"key", b"context") != wrapped
    for altered, context in (
        (wrapped, b"another context"),
        (wrapped[:-4] + (b"AAAA" if wrapped[-4:] != b"AAAA" else b"BBBB"), b"context"),
        (wrapped[:-8], b"context"),
        (b"", b"context"),
    ):
        with pytest.raises(SealBroken):
            wrapper.unwrap(altered, context)


def test_a_ring_whose_key_the_service_wrapped_opens_only_with_it(
    transit: Transit, service: VaultTransit
) -> None:
    text = str(new_entry("k1", service))
    assert text.startswith("k1:vault:v1:")
    before = transit.asked
    ring = Keyring.parse(text, service)
    for _ in range(10):
        kek, wrapped = ring.wrap(SUBJECT, WHO, b"k" * 32)
        assert ring.unwrap(SUBJECT, WHO, kek, wrapped) == b"k" * 32
    assert transit.asked == before + 1, "once, when the ring is opened"
    settings = Settings(keyring=text, key_service_url=transit.url, key_service_token=TOKEN)
    assert Keyring.of(settings).derive(b"names") == ring.derive(b"names")
    with pytest.raises(Misconfigured, match="none is set"):
        Keyring.parse(text)
    with pytest.raises(SealBroken):  # another id: bound to it
        Keyring.parse(text.replace("k1:", "k2:", 1), service)
    assert text.partition(":")[2] not in repr(parse_ring(text))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, Misconfigured),
        (404, Misconfigured),
        (500, KeyServiceUnavailable),
        (503, KeyServiceUnavailable),
    ],
)
def test_a_refusal_is_named_and_says_nothing_of_the_key(
    transit: Transit, service: VaultTransit, status: int, error: type[Exception]
) -> None:
    transit.status = status
    with pytest.raises(error) as caught:
        service.wrap(b"plain key", b"context")
    assert TOKEN not in str(caught.value)
    assert "plain key" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": {}}', b'{"data": {"ciphertext": "x"}}'])
def test_an_answer_that_is_none_is_no_ciphertext(
    transit: Transit, service: VaultTransit, body: bytes
) -> None:
    transit.body = body
    with pytest.raises(KeyServiceUnavailable):
        service.wrap(b"key", b"context")


def test_a_wrong_token_and_a_service_that_is_away(transit: Transit) -> None:
    with pytest.raises(Misconfigured, match="403"):
        VaultTransit(transit.url, "wrong", "fanmemory").wrap(b"key", b"context")
    with pytest.raises(KeyServiceUnavailable):
        VaultTransit("http://127.0.0.1:9/v1/transit", TOKEN, "k").wrap(b"key", b"context")
