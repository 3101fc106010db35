"""The events of a file, in whatever form people have them.

JSON lines, one array, pretty or concatenated JSON, in any mixture; UTF-8 with or without a byte
order mark, UTF-16; plain, gzip or zstd, told by their first bytes and not by the file's name. Every
value comes as its own bytes, in the file's order, and so does what is no value: that becomes a
line of its own, because nothing may vanish here. Judging them is not this module's work.

Memory is bounded by the largest value (`VALUE_BYTES_MAX`), not by the file: a value that is larger
comes cut, too long.
"""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
import zstandard

from schemas.errors import FanMemoryError

VALUE_BYTES_MAX: Final = 1_000_000
"""A longer one can't become a Kafka record with the broker's default limits."""
FILE_BYTES_MAX: Final = 1 << 30
"""Of a file that is read whole."""
PIECE_BYTES: Final = 65_536
"""How much is read at a time where no line ends."""
SHORT_BYTES: Final = 4_096
"""How much more is read first of a value that does not end with its line."""
WINDOW_BYTES_MAX: Final = 1 << 27
"""Of zstd: what its command line takes, too (`--long=27`). A larger one asks for more memory."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SUFFIXES: Final = {".gz": _GZIP, ".zst": _ZSTD}
_NAMES: Final = {_GZIP: "gzip", _ZSTD: "zstd"}

_WIDE: Final = (
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\x00", "utf-16-le"),
    (b"[\x00", "utf-16-le"),
    (b"\x00{", "utf-16-be"),
    (b"\x00[", "utf-16-be"),
)
"""First bytes of UTF-16. Without a mark: JSON begins with a bracket, whose other byte is zero."""

_objects_begin = re.compile(r"\[\s*\{").match
_begins_again = re.compile(r"\n[ \t]*(?=[{\[])").search
_between = re.compile(r"[\s,]*").match
_empty_array = re.compile(rb"\[\s*\]").fullmatch
_read_raw = msgspec.json.Decoder(msgspec.Raw).decode
_read_value = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def read_values(path: Path) -> Iterator[bytes]:
    """The values of a file, none of them empty.

    An array of objects is its objects; a file that is an empty array has none. Raises
    `FanMemoryError` for a compressed file that is none or ends early, and for broken UTF-16.
    """
    with _opened(path) as pieces:
        yield from _Values(pieces)


def read_whole(path: Path) -> bytes:
    """A whole file as UTF-8, whatever it is packed and written in.

    Raises `FanMemoryError` as `read_values` does, and for one above `FILE_BYTES_MAX`.
    """
    with _opened(path) as pieces:
        parts: list[bytes] = []
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > FILE_BYTES_MAX:
                raise FanMemoryError(f"{path.name} is too large.", hint="Export it in parts.")
            parts.append(piece)
        return b"".join(parts)


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The pieces of a file, unpacked and in UTF-8."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        packed = _packing(raw)
        expected = _SUFFIXES.get(path.suffix)
        if expected is not None and packed is None and _peek(raw):
            raise _incomplete(path, _NAMES[expected])
        try:
            yield _pieces(stack.enter_context(_unpacked(raw, packed)))
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
            raise _incomplete(path, _NAMES[packed or _GZIP]) from None
        except UnicodeDecodeError:
            raise FanMemoryError(
                f"{path.name} is no complete UTF-16.", hint="Save it again, as UTF-8."
            ) from None


def _incomplete(path: Path, packing: str) -> FanMemoryError:
    return FanMemoryError(
        f"{path.name} is no complete {packing} file.",
        hint="Give a whole one, or the plain text.",
    )


def _peek(raw: IO[bytes]) -> bytes:
    return cast("io.BufferedReader", raw).peek(4)[:4]


def _packing(raw: IO[bytes]) -> bytes | None:
    head = _peek(raw)
    return next((magic for magic in _NAMES if head.startswith(magic)), None)


def _unpacked(raw: IO[bytes], packed: bytes | None) -> IO[bytes]:
    if packed == _GZIP:
        return cast("IO[bytes]", gzip.open(raw))
    if packed == _ZSTD:
        return io.BufferedReader(_Zstd(raw), PIECE_BYTES)
    return raw


class _Zstd(io.RawIOBase):
    """The frames of a zstd file, one after another; the library's own reader takes a cut one."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._unread = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._unread or self._raw.read(SHORT_BYTES)
            if not packed:
                if self._frame is not None:
                    raise EOFError
                return 0
            if self._frame is None:
                limits = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
                self._frame = limits.decompressobj()
            self._ready = memoryview(self._frame.decompress(packed))
            self._unread = b""
            if self._frame.eof:
                self._unread, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def _pieces(unpacked: IO[bytes]) -> Iterator[bytes]:
    """Lines in UTF-8, without a byte order mark; a long one in several pieces."""
    buffered = unpacked if hasattr(unpacked, "peek") else io.BufferedReader(cast("Any", unpacked))
    head = _peek(buffered)
    wide = next((name for mark, name in _WIDE if head.startswith(mark)), None)
    if wide is not None:
        # Half a pair goes on as it is: who judges the value names the field that holds it.
        text = io.TextIOWrapper(buffered, wide, errors="surrogatepass", newline="\n")
        while line := text.readline(PIECE_BYTES):
            yield line.encode("utf-8", "surrogatepass")
        return
    if head.startswith(codecs.BOM_UTF8):
        buffered.read(len(codecs.BOM_UTF8))
    while piece := buffered.readline(PIECE_BYTES):
        yield piece


