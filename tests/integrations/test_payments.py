"""Stripe, Patreon, Ko-fi, Streamlabs: what the samples do not show."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from integrations import kofi, patreon, streamlabs, stripe
from integrations.accepting import accepted
from integrations.converted import Context, Event

CONTEXT = Context(received=1_795_300_000_000)
CHARGE = {"id": "ch_1", "customer": "cus_9", "created": 1_795_199_990, "currency": "usd"}


def sent(name: str, charge: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"type": name, "created": 1_795_200_000, "data": {"object": CHARGE | charge, **data}}


def one(module: Any, payload: Any, **more: Any) -> Event:
    found = module.events(payload, Context(received=CONTEXT.received, **more))
    assert not found.skipped
    (made,) = found.events
    return dict(made)


@pytest.mark.parametrize(
    ("currency", "units", "amount"),
    [("usd", 1999, "19.99"), ("jpy", 5000, "5000"), ("kwd", 5000, "5")],
)
def test_stripe_counts_in_each_currencys_own_units(currency: str, units: int, amount: str) -> None:
    found = one(stripe, sent("charge.succeeded", {"currency": currency, "amount": units}))
    assert (str(found["amount"]), found["currency"]) == (amount, currency.upper())


def test_each_part_that_is_taken_back_is_a_refund_of_its_own() -> None:
    first = sent("charge.refunded", {"amount": 5000, "amount_refunded": 2000})
    second = sent(
        "charge.refunded",
        {"amount": 5000, "amount_refunded": 5000},
        previous_attributes={"amount_refunded": 2000},
    )
    found = [one(stripe, payload) for payload in (first, second)]
    assert [str(event["amount"]) for event in found] == ["20", "30"]
    assert found[0]["eventId"] != found[1]["eventId"]
    assert {event["refersTo"]["eventId"] for event in found} == {"ch_1"}


def test_a_charge_of_an_invoice_is_a_subscriptions() -> None:
    started = {"amount": 999, "invoice": "in_1", "description": "Subscription creation"}
    assert one(stripe, sent("charge.succeeded", started))["metadata"] == {"event": "started"}
    renewed = started | {"description": "Subscription update"}
    found = one(stripe, sent("charge.succeeded", renewed))
    assert (found["type"], found["metadata"]) == ("subscription", {"event": "renewed"})


def test_a_dispute_is_a_chargeback_of_its_charge() -> None:
    dispute = {"id": "dp_1", "charge": {**CHARGE}, "amount": 5000, "currency": "usd"}
    payload = {
        "type": "charge.dispute.funds_withdrawn",
        "created": 1_795_200_000,
        "data": {"object": dispute},
    }
    found = one(stripe, payload)
    assert (found["reason"], found["fanId"]) == ("chargeback", "cus_9")
    assert found["refersTo"] == {"type": "purchase", "eventId": "ch_1"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("invoice.paid", True), ("refund.created", True), ("payment_intent.succeeded", True),
     ("customer.created", True), ("tax.settings.updated", False)],
)  # fmt: skip
def test_what_tells_the_same_money_again_is_left_out(name: str, expected: bool) -> None:
    (skipped,) = stripe.events(sent(name, {"amount": 5000}), CONTEXT).skipped
    assert skipped.expected is expected


def test_a_charge_of_nobody_is_left_out() -> None:
    (skipped,) = stripe.events(sent("charge.succeeded", {"customer": None}), CONTEXT).skipped
    assert skipped == ("names no fan", False)
    guest = {"customer": None, "metadata": {"fanId": "f1", "contentType": "video"}, "amount": 1}
    found = one(stripe, sent("charge.succeeded", guest))
    assert (found["fanId"], found["metadata"]) == ("f1", {"contentType": "video"})


# Patreon.


def member(**attributes: Any) -> dict[str, Any]:
    return {
        "data": {
            "id": "m1",
            "type": "member",
            "attributes": {
                "last_charge_status": "Paid",
                "last_charge_date": "2026-11-08T08:24:05.000+00:00",
                "currently_entitled_amount_cents": 500,
                "campaign_lifetime_support_cents": 500,
                "patron_status": "active_patron",
            }
            | attributes,
            "relationships": {"user": {"data": {"id": "88"}}},
        }
    }


def test_one_charge_told_by_three_webhooks_is_one_event() -> None:
    triggers = ("members:create", "members:pledge:create", "members:update")
    found = [one(patreon, member(), headers={"x-patreon-event": name}) for name in triggers]
    assert found[0] == found[1] == found[2]
    assert found[0]["metadata"] == {"event": "started"}
    later = one(patreon, member(campaign_lifetime_support_cents=1_000))
    assert later["metadata"] == {"event": "renewed"}


def test_a_refund_takes_back_the_charge_that_it_names() -> None:
    paid, back = one(patreon, member()), one(patreon, member(last_charge_status="Fraud"))
    assert back["refersTo"] == {"type": "subscription", "eventId": paid["eventId"]}
    assert back["reason"] == "chargeback"


def test_who_left_is_told_beside_the_last_charge() -> None:
    found = patreon.events(member(patron_status="former_patron"), CONTEXT).events
    assert [event["metadata"]["event"] for event in found] == ["started", "cancelled"]


def test_a_declined_charge_is_no_money() -> None:
    (skipped,) = patreon.events(member(last_charge_status="Declined"), CONTEXT).skipped
    assert skipped.expected


# Ko-fi and Streamlabs.

DONATION = {
    "type": "Donation",
    "timestamp": "2026-11-21T13:04:30Z",
    "email": "Jo@Example.com",
    "amount": "3.00",
    "currency": "EUR",
    "message": "Keep going ❤",
    "kofi_transaction_id": "t1",
    "message_id": "m1",
}


def test_a_form_is_read_and_its_words_are_a_message() -> None:

    body = urlencode({"data": json.dumps(DONATION)}).encode()
    tip, words = kofi.events(kofi.read(body), CONTEXT).events
    again = kofi.events(DONATION | {"message_id": "m2"}, CONTEXT).events
    assert (tip, words) == again, "each delivery has a message_id of its own"
    assert (tip["fanId"], words["content"]) == ("jo@example.com", "Keep going ❤")


@pytest.mark.parametrize(
    ("kind", "type", "metadata"),
    [("Shop Order", "purchase", {"contentType": "shop"}),
     ("Commission", "purchase", {"contentType": "commission"}),
     ("Subscription", "subscription", {"event": "renewed"})],
)  # fmt: skip
def test_each_kind_of_payment_has_its_type(kind: str, type: str, metadata: Any) -> None:
    found = one(kofi, DONATION | {"type": kind, "message": None})
    assert (found["type"], found["metadata"]) == (type, metadata)


def test_who_gives_no_address_can_not_be_remembered() -> None:
    (skipped,) = kofi.events(DONATION | {"email": None}, CONTEXT).skipped
    assert skipped == ("names no fan", False)


def test_alerts_that_are_no_donation_and_tests_are_left_out() -> None:
    for payload in (
        {"type": "follow", "message": [{"name": "Kim"}]},
        {"type": "donation", "message": [{"isTest": True, "name": "Kim"}]},
    ):
        (skipped,) = streamlabs.events(payload, CONTEXT).skipped
        assert skipped.expected


def test_one_bad_donation_takes_no_other_with_it() -> None:
    good = {"id": 1, "name": "Kim", "amount": "5", "currency": "USD"}
    found = streamlabs.events({"type": "donation", "message": [good, {"id": 2}, good]}, CONTEXT)
    assert (len(found.events), len(found.skipped)) == (2, 1)


# Whatever the contract takes of a refund.


def test_a_refund_lowers_revenue_also_where_its_target_is_not_taken() -> None:
    refund = one(stripe, sent("charge.refunded", {"amount": 5000, "amount_refunded": 2000}))
    value, refusal = accepted("c", refund, CONTEXT.received)
    if refusal is not None:
        assert refusal.field == "type", "a contract without refunds"
        return
    given = json.loads(value)
    assert (given["type"], given["amount"]) == ("refund", 20)
    assert given.get("refersTo") in (None, refund["refersTo"])
