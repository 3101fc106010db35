"""The checks: what must be true after the faults, each against something independent of it.

The emitted events are the reference: the topic, the counters, the dead letters, the totals per fan,
a fresh fold of the journal, the cache and the updates are held against them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from admin.accounting import Account
from admin.verify import verify
from infra.settings import Settings
from lab.chaos.emitter import Emitter
from lab.chaos.fans import Row, read_fans
from lab.chaos.reader import ALLOWED, STALE_SECONDS_MAX, Reader
from lab.chaos.topic import read_topic
from lab.load import REPEATED, Event, Totals, totals
from schemas.dead_letters import CONFLICT_REASON, decode_dead_letter, reason_class
from schemas.positions import parse_position
from schemas.relationship import Relationship
from schemas.topics import DEAD_LETTERS, MEMORY_UPDATES
from schemas.updates import decode_update
from views.state import decode

SQL: Final = Path(__file__).with_name("checks.sql")
EXAMPLES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true, and what was seen."""

    name: str
    passed: bool
    saw: str


async def check_all(
    settings: Settings,
    emitter: Emitter,
    reader: Reader,
    emitted: Sequence[Event],
    account: Account,
    untold: Mapping[Relationship, int] = MappingProxyType({}),
    went_back: bool = False,
) -> list[Check]:
    """All of them; the system must be drained and quiet.

    `untold` are the fans, with their version then, whose last update was deleted with its topic.
    `went_back` says that a log or the database did (`lab.chaos.fault.Excused`).
    """
    fans = await read_fans(settings)
    return [
        await _check_topic(emitter, emitted),
        *check_account(emitted, account, went_back),
        *await _check_dead_letters(settings, emitted, account, went_back),
        check_totals(fans, totals(emitted)),
        await _check_verify(settings),
        await _check_updates(settings, fans, untold, went_back),
        *_check_reads(reader),
    ]


async def _check_topic(emitter: Emitter, emitted: Sequence[Event]) -> Check:
    difference = await emitter.account()
    return Check(
        "what was emitted is in the topic, once, in order",
        difference is None,
        difference or f"{len(emitted):,} records",
    )


def check_account(
    emitted: Sequence[Event], account: Account, went_back: bool = False
) -> list[Check]:
    """The counters of the commits, against what was emitted.

    Where something went back, a record that comes again is counted as a repeat or as a duplicate,
    and one whose fan was lost with the database as forgotten besides: of these only what must at
    least be there is known. What was read and what was applied stay exact.
    """

    def counted(*natures: str) -> int:
        return sum(event.nature in natures for event in emitted)

    exact = [
        Check(
            "accepted + dead letters = emitted",
            account.read == len(emitted),
            f"{account.accepted:,} + {account.dead_letters:,} of {len(emitted):,}",
        ),
        _equal("applied = fresh and late ones", account.applied, counted("fresh", "late")),
        _equal("dead letters = bad ones", account.dead_letters, counted("bad")),
        _equal("nothing quarantined", account.quarantined, 0),
    ]
    if went_back:
        again = counted(*REPEATED)
        known = account.duplicates + account.conflicts + account.repeats
        return [
            *exact,
            Check("recognised = emitted again", known >= again, f"{known:,}, at least {again:,}"),
        ]
    return [
        Check(
            "accepted = applied + duplicates + conflicts + forgotten + quarantined",
            account.accepted == account.folded,
            f"{account.accepted:,} = {account.applied:,} + {account.duplicates:,} +"
            f" {account.conflicts:,} + {account.forgotten:,} + {account.quarantined:,}"
            f" ({account.repeats:,} repeats by ingest not counted)",
        ),
        *exact,
        _equal("duplicates = emitted again", account.duplicates, counted("duplicate")),
        _equal("conflicts = emitted with a known id", account.conflicts, counted("conflict")),
        _equal("nothing forgotten", account.forgotten, 0),
    ]


def _equal(name: str, saw: int, wanted: int) -> Check:
    return Check(name, saw == wanted, f"{saw:,}" if saw == wanted else f"{saw:,}, not {wanted:,}")


