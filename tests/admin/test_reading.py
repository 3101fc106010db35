"""The events of a file, in every form that people have them in."""

import codecs
import gzip
import json
import os
import threading
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from admin.reading import PIECE_BYTES, VALUE_BYTES_MAX, read_values
from schemas.errors import FanMemoryError

FIELD = Path(__file__).parents[3] / "shared" / "data" / "field"
"""What was tried on the first build; not everybody has it."""
FORMS = ("array.json", "bom.jsonl", "concat.jsonl", "pretty.json", "u2028.jsonl", "utf16.jsonl")

TEXTS = ["a", "é 😍", "}{", "\\", 'quo"te', "\u2028 \u0085", "[{", "\ud83d", "x" * 3 * PIECE_BYTES]
EVENTS = [{"fanId": "f", "content": text, "metadata": {"a": [{"b": {}}]}} for text in TEXTS]


def values(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    return list(read_values(path))


def parsed(path: Path, content: bytes) -> list[Any]:
    return [json.loads(value) for value in values(path, content)]


def lines(events: list[Any]) -> str:
    return "\n".join(json.dumps(event) for event in events)


# Forms.


@pytest.mark.parametrize(
    "text",
    [
        lines(EVENTS),
        lines(EVENTS).replace("\n", "\r\n") + "\r\n\r\n",
        lines(EVENTS).replace("\n", ",\n") + ",",
        "\n\n " + lines(EVENTS).replace("\n", "\n\t\n"),
        "".join(map(json.dumps, EVENTS)),
        json.dumps(EVENTS),
        json.dumps(EVENTS, indent=2),
        "[\n" + lines(EVENTS).replace("\n", ",\n") + "\n]\n",
        "\n".join(json.dumps(event, indent=4) for event in EVENTS),
        json.dumps(EVENTS[:3]) + "\n" + lines(EVENTS[3:6]) + json.dumps(EVENTS[6:], indent="\t"),
    ],
    ids=["lines", "crlf", "commas", "blank lines", "joined", "array", "pretty array",
         "array of lines", "pretty", "mixed"],
)  # fmt: skip
def test_every_form_holds_the_same_events(tmp_path: Path, text: str) -> None:
    assert parsed(tmp_path / "a", text.encode()) == EVENTS


@pytest.mark.parametrize("raw", [lines(EVENTS), json.dumps(EVENTS, ensure_ascii=True, indent=1)])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_encoding_holds_the_same_events(tmp_path: Path, encoding: str, raw: str) -> None:
    marked = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    assert parsed(tmp_path / "a", marked + raw.encode(encoding)) == EVENTS


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        zstandard.compress,
        lambda raw: zstandard.compress(raw[:99]) + zstandard.compress(raw[99:]),
        lambda raw: gzip.compress(raw[:99]) + gzip.compress(raw[99:]),
    ],
    ids=["gzip", "zstd", "two zstd frames", "two gzip members"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.gz", "a.zst"])
def test_packing_is_told_by_the_first_bytes(tmp_path: Path, pack: Any, name: str) -> None:
    assert parsed(tmp_path / name, pack(lines(EVENTS).encode("utf-16"))) == EVENTS


@pytest.mark.parametrize("form", FORMS)
def test_the_files_that_were_not_read_are(form: str) -> None:
    if not FIELD.exists():
        pytest.skip("the samples are not here")
    read = [json.loads(value) for value in read_values(FIELD / form)]
    assert [event["eventId"] for event in read] == ["0", "1", "2"]


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = zstandard.compress(json.dumps(EVENTS).encode())
    writing = threading.Thread(target=pipe.write_bytes, args=(content,))
    writing.start()
    read = [json.loads(value) for value in read_values(pipe)]
    writing.join()
    assert read == EVENTS


def test_an_empty_array_and_an_empty_file_hold_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\n \n", b"[]", b"[ ]\n", b"[\n]\n", codecs.BOM_UTF8):
        assert values(tmp_path / "a", content) == []


# Bytes stay what they are.


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b.strip() and b"\n" not in b)))
def test_nothing_vanishes_but_space_and_commas(parts: list[bytes]) -> None:
    whole = b"{}\n" + b"\n".join(parts)
    with NamedTemporaryFile() as file:
        found = b"".join(values(Path(file.name), whole))
    between = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f,[]"
    assert found.translate(None, between) == whole.translate(None, between)


