"""Receipts: genuine ones pass, offline; whatever is altered in one, it fails."""

import base64
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from infra.settings import Settings
from privacy.receipts import Signer, canonical, new_seed, read_receipt, verify
from schemas.errors import InvalidInput, Misconfigured
from schemas.receipts import Emptied, Receipt, ReceiptKey, Remains, SignedReceipt

SIGNER = Signer(new_seed())
KEYS = SIGNER.public.keys
AT = "2026-11-28T10:30:00.000Z"


def receipt(number: int = 0) -> Receipt:
    return Receipt(
        version=1,
        receipt_id=f"00000000-0000-4000-8000-{number:012d}",
        kind="erase",
        subjects=["5bd1b2a7-8a46-4d8c-9a31-6a1f3f0f2c11", "0c6e1d2f-1111-4222-8333-444455556666"],
        requested=AT,
        erased=AT,
        completed="2026-11-28T10:30:01.000Z",
        emptied=[Emptied("table", "interaction", 42, 0), Emptied("cache", "c:", None, None)],
        remains=[
            Remains("topic", "interactions", "clear", "2026-12-01T13:36:01.000Z"),
            Remains("topic", "journal", "sealed, its key is gone", None),
        ],
        looked="2026-11-28T10:30:02.000Z",
        key_id=SIGNER.key_id,
        algorithm="Ed25519",
    )


def written(signed: SignedReceipt) -> bytes:
    return msgspec.json.encode(signed)


def genuine(text: bytes, keys: list[ReceiptKey] = KEYS) -> bool:
    try:
        return verify(read_receipt(text), keys)
    except InvalidInput:
        return False


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every leaf and every part of a document stands."""
    if path:
        yield path
    if isinstance(part, dict):
        for name, value in part.items():
            yield from places(value, (*path, name))
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from places(value, (*path, number))


def holder(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def alterations(value: Any) -> list[Any]:
    if isinstance(value, str):
        swapped = ("B" if value[:1] != "B" else "C") + value[1:]
        return [swapped, value + " ", value[:-1], "", None, AT.replace("10", "11")]
    if value is None:
        return [0, AT]
    if isinstance(value, int):
        return [value + 1, str(value), None, value + 0.5]
    return [[], {}, None]


@pytest.mark.parametrize("changes", [{}, {"kind": "forget", "events": 2}], ids=["erase", "forget"])
def test_a_receipt_that_was_altered_in_any_place_fails(changes: dict[str, Any]) -> None:
    document = json.loads(written(SIGNER.sign(msgspec.structs.replace(receipt(), **changes))))
    assert genuine(json.dumps(document).encode())
    assert genuine(json.dumps(document, indent=2, sort_keys=True).encode()), "form counts nothing"
    tried = 0
    for path in places(document):
        value = holder(document, path)[path[-1]]
        for other in alterations(value):
            if other == value:
                continue
            altered = deepcopy(document)
            holder(altered, path)[path[-1]] = other
            assert not genuine(json.dumps(altered).encode()), (path, other)
            tried += 1
        without = deepcopy(document)
        del holder(without, path)[path[-1]]
        assert not genuine(json.dumps(without).encode()), path
        if isinstance(value, list | dict):
            more = deepcopy(document)
            inside = holder(more, path)[path[-1]]
            if isinstance(inside, list):
                inside.reverse()
                if inside != value:
                    assert not genuine(json.dumps(more).encode()), path
                inside.append(inside[0])
            else:
                inside["more"] = "than there was"
            assert not genuine(json.dumps(more).encode()), path
    assert tried > 100
    for events in (None, 0, 3):
        document["receipt"]["events"] = events
        assert not genuine(json.dumps(document).encode()), events


def test_a_thousand_receipts_are_checked_offline() -> None:
    texts = [written(SIGNER.sign(receipt(number))) for number in range(1000)]
    assert all(map(genuine, texts))


def test_only_keys_that_are_published_count() -> None:
    text = written(SIGNER.sign(receipt()))
    stranger = Signer(new_seed())
    assert not genuine(text, stranger.public.keys)
    assert not genuine(text, [])
    # Another's key under our key's id, and ours under another's.
    (other,), (ours,) = stranger.public.keys, KEYS
    assert not genuine(text, [ReceiptKey(ours.key_id, "Ed25519", other.public_key)])
    assert not genuine(text, [ReceiptKey(ours.key_id, "Ed25519", "no base64")])
    forged = stranger.sign(receipt())
    assert not verify(forged, [*KEYS, *stranger.public.keys]), "it names a key that did not sign"


def test_a_former_key_goes_on_proving() -> None:
    first, second = new_seed(), new_seed()
    former, today = Signer(first), Signer(f"{second}, {first}")
    old = msgspec.structs.replace(receipt(), key_id=former.key_id)
    assert verify(former.sign(old), today.public.keys)
    assert today.key_id == Signer(second).key_id != former.key_id


def test_canonical_bytes_are_those_of_rfc_8785() -> None:
    text = canonical(receipt())
    document = json.loads(text)
    plain = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text == plain.encode()


def test_the_same_signature_has_one_spelling() -> None:
    """64 bytes leave 4 bits of base64 unused."""
    signed = SIGNER.sign(receipt())
    spelled = signed.signature[:-3] + chr(ord(signed.signature[-3]) + 1) + "=="
    assert base64.b64decode(spelled) == base64.b64decode(signed.signature)
    assert not verify(SignedReceipt(signed.receipt, spelled), KEYS)


@pytest.mark.parametrize("text", ["", "no base64", "c2hvcnQ="])
def test_a_key_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Signer.of(Settings(receipt_key=text))
    assert not text or text not in str(caught.value)


def test_what_is_no_receipt_is_refused() -> None:
    for text in (b"", b"\xff", b"[" * 100_000, b"{}", b"null"):
        with pytest.raises(InvalidInput):
            read_receipt(text)


def test_a_process_derives_its_keys_once() -> None:
    settings = Settings(receipt_key=new_seed())
    assert Signer.of(settings) is Signer.of(settings)
