"""The checks of an erasing run: what must be true when all is quiet.

The topic `interactions` is the reference, read as plain JSON: whom it names behind their last order
must be remembered, and nobody else of those who were erased.
"""

from collections import Counter
from pathlib import Path
from typing import Any, Final

from admin.accounting import Account
from admin.verify import verify
from infra.postgres import Connection, connecting
from infra.settings import Settings
from infra.sql import load_queries
from lab.chaos.checks import Check, check_totals
from lab.chaos.erasing.client import AWAY, Client
from lab.chaos.erasing.log import Left, left_by
from lab.chaos.erasing.plan import API_POINTS, INGEST_POINTS, Amounts
from lab.chaos.erasing.rounds import RECOVERED_SECONDS_MAX, Rounds
from lab.chaos.erasing.scan import KEY, OPENED, PLACES, Found
from lab.chaos.erasing.sentinels import Planted
from lab.chaos.fans import read_fans
from lab.chaos.topic import read_topic
from lab.load import Event, totals
from privacy.control import is_control
from schemas.erased import decode_erased
from schemas.journal import decode_record
from schemas.random_ids import id_text
from schemas.receipts import Receipt
from schemas.relationship import Relationship
from schemas.topics import ERASURES, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from schemas.updates import decode_update
from stores.opened import open_stores

SQL: Final = Path(__file__).with_name("checks.sql")
FINE: Final = frozenset({200, 202, 404})
HISTORY_MAX: Final = 1_000
EXAMPLES_MAX: Final = 4


async def check_all(
    settings: Settings,
    sent: list[Event],
    rounds: Rounds,
    amounts: Amounts,
    client: Client,
    account: Account,
) -> list[Check]:
    """All of them; the system must be drained and quiet."""
    records = [record async for record in read_topic(settings, INTERACTIONS.name)]
    records.sort(key=lambda one: (one.partition, one.offset))
    left = left_by(((is_control(one.headers), one.value) for one in records), rounds.erased)
    fans = await read_fans(settings)
    stay = {who: row for who, row in fans.items() if who not in rounds.erased}
    stayed = [event for event in sent if event.relationship not in rounds.erased]
    report = await verify(settings, processes=1)
    async with connecting(settings.postgres_url) as connection:
        return [
            check_topic(records, sent),
            *await _check_account(settings, sent, left, account),
            check_totals(stay, totals(stayed)),
            _of(
                "`fanmemory verify`: everything equals a fresh fold of the journal",
                report.found == 0 and report.fans > 0,
                f"{report.found:,} differences in {report.fans:,} fans"
                f" {list(report.differences[:EXAMPLES_MAX]) or ''}".rstrip(),
            ),
            await _check_remembered(settings, left, client),
            _none("answers with anything of before a completed erasure", rounds.resurrected),
            *await _check_residue(connection),
            *await _check_erasures(connection, settings, left, rounds.accepted),
            await _check_told(settings, left),
            check_answers(client),
            *check_faults(rounds.done, rounds.recovery_seconds, amounts),
        ]


def _of(name: str, passed: bool, saw: str) -> Check:
    return Check(name, passed, saw)


def _none(name: str, count: int) -> Check:
    return Check(f"no {name}", count == 0, f"{count:,}")


def check_topic(records: list[Any], sent: list[Event]) -> Check:
    """What was sent is in the topic, once, in any order of fans, and nothing else but orders."""
    held = Counter(one.value for one in records if not is_control(one.headers))
    wanted = Counter(event.value for event in sent)
    return _of(
        "what was sent is in the topic, once",
        held == wanted,
        f"{held.total():,} events, {len(records) - held.total():,} orders",
    )


async def _check_account(
    settings: Settings, sent: list[Event], left: Left, account: Account
) -> list[Check]:
    """The counters of the commits, against what was sent and ordered, and what the journal has.

    A worker that dies between the journal and its commit leaves copies there, which its successor
    writes again. Of somebody who was erased meanwhile, projection can't tell such a copy from an
    event: so what was folded is held against all that the journal has, and what was accepted
    against the places in `interactions` that it names.
    """
    written, places = 0, set()
    async for record in read_topic(settings, JOURNAL.name):
        frame = decode_record(record.value)
        written += 1
        places.add((frame.source_partition, frame.source_offset))
    bad = sum(event.nature == "bad" for event in sent)
    return [
        _of(
            "sent = accepted + dead letters + control",
            account.read == left.records and account.suppressed == 0,
            f"{account.accepted:,} + {account.dead_letters:,} + {account.control:,}"
            f" of {left.records:,}",
        ),
        _of("control = orders in the topic", account.control == left.orders, f"{left.orders:,}"),
        _of("dead letters = bad ones", account.dead_letters == bad, f"{bad:,}"),
        _of(
            "accepted = places that the journal names",
            account.accepted == len(places),
            f"{account.accepted:,} of {len(places):,}",
        ),
        _of(
            "applied + duplicates + conflicts + forgotten + repeats = what the journal has",
            account.folded + account.repeats == written and account.quarantined == 0,
            f"{account.applied:,} + {account.duplicates:,} + {account.conflicts:,} +"
            f" {account.forgotten:,} + {account.repeats:,} of {written:,}",
        ),
    ]