class _Values:
    """Parts pieces into values: a line that is one whole value costs one check and no copy."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._in_array = False
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        values = self._all()
        first = next(values, b"")
        if first and not _empty_array(first):
            yield first
        yield from values

    def _all(self) -> Iterator[bytes]:
        while piece := self._next():
            value = piece.strip()
            if not value:
                continue
            if value.startswith(b"{") and _is_whole(value):
                yield value
            else:
                self._text, self._at = _text_of(piece), 0
                yield from self._parted()

    def _next(self) -> bytes:
        piece = next(self._pieces, b"")
        self._ended = not piece
        return piece

    def _more(self) -> bool:
        """Whether another piece could be joined to the text."""
        piece = self._next()
        if piece:
            self._text = self._text[self._at :] + _text_of(piece)
            self._at = 0
        return bool(piece)

    def _parted(self) -> Iterator[bytes]:
        """The values of a text that is not one value in one line; pulls the pieces it needs."""
        while True:
            self._skip()
            if self._at == len(self._text):
                if not self._in_array or not self._more():
                    self._in_array = False
                    return
            elif self._opens_array() or self._closes_array():
                self._at += 1
            else:
                yield self._value()

    def _skip(self) -> None:
        match = _between(self._text, self._at)
        self._at = match.end() if match else self._at

    def _opens_array(self) -> bool:
        if self._in_array or self._text[self._at] != "[":
            return False
        while not self._text[self._at + 1 :].strip() and self._more():
            pass
        self._in_array = _objects_begin(self._text, self._at) is not None
        return self._in_array

    def _closes_array(self) -> bool:
        if not self._in_array or self._text[self._at] != "]":
            return False
        self._in_array = False
        return True

    def _value(self) -> bytes:
        """The next value, or what is broken up to where the next one may begin."""
        if not self._in_array and self._text[self._at] not in "{[":
            return self._broken()
        while True:
            try:
                end = _read_value(self._text, self._at)[1]
            except (json.JSONDecodeError, RecursionError) as error:
                if self._size() > VALUE_BYTES_MAX or not self._incomplete(error):
                    return self._broken()
                # Twice as much each time: a long value is not read again for each of its lines.
                if not self._fill(
                    min(2 * self._size() + SHORT_BYTES, VALUE_BYTES_MAX + PIECE_BYTES)
                ):
                    return self._broken()
            else:
                value = self._text[self._at : end]
                self._at = end
                return _bytes_of(value)

    def _fill(self, length: int) -> bool:
        """Pull until the text is that long; whether anything came."""
        before = len(self._text) - self._at
        parts = [self._text[self._at :]]
        while sum(map(len, parts)) < length and (piece := self._next()):
            parts.append(_text_of(piece))
        self._text, self._at = "".join(parts), 0
        return len(self._text) > before

    def _incomplete(self, error: json.JSONDecodeError | RecursionError) -> bool:
        """Whether the value goes wrong only because the text ends."""
        if isinstance(error, RecursionError):
            return False
        if error.msg.startswith("Unterminated string"):
            return True
        # Eight: an escape such as \\u00e9 or a word such as false may be cut.
        return len(self._text) - error.pos < 8 or not self._text[error.pos :].strip()

    def _broken(self) -> bytes:
        """What can't be read, up to the next line that begins like a value."""
        if self._text[self._at] not in "{[":
            end = self._text.find("\n", self._at)
            while end < 0 and self._size() <= VALUE_BYTES_MAX and self._fill(2 * self._size()):
                end = self._text.find("\n", self._at)
            return self._cut(end)
        while True:
            again = _begins_again(self._text, self._at + 1)
            if again is not None:
                return self._cut(again.start())
            if self._size() > VALUE_BYTES_MAX or not self._fill(self._size() + PIECE_BYTES):
                return self._cut(-1)

    def _size(self) -> int:
        return len(self._text) - self._at

    def _cut(self, end: int) -> bytes:
        """The text up to `end`; without one all of it, and the rest of its line is passed over."""
        if end < 0:
            end = len(self._text)
            while self._size() > VALUE_BYTES_MAX and (piece := self._next()):
                if piece.endswith(b"\n"):
                    break
        cut = self._text[self._at : end]
        self._at = end
        return _bytes_of(cut.rstrip())


def _is_whole(value: bytes) -> bool:
    try:
        _read_raw(value)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _text_of(piece: bytes) -> str:
    """Bytes that are no UTF-8 stay what they are: the value that holds them is refused later."""
    return piece.decode("utf-8", "surrogateescape")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