async def _check_dead_letters(
    settings: Settings, emitted: Sequence[Event], account: Account, went_back: bool
) -> list[Check]:
    # A place whose record was lost may have another one since: the time tells refusals apart, and
    # what is in it conflicts, since one that is read again has the time of that.
    refused, conflicts, contents = set(), set(), set()
    reasons: Counter[str] = Counter()
    async for record in read_topic(settings, DEAD_LETTERS.name):
        letter = decode_dead_letter(record.value)
        if letter.reason == CONFLICT_REASON:
            conflicts.add(letter.source)
            contents.add(letter.digest)
        else:
            refused.add((record.key, letter.refused_at))
            reasons[reason_class(letter.field, letter.reason)] += 1
    wanted = [event.value for event in emitted if event.nature == "conflict"]
    found = len(contents) if went_back else len(conflicts)
    expected = len(set(wanted)) if went_back else len(wanted)
    why = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(reasons.items()))
    return [
        Check(
            "distinct dead letters in the topic",
            len(refused) == account.dead_letters,
            f"{len(refused):,} of {account.dead_letters:,} ({why})",
        ),
        Check(
            "every conflict has a letter",
            found == expected,
            f"{found:,} of {expected:,}{' contents' if went_back else ''}",
        ),
    ]


def check_totals(fans: Mapping[Relationship, Row], wanted: Mapping[Relationship, Totals]) -> Check:
    """Each fan's counts and revenue, against plain sums over what was emitted."""
    seen = {}
    for who, row in fans.items():
        sums = decode(row.state).engagement
        seen[who] = Totals(sums.interactions, sums.messages, sums.purchases, sums.revenue)
    wrong = [who for who in seen.keys() | wanted.keys() if seen.get(who) != wanted.get(who)]
    saw = f"{len(wanted):,} fans, {sum(one.revenue for one in wanted.values()) / 100:,.2f} revenue"
    if wrong:
        examples = [(who, seen.get(who), wanted.get(who)) for who in sorted(wrong)[:EXAMPLES_MAX]]
        saw = f"{len(wrong):,} fans differ: {examples}"
    return Check("counts and revenue of every fan, from what was emitted", not wrong, saw)


async def _check_verify(settings: Settings) -> Check:
    report = await verify(settings)
    saw = (
        f"{report.found:,} differences in {report.fans:,} fans, {report.events:,} history rows,"
        f" {report.cached:,} cached fans"
    )
    examples = [
        f"{one.where} {one.field} (expected {one.expected}, found {one.actual})"
        for one in report.differences[:EXAMPLES_MAX]
    ]
    return Check(
        "`fanmemory verify`: everything equals a fresh fold of the journal",
        report.found == 0 and report.fans > 0 and report.cached > 0,
        f"{saw}: {', '.join(examples)}" if examples else saw,
    )


def _check_reads(reader: Reader) -> list[Check]:
    wrong = sum(count for status, count in reader.statuses.items() if status not in ALLOWED)
    seen = ", ".join(f"{status}: {count:,}" for status, count in sorted(reader.statuses.items()))
    return [
        Check("contexts were read all the while", reader.statuses[200] > 0 and not wrong, seen),
        _equal("contexts that went backwards", reader.went_back, 0),
        _equal("contexts with other messages than they count", reader.torn, 0),
        Check(
            f"contexts at most {STALE_SECONDS_MAX:.0f} s behind the database",
            reader.held > 0 and not reader.stale,
            f"{reader.stale:,} of {reader.held:,} were older",
        ),
    ]


async def _check_updates(
    settings: Settings,
    fans: Mapping[Relationship, Row],
    untold: Mapping[Relationship, int],
    went_back: bool,
) -> Check:
    told: dict[Relationship, set[int]] = {}
    async for record in read_topic(settings, MEMORY_UPDATES.name):
        update = decode_update(record.value)
        version = parse_position(update.version).offset + 1
        told.setdefault((update.creator_id, update.fan_id), set()).add(version)

    def was_told(who: Relationship, version: int) -> bool:
        versions = told.get(who, set())
        return version in versions and (went_back or version == max(versions))

    wrong = sum(
        not was_told(who, row.version) and untold.get(who) != row.version
        for who, row in fans.items()
    )
    return Check(
        "the last move of every fan was told",
        not wrong,
        f"{wrong:,} fans were not told of" if wrong else f"{len(told):,} fans",
    )
