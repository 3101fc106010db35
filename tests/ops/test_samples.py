"""What platforms really send, through a running system into the fans' contexts.

The numbers stand here as a person reads them off the payloads, before anything was converted. Not
everybody has the samples; without them there is nothing to send.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import pytest

from infra.postgres import connecting
from privacy.keys import Keyring
from stores import connections
from stores.connections import Ways
from tests.cli import Running
from tests.integrations.test_samples import MAPPING, SAMPLES

pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not here")

SECRET = base64.b64encode(b"the secret of these connections").decode()
TOLD = "is told by its own webhook, which counts here"


def own(**payload: Any) -> bytes:
    """A payload of ours, where the samples lack what makes another one mean something."""
    return json.dumps(payload).encode()


ANSWERED = own(
    event="messages.sent",
    payload={
        "id": 10408879870964,
        "text": "<p>tomorrow!</p>",
        "createdAt": "2026-11-20T18:35:45+00:00",
        "toUser": {"id": 1000003},
    },
)
"""17 seconds before the fan's photo."""
PLEDGED = own(
    data={
        "id": "6e8d5b84",
        "type": "member",
        "attributes": {
            "currently_entitled_amount_cents": 100,
            "last_charge_date": "2026-11-08T08:24:05.000+00:00",
            "last_charge_status": "Paid",
            "patron_status": "active_patron",
        },
        "relationships": {"user": {"data": {"id": "88555402"}}},
    }
)
"""What the sample says was refunded."""

DELIVERIES: dict[str, list[tuple[bytes | str, int, list[str]]]] = {
    # payload, events, what else it holds and why that is none
    "onlyfans": [
        ("of_message_received", 1, []),
        (ANSWERED, 1, []),
        ("of_message_media_only", 1, []),
        ("of_message_giphy", 1, []),
        ("of_message_with_tip", 1, []),
        ("of_tip_received", 1, []),
        ("of_tip_received", 1, []),
        ("of_transaction_new", 0, [TOLD]),
        ("of_ppv_sent", 1, []),
        ("of_ppv_unlocked", 1, []),
        ("of_chargeback", 1, []),
        ("of_message_deleted", 1, []),
    ],
    "stripe": [
        ("stripe_charge", 1, []),
        ("stripe_charge_again", 1, []),
        ("stripe_refund", 1, []),
    ],
    "patreon": [(PLEDGED, 1, []), ("patreon_member", 1, [])],
    "kofi": [("kofi", 1, []), ("kofi", 1, [])],
    "streamlabs": [("streamlabs_donation", 2, []), ("streamlabs_donation", 2, [])],
    "instagram": [("instagram_webhook", 1, [])],
    "generic": [
        ("streamerbot_chat", 1, []),
        ("whop_payment", 1, []),
        ("youtube_superchat", 1, []),
        ("twitch_cheer", 0, ["has nothing where the mapping looks for fanId"]),
    ],
}
UNREAD = 1
"""Who cheered, nobody says: that delivery is kept."""


ARRIVED = "when it arrived"
"""The donation names no time, so it has that of its first delivery."""


class Fan(NamedTuple):
    platform: str
    fan: str
    messages: int
    dollars: float
    others: dict[str, float] | None
    response_seconds: float | None
    last: str | None


FANS = [
    # 25 for the locked message, 25 tipped, 25 charged back; the blast at 20:00 is no answer. One of
    # six messages was deleted.
    Fan("onlyfans", "1000003", 5, 25, None, 17, "2026-11-20T20:49:00.000Z"),
    # 5,000 yen, told twice, less 2,000 a day later, which is nobody's act.
    Fan("stripe", "cus_9", 0, 0, {"JPY": 3000}, None, "2026-11-20T18:39:50.000Z"),
    # A renewal and its refund, which are nobody's acts either.
    Fan("patreon", "88555402", 0, 0, {"EUR": 0}, None, None),
    Fan("kofi", "jo@example.com", 0, 0, {"EUR": 3}, None, "2026-11-21T13:04:30.000Z"),
    Fan("streamlabs", "Kim", 1, 13.37, None, None, ARRIVED),
    Fan("instagram", "1784140512345678", 1, 0, None, None, "2026-11-20T12:00:00.123Z"),
    Fan("generic", "695682330", 1, 0, None, None, "2026-11-21T02:32:04.458Z"),
    Fan("generic", "user_6", 0, 2, None, None, "2026-11-20T21:24:44.000Z"),
    Fan("generic", "UC" + "x" * 22, 0, 0, {"IDR": 5}, None, "2026-11-21T14:00:30.645Z"),
    # Exports. A call is left out, and so is what an edited text was before.
    Fan("telegram", "6412345678", 2, 0, None, None, "2026-11-20T12:00:05.000Z"),
    Fan("instagram-export", "Jo", 2, 0, None, None, "2026-11-20T11:59:50.123Z"),
]


