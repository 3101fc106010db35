"""Bodies of many events: NDJSON, a line each, or one JSON array."""

from collections.abc import AsyncIterator

import msgspec

from schemas.errors import InvalidInput

_BLANK = b" \t\r\n"
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def values(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each value as it came: a line as soon as it is there, the elements of an array at its end.

    Lines are not looked into, and blank ones are none. Raises `InvalidInput` for an array that is
    no JSON.
    """
    rest = bytearray()
    is_array: bool | None = None
    async for part in body:
        rest += part
        if is_array is None and (begun := rest.lstrip(_BLANK)):
            is_array = begun.startswith(b"[")
        if is_array is False:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if stripped := line.strip(_BLANK):
                    yield bytes(stripped)
    if is_array:
        for value in _elements(bytes(rest)):
            yield value
    elif last := rest.strip(_BLANK):
        yield bytes(last)


def _elements(array: bytes) -> list[bytes]:
    try:
        return [bytes(element) for element in _decode_array(array)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("$", "must be NDJSON, or one JSON array, of events") from None
