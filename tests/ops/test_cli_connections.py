"""`fanmemory connections`, and a delivery's way from the platform to a fan's context."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp

from tests.cli import SECONDS_MAX, Running

FAN = "cus_1"
CHARGES = 80


def signed(secret: str, body: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={mac}"}


def charge(number: int, event: int) -> bytes:
    created = 1_795_000_000 + number
    paid = {"id": f"ch_{number}", "amount": 100 + number, "currency": "usd", "customer": FAN}
    body: dict[str, Any] = {"id": f"evt_{event}", "type": "charge.succeeded", "created": created}
    return json.dumps(body | {"data": {"object": paid | {"created": created}}}).encode()


async def test_a_hundred_deliveries_with_repeats_count_each_charge_once(
    demonstrated: Running,
) -> None:
    """80 charges of 1.00, 1.01, … dollars and 20 of them again: 80 + 31.60 = 111.60 dollars.

    What is not taken, because the machine is busy, is delivered again, as the platform does.
    """
    added = demonstrated.json("connections", "add", "--platform", "stripe", "--creator", "sold")
    assert set(added) == {"connection", "platform", "path", "secret"}
    bodies = [charge(number, number) for number in range(CHARGES)]
    bodies += [charge(number, CHARGES + number) for number in range(0, CHARGES, 4)]
    url = demonstrated.api_url + added["path"]
    async with aiohttp.ClientSession() as session:

        async def deliver(body: bytes) -> int:
            headers = signed(added["secret"], body)
            async with session.post(url, data=body, headers=headers) as answer:
                return answer.status

        async def deliver_until_taken(body: bytes) -> int:
            deadline = time.monotonic() + SECONDS_MAX
            async with few:
                while (status := await deliver(body)) in (503, 504):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            return status

        few = asyncio.Semaphore(8)
        assert set(await asyncio.gather(*map(deliver_until_taken, bodies))) == {200}
        await demonstrated.drained()
        context = await demonstrated.context("sold", FAN)
        assert context is not None
        metrics = context.engagement_metrics
        assert (metrics.total_purchases, metrics.total_revenue) == (80, 111.6)

        listed = demonstrated.json("connections", "list")["connections"]
        assert [one["creatorId"] for one in listed if one["connection"] == added["connection"]] == [
            "sold"
        ]
        shown = demonstrated.run("connections", "list")
        assert added["secret"] not in shown.stdout
        assert demonstrated.run("connections", "remove", added["connection"]).returncode == 0
        assert demonstrated.run("connections", "remove", added["connection"]).returncode == 1
        assert await deliver(bodies[0]) == 404


def test_a_secret_is_read_and_never_shown(demonstrated: Running) -> None:
    words = ("connections", "add", "--platform", "patreon", "--creator", "c", "--secret-file", "-")
    told = demonstrated.json(*words, stdin="from the platform\n")
    assert "secret" not in told
    empty = demonstrated.run(*words, stdin="\n")
    assert (empty.returncode, "1 to" in empty.stderr) == (2, True)
    generic = demonstrated.run("connections", "add", "--platform", "generic", "--creator", "c")
    assert (generic.returncode, "--mapping" in generic.stderr) == (2, True)
    demonstrated.run("connections", "remove", told["connection"])