def body_of(platform: str, payload: bytes | str) -> bytes:
    if isinstance(payload, bytes):
        return payload
    body = (SAMPLES / f"{payload}.json").read_bytes()
    if platform == "kofi":
        data = json.loads(body) | {"verification_token": SECRET}
        return urlencode({"data": json.dumps(data)}).encode()
    return body


def signed(platform: str, body: bytes) -> dict[str, str]:
    """As each platform signs."""
    stamp = str(int(time.time()))
    timed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()

    def plain(digest: str) -> str:
        return hmac.new(SECRET.encode(), body, digest).hexdigest()

    match platform:
        case "onlyfans":
            return {"Signature": plain("sha256")}
        case "stripe":
            return {"Stripe-Signature": f"t={stamp},v1={timed}"}
        case "patreon":
            return {"X-Patreon-Signature": plain("md5"), "X-Patreon-Event": "members:update"}
        case "instagram":
            return {"X-Hub-Signature-256": f"sha256={plain('sha256')}"}
        case "kofi":
            return {"Content-Type": "application/x-www-form-urlencoded"}
    return {"X-Fanmemory-Signature": f"t={stamp},v1={timed}"}


async def connect(running: Running, platform: str) -> str:
    settings = running.pipeline.settings
    ways = Ways(
        SECRET,
        currency="EUR" if platform == "patreon" else None,
        mapping=MAPPING if platform == "generic" else None,
    )
    async with connecting(settings.postgres_url) as db:
        id = await connections.add(db, Keyring.of(settings), platform, f"samples-{platform}", ways)
    return f"/api/webhooks/{platform}/{id}"


@pytest.fixture(scope="module")
async def delivered(demonstrated: Running) -> AsyncIterator[Running]:
    """Everything delivered and imported, and in the views."""
    async with aiohttp.ClientSession(demonstrated.api_url) as session:
        for platform, deliveries in DELIVERIES.items():
            path = await connect(demonstrated, platform)
            for payload, events, left_out in deliveries:
                if payload == "of_message_deleted":
                    await demonstrated.drained()  # it names the message, and not its fan
                body = body_of(platform, payload)
                headers = signed(platform, body)
                async with session.post(path, data=body, headers=headers) as answer:
                    told = await answer.json()
                    assert (answer.status, told.get("accepted"), told.get("leftOut")) == (
                        200,
                        events,
                        left_out,
                    ), (platform, payload, told)
    for platform, name, reason in (
        ("telegram", "telegram_result", "is no message of anybody's"),
        ("instagram", "instagram_message_1", "its last text counts"),
    ):
        creator = "samples-" + (platform if platform == "telegram" else "instagram-export")
        told = demonstrated.json(
            *("import", "--from", platform, "--creator", creator, str(SAMPLES / f"{name}.json"))
        )
        assert (told["accepted"], told["refused"]) == (2, [])
        (left_out,) = told["leftOut"]
        assert (left_out["count"], left_out["expected"]) == (1, True)
        assert reason in left_out["reason"]
    await demonstrated.drained()
    yield demonstrated


@pytest.mark.parametrize("expected", FANS, ids=lambda one: f"{one.platform}-{one.fan}")
async def test_what_a_platform_sends_is_what_is_remembered(
    delivered: Running, expected: Fan
) -> None:
    context = await delivered.context(f"samples-{expected.platform}", expected.fan)
    assert context is not None
    metrics = context.engagement_metrics
    assert metrics.total_messages == expected.messages
    assert metrics.total_revenue == expected.dollars
    others = metrics.revenue_by_currency or {}
    assert {name: n for name, n in others.items() if n} == {
        name: n for name, n in (expected.others or {}).items() if n
    }
    assert metrics.avg_response_time_seconds == expected.response_seconds
    if expected.last != ARRIVED:
        assert metrics.last_interaction == expected.last
    else:
        assert metrics.last_interaction == metrics.created_at > "2026-11-22"


async def test_what_nobody_could_read_is_kept_with_its_reason(delivered: Running) -> None:
    told = delivered.json("dlq", "--newest", "10000", "--reason", "delivery", "--open")
    kept = [json.loads(one["value"]) for one in told["deadLetters"]]
    of_these = [one for one in kept if one["creatorId"].startswith("samples-")]
    assert len(of_these) == UNREAD
    assert {(one["platform"], one["reason"]) for one in of_these} == {
        ("generic", "has nothing where the mapping looks for fanId"),
    }
    conflicts = delivered.json("dlq", "--newest", "10000", "--reason", "conflict", "--open")
    assert not [one for one in conflicts["deadLetters"] if "samples-" in one.get("value", "")]
