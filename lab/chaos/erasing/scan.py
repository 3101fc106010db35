"""The scanner: looks for sentinels, and for keys that open what is sealed, wherever bytes lie.

| Place | How it is read |
|---|---|
| `kafka` | every segment of every topic, byte by byte, and each record decompressed |
| `postgres` | every file of the cluster: heap, TOAST, indexes, statistics |
| `log of postgres` | its write-ahead log |
| `valkey` | a dump of every key |
| `letters` | dead letters, opened with every key that remains |
| `journal` | whether a journal record of the fan's has a key still |
| `workflows` | intents and drafts, opened with every key that remains |
| `logs` | every log |
| `metrics` | what the API tells Prometheus |
| `spilled` | temporary folders of ours |

PostgreSQL compresses what is long: pglz leaves what it has not seen before as it is, with one
control byte before each eight. So a sentinel is looked for with such bytes in it, too.
"""

import asyncio
import contextlib
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from infra.kafka import MemoryRecords
from infra.postgres import connecting
from infra.redis import open_redis
from infra.settings import Settings
from infra.sql import load_queries
from lab.chaos.erasing.sentinels import LENGTH, MARK, Planted
from lab.chaos.topic import read_topic
from privacy.creators import Sealer
from privacy.holders import HOLDERS
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.dead_letters import decode_dead_letter
from schemas.errors import SealBroken
from schemas.intents import encode_intent
from schemas.topics import DEAD_LETTERS, INTENT_DEAD_LETTERS, JOURNAL
from stores.letters import keys_of
from stores.opened import open_stores
from stores.workflows.sealed import Vault, open_body, open_intent

_SQL: Final = load_queries(Path(__file__).with_name("checks.sql"), table="x")
KEY: Final = "a wrapped key"
OPENED: Final = "what a key opens"
LOG: Final = "log of postgres"
PLACES: Final = frozenset(
    {JOURNAL.name, "kafka", "letters", LOG, "postgres", "valkey", "workflows"}
)
"""Where something is found before: in the others nothing ever is."""
OFFSETS_ONLY: Final = (".index", ".timeindex", ".snapshot")
GROUP: Final = 8
"""Literals behind one control byte of pglz."""
_MARKED: Final = re.compile(b"(?=%b.?%b)" % tuple(re.escape(one.encode()) for one in MARK), re.S)
"""Looked for ahead, so that a letter of the mark before it hides none."""

Found = Mapping[str, set[str]]
"""What was found -> where."""


async def scan(settings: Settings, data: Path, planted: Planted) -> Found:
    """Everything that is found of a fan, wherever it lies. Services must run."""
    look = _Look(planted)
    await asyncio.to_thread(_at_rest, data, look)
    for piece in await _cached(settings):
        look.at("valkey", piece)
    look.at("metrics", await _metrics(settings))
    for piece in await _letters(settings):
        look.at("letters", piece)
    for piece in await _workflows(settings):
        look.at("workflows", piece)
    await _journal(settings, planted, look)
    return look.found


def scan_log(data: Path, planted: Planted) -> Found:
    """The same of Postgres' log alone, which keeps only what was written lately."""
    look = _Look(planted)
    for path in _files(data / "postgres" / "cluster" / "pg_wal"):
        look.at(LOG, path.read_bytes())
    return look.found


def together(one: Found, other: Found) -> Found:
    return {what: one.get(what, set()) | other.get(what, set()) for what in {**one, **other}}


def _at_rest(data: Path, look: "_Look") -> None:
    """What lies in files."""
    for path in _files(data / "postgres" / "cluster"):
        look.at(LOG if path.parent.name == "pg_wal" else "postgres", path.read_bytes())
    for path in _files(data / "logs"):
        look.at("logs", path.read_bytes())
    for path in _files(data / "kafka" / "log"):
        if path.suffix in OFFSETS_ONLY:
            continue
        content = path.read_bytes()
        look.at("kafka", content)
        if path.suffix == ".log":
            for piece in _records(content):
                look.at("kafka", piece)
    for kind in (one.name for one in HOLDERS if one.kind == "folder" and one.name.endswith("-")):
        for folder in Path(tempfile.gettempdir()).glob(f"{kind}*"):
            for path in _files(folder):
                look.at("spilled", path.read_bytes())