def test_numbers_escapes_and_repeated_keys_are_not_rewritten(tmp_path: Path) -> None:
    value = b'{"a": 1.10, "a": 1e400,"b": 123456789012345678901234567890, "c": NaN, "d": "\\u00e9"}'
    assert values(tmp_path / "a", b"[" + value + b"," + value + b"]") == [value, value]


def test_bytes_that_are_no_text_stay_in_their_value(tmp_path: Path) -> None:
    value = b'{"content": "\xff\xc3"}'
    assert values(tmp_path / "a", value + b"\n[" + value + b"]") == [value, value]


# What can't be read.


def test_what_is_no_json_is_a_value_of_its_own_and_the_others_are_whole(tmp_path: Path) -> None:
    content = b'fan,type\n{"a":1}\n{"b": \n{"c":3}\nplain words, 12\n{"d":"x\n{"e":5} tail\n[7]'
    assert values(tmp_path / "a", content) == [
        b"fan,type", b'{"a":1}', b'{"b":', b'{"c":3}', b"plain words, 12", b'{"d":"x', b'{"e":5}',
        b"tail", b"[7]",
    ]  # fmt: skip


def test_an_object_that_never_ends_takes_no_other_with_it(tmp_path: Path) -> None:
    whole = b"\n".join(b'{"n":%d,"metadata":{}}' % number for number in range(5_000))
    assert values(tmp_path / "a", b'{"open": {\n' + whole) == [b'{"open": {', *whole.split(b"\n")]


def test_a_broken_element_takes_no_other_with_it(tmp_path: Path) -> None:
    content = b'[\n  {"a": 1},\n  {"b": tru},\n  {"c": 3}\n]'
    assert values(tmp_path / "a", content) == [b'{"a": 1}', b'{"b": tru},', b'{"c": 3}']


def test_depth_ends_nothing(tmp_path: Path) -> None:
    deep = b"[" * 200_000
    assert values(tmp_path / "a", b'{"a":1}\n' + deep + b'\n{"b":2}') == [
        b'{"a":1}', deep, b'{"b":2}',
    ]  # fmt: skip


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_packed_file_that_is_cut_is_said_by_its_name(tmp_path: Path, packing: str) -> None:
    raw = os.urandom(100_000).hex().encode()
    packed = gzip.compress(raw) if packing == "gzip" else zstandard.compress(raw)
    for content in (packed[:-20], packed[: len(packed) // 2], packed[:4]):
        with pytest.raises(FanMemoryError, match=rf"cut\.jsonl.*{packing}"):
            values(tmp_path / "cut.jsonl", content)


@pytest.mark.parametrize("name", ["plain.jsonl.gz", "plain.jsonl.zst"])
def test_a_name_that_promises_packing_is_held_to_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(FanMemoryError, match=name):
        values(tmp_path / name, b'{"a":1}')
    assert values(tmp_path / name, b"") == []


def test_utf_16_that_ends_within_a_character_is_said(tmp_path: Path) -> None:
    with pytest.raises(FanMemoryError, match="UTF-16"):
        values(tmp_path / "a", '{"a":1}'.encode("utf-16") + b"\x00")


# Bounds.


def test_a_value_of_the_largest_size_is_whole_and_a_larger_one_is_told_by_its_size(
    tmp_path: Path,
) -> None:
    def sized(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    content = sized(VALUE_BYTES_MAX) + b"\n" + sized(3 * VALUE_BYTES_MAX) + b'\n{"b":2}'
    largest, larger, after = values(tmp_path / "a", content)
    assert largest == sized(VALUE_BYTES_MAX)
    assert VALUE_BYTES_MAX < len(larger) < 2 * VALUE_BYTES_MAX
    assert after == b'{"b":2}'


def test_a_line_without_an_end_is_cut_and_the_next_one_is_whole(tmp_path: Path) -> None:
    content = b"x" * (3 * VALUE_BYTES_MAX) + b"\n{}\n" + b" " * (2 * VALUE_BYTES_MAX) + b"[5]"
    first, second, third = values(tmp_path / "a", content)
    assert VALUE_BYTES_MAX < len(first) < 2 * VALUE_BYTES_MAX
    assert (second, third) == (b"{}", b"[5]")
