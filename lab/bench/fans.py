"""How fast fans are listed: "`fans` with two filters over 100,000 fans: p99 ≤ 20 ms".

Runs the real API process on real, embedded services of its own, with one creator's made-up fans,
whose last messages are of the last 30 days. Asks for first pages of 50 in each order, by sentiment
and least score, at `rate` a second; latency is from the appointed time.
"""

import random
import tempfile
from pathlib import Path
from typing import Any, Final

from api.tokens import issue_token
from infra.clock import now_ms
from infra.postgres import connecting, url_of
from infra.settings import Settings
from lab.bench.http import closed_loop, connect, get_request, open_loop
from lab.bench.seed import seed
from lab.bench.serving import api_process, check, cpu_seconds
from ops.system import running_services
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS, MINUTE_MS
from stores.generations import FIRST_GENERATION
from stores.indexing import order_all

CREATOR: Final = "bench"
CONNECTIONS: Final = 16
CONNECTIONS_MOST: Final = 4
MESSAGES_MAX: Final = 4
ORDERS: Final = ("score", "revenue", "lastInteraction")
FILTERS: Final = "sentiment=positive&minScore=0.1"


async def measure(fans: int, rate: float, seconds: float) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when anything is answered with other than 200."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, *_):
            now = now_ms()
            await seed(settings, {(CREATOR, f"fan-{n}"): _messages(n, now) for n in range(fans)})
            async with connecting(url_of(settings, "writer")) as database:
                await order_all(database, FIRST_GENERATION)  # as workers do beside it
            async with api_process(settings, Path(folder)) as (port, pid):
                token = issue_token(settings, CREATOR, "bench", 3600)
                path = f"/api/of-memory/fans?creatorId={CREATOR}&{FILTERS}&sort="
                pages = [get_request(path + order, token, settings.api_host) for order in ORDERS]
                connections = await connect(settings.api_host, port, CONNECTIONS)
                try:
                    check(await closed_loop(connections[:1], pages, 1.0))  # the first is slower
                    before = cpu_seconds(pid)
                    most = await closed_loop(connections[:CONNECTIONS_MOST], pages, seconds)
                    cpu = cpu_seconds(pid) - before
                    asked = [pages[n % len(pages)] for n in range(int(rate * seconds))]
                    steady = await open_loop(connections, asked, rate)
                finally:
                    for connection in connections:
                        connection.close()
            for load in (steady, most):
                check(load)
            micros = round(cpu / len(most.latencies) * 1e6, 1)
            return {
                "fans": fans,
                "pageBytes": most.body_bytes,
                "steady": steady.summary() | {"rate": rate},
                "most": most.summary() | {"cpuMicrosPerRequest": micros},
            }


def _messages(number: int, now: int) -> list[JournalEntry]:
    """A fan's, in log order."""
    rng = random.Random(number)
    end = now - rng.randrange(30 * DAY_MS)
    count = rng.randint(1, MESSAGES_MAX)
    return [
        JournalEntry(
            f"event-{n}",
            "message",
            end - (count - n) * MINUTE_MS,
            content="hey, how are you?",
            text=TextFeatures(
                sentiment=rng.choice(("positive", "neutral", "negative")),
                score=round(rng.uniform(-1, 1), 4),
            ),
        )
        for n in range(count)
    ]
