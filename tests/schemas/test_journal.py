"""The journal's frames: what ingest writes is read back, anything else is broken, not a crash."""

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import SealBroken
from schemas.journal import (
    FORMAT,
    JournalEntry,
    JournalRecord,
    check_source,
    decode_entry,
    decode_record,
    encode_entry,
    encode_record,
)
from schemas.text_features import Fact, TextFeatures

RECORD = JournalRecord(FORMAT, 3, 12_345, b"k" * 16, b"sealed")


def test_a_record_is_read_back() -> None:
    assert decode_record(encode_record(RECORD)) == RECORD


def test_an_entry_is_read_back() -> None:
    features = TextFeatures("positive", 0.5, 0.9, {"joy": 1.0}, ("music",), {"casual": 1.0}, "en")
    entry = JournalEntry("e", "message", 1, "fan", "ai", "Hi", text=features, model="m/1")
    assert decode_entry(encode_entry(entry)) == entry


@given(st.binary(max_size=200))
@example(b"\x93\xa3\x00\x00\x80")  # a text that is not UTF-8
def test_any_bytes_are_read_or_broken(value: bytes) -> None:
    for decode in (decode_record, decode_entry):
        try:
            decode(value)
        except SealBroken as broken:
            assert "journal" in str(broken)


@given(st.data())
def test_any_byte_of_a_record_changed_is_read_or_broken(data: st.DataObject) -> None:
    value = bytearray(encode_record(RECORD))
    value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SealBroken):
        decode_record(bytes(value))


def test_the_source_position_is_the_one_that_was_sealed() -> None:
    entry = JournalEntry("e", "like", 1, source_partition=3, source_offset=12_345)
    check_source(RECORD, decode_entry(encode_entry(entry)))
    for moved in (
        JournalRecord(FORMAT, 3, 12_346, b"k" * 16, b"sealed"),
        JournalRecord(FORMAT, 4, 12_345, b"k" * 16, b"sealed"),
    ):
        with pytest.raises(SealBroken, match="source position"):
            check_source(moved, entry)


def test_the_former_release_and_this_one_read_each_others_entries() -> None:
    """Its entries end before the source position; it skips what it doesn't know at the end."""
    written = msgspec.msgpack.decode(encode_entry(JournalEntry("e", "like", 1)))
    former = msgspec.msgpack.encode(written[:-2])
    assert decode_entry(former) == JournalEntry("e", "like", 1)
    check_source(RECORD, decode_entry(former))
    grown = msgspec.msgpack.encode([*written, 1, 2])
    assert decode_entry(grown) == JournalEntry("e", "like", 1)


def test_features_of_the_former_release_have_no_signals_and_no_facts() -> None:
    features = TextFeatures("negative", -0.5, 0.9, language="en", signals={"refund": "explicit"})
    features = msgspec.structs.replace(features, facts=(Fact("pet", "dog Rex"),))
    entry = JournalEntry("e", "message", 1, content="text", text=features)
    written = msgspec.msgpack.decode(encode_entry(entry))
    text = JournalEntry.__struct_fields__.index("text")
    assert written[text].pop() == [["pet", "dog Rex"]]
    assert written[text].pop() == {"refund": "explicit"}
    former = decode_entry(msgspec.msgpack.encode(written))
    assert former.text == msgspec.structs.replace(features, signals={}, facts=())
    written[text] += [{"refund": "explicit"}, [["pet", "dog Rex"]], "what a later release adds"]
    assert decode_entry(msgspec.msgpack.encode(written)) == entry


def test_a_later_format_is_refused() -> None:
    later = encode_record(JournalRecord(FORMAT + 1, 0, 0, b"", b""))
    with pytest.raises(SealBroken, match="format"):
        decode_record(later)
