"""What a fan has paid lately: who suddenly pays much is a person's to answer."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.seal import open_if_intact
from privacy.subjects import Subject
from schemas.times import DAY_MS, from_datetime
from views.money import dollars

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_spending.sql")

USUAL_DAYS: Final = 30
PAYMENTS_MAX: Final = 1_000
"""The newest that are looked at, likes and views among them."""
PAID: Final = frozenset(("purchase", "tip", "subscription"))
_CENT: Final = Decimal("0.01")


class Paid(NamedTuple):
    """In US dollars, all currencies roughly converted (`schemas.rates`)."""

    last_day: Decimal
    usual_day: Decimal
    """Mean of the 30 days before it."""


async def paid(connection: Connection, subject: Subject, now: datetime) -> Paid:
    """What stands in the history now; what was paid back counts as paid."""
    at = from_datetime(now)
    day_ago = at - DAY_MS
    since = day_ago - USUAL_DAYS * DAY_MS
    rows = await connection.fetch(_QUERIES.payments, subject.id, since, PAYMENTS_MAX)
    last = before = 0.0
    for row in rows:
        entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
        if entry is None or entry.kind not in PAID:
            continue
        if entry.time > day_ago:
            last += dollars(entry)
        else:
            before += dollars(entry)
    return Paid(_cents(last), _cents(before / USUAL_DAYS))


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(_CENT)