class _Look:
    def __init__(self, planted: Planted) -> None:
        self._words = {word.encode(): what for word, what in planted.words.items()}
        self._keys = planted.keys
        self.found: dict[str, set[str]] = defaultdict(set)

    def at(self, place: str, content: bytes) -> None:
        for what in words_in(content, self._words):
            self.found[what].add(place)
        for key in self._keys:
            # Half of it is enough to say that it is there.
            if key[:20] in content or key[-20:] in content:
                self.found[KEY].add(place)

    def opened(self, place: str) -> None:
        self.found[OPENED].add(place)


def words_in(content: bytes, words: Mapping[bytes, str]) -> Iterator[str]:
    """What of these words (all of `LENGTH`, with `MARK`) stands in it, plain or as pglz has it."""
    for match in _MARKED.finditer(content):
        at = match.start()
        window = content[at : at + LENGTH + LENGTH // GROUP + 1]
        for first in range(GROUP + 1):
            plain = _without_controls(window, first)
            if plain in words:
                yield words[plain]
                break


def _without_controls(window: bytes, first: int) -> bytes:
    """The window without a byte before the literal `first`, and every eight behind it; 0: none."""
    if first == 0:
        return window[:LENGTH]
    found, at = bytearray(window[:first]), first
    while len(found) < LENGTH and at < len(window):
        found += window[at + 1 : at + 1 + GROUP]
        at += GROUP + 1
    return bytes(found[:LENGTH])


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _records(segment: bytes) -> Iterator[bytes]:
    """Keys, values and headers of a segment's records, decompressed."""
    batches: Any = MemoryRecords(segment)
    while batches.has_next():
        for record in batches.next_batch():
            yield record.key or b""
            yield record.value or b""
            for _, value in record.headers:
                yield value or b""


async def _cached(settings: Settings) -> list[bytes]:
    redis = open_redis(settings, timeout=10.0)
    found: list[bytes] = []
    try:
        cursor = b"0"
        while True:
            cursor, keys = await redis.call("SCAN", cursor, "COUNT", 1000)
            for key in keys:
                found += [key, await redis.call("DUMP", key) or b""]
            if cursor == b"0":
                return found
    finally:
        await redis.close()


async def _metrics(settings: Settings) -> bytes:
    url = f"http://{settings.api_host}:{settings.api_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()


async def _letters(settings: Settings) -> Iterable[bytes]:
    letters = [
        decode_dead_letter(record.value)
        for topic in (DEAD_LETTERS.name, INTENT_DEAD_LETTERS.name)
        async for record in read_topic(settings, topic)
    ]
    found = []
    async with connecting(settings.postgres_url) as connection:
        keys = await keys_of(connection, Keyring.of(settings), letters)
    for letter in letters:
        try:
            found.append(keys.open(letter) or b"")
        except SealBroken:
            continue  # its key is gone, as it must be
    return found


async def _workflows(settings: Settings) -> list[bytes]:
    """The texts of all workflows, as whoever has the keys reads them."""
    found = []
    async with open_stores(settings) as stores:
        vault = Vault(stores.keyring)
        for row in await stores.pool.fetch(_SQL.texts):
            async with stores.pool.acquire() as connection:
                sealer = await vault.sealer(connection, row["creator_id"], row["subject"])
            if sealer is None:
                continue  # its key is gone, as it must be
            for open_one, sealed in ((_intent, row["intent"]), (_draft, row["body"])):
                with contextlib.suppress(SealBroken):
                    found.append(b"" if sealed is None else open_one(sealer, row, sealed))
    return found


def _intent(sealer: Sealer, row: Any, sealed: bytes) -> bytes:
    return encode_intent(open_intent(sealer, row["workflow"], sealed))


def _draft(sealer: Sealer, row: Any, sealed: bytes) -> bytes:
    return msgspec.json.encode(open_body(sealer, row["workflow"], row["version"], sealed))


async def _journal(settings: Settings, planted: Planted, look: _Look) -> None:
    """Whether a record of the fan's has a key still."""
    async with connecting(settings.postgres_url) as connection:
        known = await Subjects(Keyring.of(settings), 10).lookup(connection, planted.subjects)
    async for record in read_topic(settings, JOURNAL.name):
        if record.key in planted.subjects and record.key in known:
            look.opened(JOURNAL.name)
