"""The model file: a magic word, a JSON header, and the compressed numbers.

`FANMEM01` · header length (4 bytes, little endian) · header (JSON, UTF-8) · payload (LZMA).
The payload holds, one after another: how many features each bucket has (`uint8`), the features'
16-bit fingerprints in bucket order (`uint16`), and their weights column by column (`int8`).
The header names everything else, and the SHA-256 of the payload, so that a damaged file is
refused.
"""

import hashlib
import lzma
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.errors import Misconfigured

MAGIC = b"FANMEM01"
BUCKET_BITS = 17
"""2^17 buckets of at most 4 features: one 64-bit word holds a bucket's four fingerprints."""
BUCKET_FEATURES_MAX = 4
_PAYLOAD_BYTES_MAX = 64 * 2**20
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
_HINT = "Take the file from the release again, or train one with `fanmemory train`."


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reader needs to know of a model; every list of numbers is in label order."""

    features: int
    """`features.VERSION` of the code that trained it."""
    rows: int
    units: int
    """Shared hidden units; the first columns of the weights."""
    sentiments: tuple[str, ...]
    emotions: tuple[str, ...]
    """The last one is `neutral`."""
    languages: tuple[str, ...]
    """Told apart by the model; the last columns of the weights."""
    scales: tuple[float, ...]
    """Value of one weight step, per column."""
    offsets: tuple[float, ...]
    """Added to a column's sum: unit biases, then language biases."""
    heads: tuple[tuple[float, ...], ...]
    """(units, sentiments + emotions) weights of the heads."""
    biases: tuple[float, ...]
    """Per sentiment and emotion, tuned on the development sets."""
    sentiment_sure: float
    """Below this probability a sentiment is not named: neutral."""
    emotion_share: float
    """A further emotion is named if it has this share of the strongest one's probability."""
    language_sure: float
    data: dict[str, str]
    """Training file -> SHA-256."""
    training: dict[str, float]
    """The training's own settings."""
    payload: str
    """SHA-256 of the uncompressed payload."""
    shifts: dict[str, tuple[float, ...]] = {}
    """Language -> what is added to its texts' sentiment logits, in label order."""


class Artefact(NamedTuple):
    header: Header
    counts: NDArray[np.uint8]
    fingerprints: NDArray[np.uint16]
    weights: NDArray[np.int8]
    """Shape (rows, units + languages)."""


def pack(artefact: Artefact) -> bytes:
    """The file's bytes; the header's `payload` is filled in. Equal input, equal bytes."""
    payload = (
        artefact.counts.tobytes()
        + artefact.fingerprints.astype("<u2").tobytes()
        + np.ascontiguousarray(artefact.weights.T).tobytes()
    )
    header = msgspec.structs.replace(artefact.header, payload=hashlib.sha256(payload).hexdigest())
    head = msgspec.json.encode(header)
    packed = lzma.compress(payload, format=lzma.FORMAT_XZ, filters=_FILTERS)
    return MAGIC + len(head).to_bytes(4, "little") + head + packed


def unpack(content: bytes) -> Artefact:
    """Read a model file; Misconfigured says in what way it is not one."""
    if not content.startswith(MAGIC):
        raise Misconfigured("The file is not a Fan Memory text model.", hint=_HINT)
    size = int.from_bytes(content[len(MAGIC) : len(MAGIC) + 4], "little")
    start = len(MAGIC) + 4
    try:
        header = msgspec.json.decode(content[start : start + size], type=Header)
        payload = lzma.LZMADecompressor(memlimit=2**28).decompress(
            content[start + size :], max_length=_PAYLOAD_BYTES_MAX
        )
    except (msgspec.DecodeError, lzma.LZMAError) as error:
        raise Misconfigured(f"The text model is damaged: {error}.", hint=_HINT) from None
    if hashlib.sha256(payload).hexdigest() != header.payload:
        raise Misconfigured("The text model is damaged: its checksum differs.", hint=_HINT)
    buckets = 1 << BUCKET_BITS
    columns = header.units + len(header.languages)
    if len(payload) != buckets + header.rows * (2 + columns):
        raise Misconfigured("The text model's numbers do not fit its header.", hint=_HINT)
    counts = np.frombuffer(payload, np.uint8, buckets)
    fingerprints = np.frombuffer(payload, "<u2", header.rows, buckets)
    weights = np.frombuffer(payload, np.int8, header.rows * columns, buckets + 2 * header.rows)
    return Artefact(header, counts, fingerprints, weights.reshape(columns, header.rows).T)