async def _check_remembered(settings: Settings, left: Left, client: Client) -> Check:
    """Of those who were erased what is behind their last order, in history and over HTTP."""
    wrong: list[Relationship] = []
    async with open_stores(settings) as stores:
        for who, wanted in left.events.items():
            held = await stores.store.history(*who, HISTORY_MAX)
            shown = await client.context(who)
            count = shown["personalityProfile"]["interactionCount"] if shown else 0
            same = sorted(entry.event_id for _, entry in held) == sorted(wanted)
            if not same or count != len(wanted):
                wrong.append(who)
    back = sum(bool(events) for events in left.events.values())
    return _of(
        "who came back is remembered from then on, and nobody else",
        not wrong,
        f"{len(wrong):,} differ of {len(left.events):,} fans, {back:,} of whom came back",
    )


async def _check_residue(connection: Connection) -> list[Check]:
    queries = load_queries(SQL, table="x")
    tables = [row["name"] for row in await connection.fetch(queries.tables)]
    found = {}
    for table in tables:
        count = await connection.fetchval(load_queries(SQL, table=table).residue)
        if count:
            found[table] = count
    return [
        _of("no row of anybody who was erased", not found, f"{found or 0} in {len(tables)} tables"),
        _none("erased subjects that stand for somebody", await connection.fetchval(queries.risen)),
    ]


async def _check_erasures(
    connection: Connection, settings: Settings, left: Left, accepted: set[str]
) -> list[Check]:
    queries = load_queries(SQL, table="x")
    rows = {id_text(r["erasure"]): r["done"] for r in await connection.fetch(queries.erasures)}
    erased = {id_text(row["subject"]) for row in await connection.fetch(queries.erased)}
    noted = {decode_erased(one.value).subject async for one in read_topic(settings, ERASURES.name)}
    return [
        _of(
            "every erasure is complete, also those that were not answered",
            all(rows.values()) and accepted <= rows.keys() and left.ordered == rows.keys(),
            f"{sum(rows.values()):,} of {len(rows):,}; {len(accepted):,} were answered",
        ),
        _of("the ledger has all who were erased", noted == erased, f"{len(noted):,} subjects"),
    ]


async def _check_told(settings: Settings, left: Left) -> Check:
    told = set()
    async for record in read_topic(settings, MEMORY_UPDATES.name):
        update = decode_update(record.value)
        if update.erased is True:
            told.add((update.creator_id, update.fan_id))
    lacking = left.events.keys() - told
    return _of("every erasure of somebody was told", not lacking, f"{len(told):,} fans")


def check_scans(planted: Planted, before: Found, after: Found) -> list[Check]:
    """A scanner that has not found everything before proves nothing by finding nothing after."""
    wanted = {*planted.words.values(), KEY, OPENED}
    places = {place for where in before.values() for place in where}
    unseen = sorted((wanted - before.keys()) | (PLACES - places))
    left = ", ".join(f"{what} in {', '.join(sorted(where))}" for what, where in after.items())
    return [
        _of(
            "the scanner finds everything that was said of a fan, and the key",
            not unseen,
            f"{len(wanted)} in {', '.join(sorted(places))} {unseen or ''}".rstrip(),
        ),
        _of("and nothing of it once the fan is erased", not after, left or "nothing"),
    ]


def check_receipt(receipt: Receipt) -> Check:
    """What the scanner has found to be gone is what the receipt says."""
    found = [one.name for one in receipt.emptied if one.found]
    files = {one.name: one.form for one in receipt.remains if one.kind == "folder"}
    said = ", ".join(f"{name}: {form}" for name, form in files.items())
    gone = files and set(files.values()) == {"sealed, its key is gone"}
    return _of("the receipt says so, too", bool(gone and not found), f"{found or ''}{said}")


def check_answers(client: Client) -> Check:
    """Nothing but what was asked for, and that something is away."""
    wrong = {what: count for what, count in client.statuses.items() if what[1] not in FINE | AWAY}
    seen = Counter[int]()
    for (_, status), count in client.statuses.items():
        seen[status] += count
    saw = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.items()))
    return _of("answers were what they may be", not wrong, f"{saw} {wrong or ''}".strip())


def check_faults(done: Counter[str], recovery_seconds: float, amounts: Amounts) -> list[Check]:
    """A run that has not injected what it promised proves nothing."""
    least: dict[str, int] = {"rounds": amounts.rounds}
    least |= dict.fromkeys((*API_POINTS, *INGEST_POINTS), amounts.crashes)
    for killed in (amounts.kills, amounts.services):
        least |= {f"{name} killed": count for name, count in killed.items()}
    if "postgres" in amounts.services:
        least["clear refused without postgres"] = amounts.services["postgres"]
    found = [
        _of(
            f"injected and seen: {name}",
            done[name] >= n,
            f"{done[name]} (at least {n})",
        )
        for name, n in least.items()
        if n
    ]
    if amounts.services:
        found.append(
            _of(
                f"what was accepted is complete {RECOVERED_SECONDS_MAX:.0f} s after a recovery",
                recovery_seconds <= RECOVERED_SECONDS_MAX,
                f"{recovery_seconds:.1f} s at most",
            )
        )
    return found
