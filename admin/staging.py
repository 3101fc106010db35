"""Events of files, judged together and put into the order of time before any of them is published.

Exports come newest first, or one conversation after another. Folded in that order, every answer
would look like no answer. So an import is staged whole, in a file of SQLite's (memory is bounded
by one event), and published by time. What each event has been given, its `eventId`, makes the
import harmless to repeat; how far it got is remembered in a file beside the data, so that one that
was interrupted goes on from there.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Literal, Self

from admin.judging import Refusal, reason_of
from infra.clock import now_ms
from infra.sql import load_queries
from schemas.errors import InvalidInput
from schemas.events import Interaction, parse_interaction
from stores.conflicts import differs

_SQL: Final = load_queries(Path(__file__).parent / "sql" / "staging.sql")

PAID: Final = {"purchase": 1, "tip": 1, "subscription": 1, "refund": -1}
"""What moves revenue, and which way."""


Identity = tuple[str, str, str, str]
"""Creator, fan, type and `eventId`."""
Verdict = Literal["accepted", "repeated", "conflict"]
"""Of a well-formed event: the first of its identity, the same once more, or another one."""


@dataclass(slots=True)
class Staged:
    """What the files hold."""

    accepted: int = 0
    """Events, each identity once."""
    without_id: int = 0
    """Accepted ones without an `eventId`: sent again, each of them counts again."""
    repeated: int = 0
    """Given again."""
    conflicts: int = 0
    """Events under an identity that stands for another one: published too, so that ingest keeps
    them as dead letters."""
    refused: Counter[Refusal] = field(default_factory=Counter)
    fans: int = 0
    money: dict[str, Decimal] = field(default_factory=dict)
    """Per currency, refunds taken off, in major units."""
    first: int | None = None
    """Time of the oldest event, ms."""
    last: int | None = None


class Staging:
    """A place for the events of some files; gone when it is left."""

    def __init__(self, currency: str, *, ids_needed: bool = True) -> None:
        """`currency` is that of amounts that name none. An event without an `eventId` is refused
        where `ids_needed`, else it is an event of its own."""
        self._currency = currency
        self._ids_needed = ids_needed
        self._folder = TemporaryDirectory(prefix="fanmemory-import-")
        self._file = sqlite3.connect(Path(self._folder.name) / "events")
        self._staged = Staged()
        self._digest = blake2b(digest_size=16)
        self._file.execute(_SQL.create)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._folder.cleanup()

    def add(self, value: bytes) -> Verdict | Refusal:
        """Judge one InteractionEvent as ingest will, and keep it unless it is refused."""
        try:
            event = parse_interaction(value, now_ms(), self._currency)
            if event.event_id is None and self._ids_needed:
                raise InvalidInput("eventId", "is required in an import")
        except InvalidInput as error:
            refusal = reason_of(error)
            self._staged.refused[refusal] += 1
            return refusal
        verdict = self._kept(event, value)
        if verdict == "repeated":
            self._staged.repeated += 1
        else:
            self._digest.update(value)
            self._count_money(self._staged.money, value, 1)
        return verdict

    def _kept(self, event: Interaction, value: bytes) -> Verdict:
        event_id = event.event_id
        if event_id is None:
            self._staged.without_id += 1
            event_id = f"\0{self._staged.without_id}"  # which no producer may write
        identity = (event.creator_id, event.fan_id, event.kind, event_id)
        if self._add(identity, b"", event.time, value):
            return "accepted"
        (first,) = self._file.execute(_SQL.first, identity).fetchone()
        other = blake2b(value, digest_size=16).digest()
        if differs(parse_interaction(first, now_ms(), self._currency), event) and self._add(
            identity, other, event.time, value
        ):
            return "conflict"
        return "repeated"

    def _add(self, identity: Identity, other: bytes, time: int, value: bytes) -> bool:
        return self._file.execute(_SQL.add, (*identity, other, time, value)).rowcount == 1

    def fan_with(self, event_id: str, kind: str) -> str | None:
        """The one fan who has this event here; None when nobody has, or several have."""
        self._file.execute(_SQL.index)
        found = self._file.execute(_SQL.fans_with, (kind, event_id)).fetchall()
        return found[0][0] if len(found) == 1 else None

    def _count_money(self, money: dict[str, Decimal], value: bytes, times: int) -> None:
        given: dict[str, Any] = json.loads(value, parse_float=Decimal, parse_int=Decimal)
        sign, amount = PAID.get(given["type"], 0), given.get("amount")
        if sign and amount:
            currency = given.get("currency") or self._currency
            money[currency] = money.get(currency, Decimal(0)) + times * sign * amount

    def told(self) -> Staged:
        """What there is by now."""
        (fans,) = self._file.execute(_SQL.fans).fetchone()
        accepted, conflicts, first, last = self._file.execute(_SQL.span).fetchone()
        money = dict(self._staged.money)
        if conflicts:
            for (value,) in self._file.execute(_SQL.conflicting):
                self._count_money(money, value, -1)
        return replace(
            self._staged,
            accepted=accepted,
            conflicts=conflicts,
            fans=fans,
            money=money,
            first=first,
            last=last,
        )

    @property
    def digest(self) -> str:
        """Of all that was accepted, in the order it came: the name of this import."""
        return self._digest.hexdigest()

    def values(self, after: int) -> Iterator[bytes]:
        """Everything by time, without the first `after`."""
        for (value,) in self._file.execute(_SQL.in_order, (after,)):
            yield value


class Progress:
    """How many of an import's events the broker has, in a file."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._path = folder / f"{digest}.json"

    @property
    def sent(self) -> int:
        """0 when nothing is known."""
        try:
            return int(json.loads(self._path.read_text())["sent"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def advance(self, count: int) -> None:
        """So many more; called once they are acknowledged."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"sent": self.sent + count}))
        fresh.replace(self._path)

    def forget(self) -> None:
        """The import is done."""
        self._path.unlink(missing_ok=True)
