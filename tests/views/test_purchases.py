"""Purchases: every payment once, less what was taken back, and the sum of all is the revenue."""

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from schemas.details import Details, Reference, Subscription
from schemas.journal import JournalEntry
from tests.views.corrected import delete, logs, refund
from tests.views.interactions import NOON, message, purchase, tip
from views import engagement
from views.corrections import as_corrected
from views.purchases import PaidFor, Payment, purchases
from views.state import fold


def listed(log: list[JournalEntry], limit: int = 200) -> list[Payment]:
    """All pages."""
    found: list[Payment] = []
    before = None
    while True:
        page = purchases(list(enumerate(log)), before, limit)
        assert len(page.payments) <= limit
        found += page.payments
        if page.end is None:
            return found
        before = page.end


def told(log: list[JournalEntry]) -> list[tuple[str, str, float, float, float]]:
    return [(one.id, one.type, one.amount, one.refunded, one.net) for one in listed(log)]


def paid(event_id: str, time: int, amount: int, **details: Any) -> JournalEntry:
    entry = JournalEntry(event_id, "purchase", time, amount=amount)
    return msgspec.structs.replace(entry, details=Details(**details)) if details else entry


def test_payments_are_told_newest_first_with_what_they_were_for() -> None:
    log = [
        paid("p2", NOON + 2, 1_500, refers_to=Reference("m1", "message"), currency="EUR"),
        message(NOON + 5),
        tip(NOON + 3, 250),
        purchase(NOON + 1, 2_000, "video"),
        JournalEntry(
            "s",
            "subscription",
            NOON,
            amount=999,
            details=Details(subscription=Subscription("renewed")),
        ),
        JournalEntry(
            "c", "subscription", NOON, details=Details(subscription=Subscription("cancelled"))
        ),
    ]
    assert told(log) == [
        ("t", "tip", 2.5, 0, 2.5),
        ("p2", "purchase", 15, 0, 15),
        ("p", "purchase", 20, 0, 20),
        ("s", "subscription", 9.99, 0, 9.99),
    ]
    _, second, third, last = listed(log)
    assert (second.currency, second.refers_to) == ("EUR", PaidFor("m1", "message"))
    assert third.content_type == "video"
    assert last.subscription == "renewed"


def test_refunds_stand_with_their_payment_and_what_is_beyond_by_itself() -> None:
    log = [
        purchase(NOON, 2_000),
        refund("p", 500, event_id="r1", time=NOON + 1),
        refund("p", 2_000, event_id="r2", time=NOON + 2),
        refund("unknown", 100, event_id="r3", time=NOON + 3),
    ]
    assert told(log) == [
        ("r3", "refund", 1, 0, -1),
        ("r2", "refund", 20, 0, -5),
        ("p", "purchase", 20, 20, 0),
    ]
    refunds = listed(log)[-1].refunds
    assert [(one.id, one.amount) for one in refunds] == [("r1", 5), ("r2", 15)]


def test_what_was_deleted_was_never_paid_or_taken_back() -> None:
    bought, back = purchase(NOON, 2_000), refund("p", 2_000, event_id="r")
    assert told([bought, back, delete("r", "refund")]) == [("p", "purchase", 20, 0, 20)]
    assert told([bought, back, delete("p", "purchase")]) == []


@given(logs(), st.sampled_from((1, 2, 200)))
def test_the_sum_of_all_is_the_revenue_currency_by_currency(
    log: list[JournalEntry], limit: int
) -> None:
    state = None
    for at, entry in as_corrected(list(enumerate(log))):
        state = fold(state, entry, at)
    found = listed(log, limit)
    times = [one.timestamp for one in found]
    assert times == sorted(times, reverse=True)
    sums: dict[str, float] = defaultdict(float)
    for one in found:
        sums[one.currency] += one.net
        if one.type != "refund":
            assert one.net == approx(one.amount - one.refunded)
            assert sum(part.amount for part in one.refunds) == approx(one.refunded)
    if state is None:
        assert found == []
        return
    metrics = state.engagement
    right = {"USD": engagement.revenue(metrics, "USD")}
    right |= engagement.revenue_by_currency(metrics, "USD") or {}
    assert {code: approx(sum_) for code, sum_ in right.items() if sum_} == {
        code: sum_ for code, sum_ in sums.items() if abs(sum_) > 1e-6
    }
