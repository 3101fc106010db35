"""One id from a request's header through its body and log lines into the log: X-Correlation-Id."""

import io
import json
import logging
import re

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints import Access, Endpoint
from api.envelopes import correlation_of, plain
from schemas.topics import CORRELATION_HEADER
from tests.api.client import Client, running_api
from tests.api.test_writes import EVENT, record_at

MINE = "0f9b1c52-7a3f-4d0e-9c1b-2f6f3a0d8e11"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
SPAN = "00f067aa0ba902b7"
UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

log = logging.getLogger("api.test")


@pytest.mark.parametrize(
    ("correlation", "trace", "expected"),
    [
        (MINE, None, MINE),
        (MINE.upper(), None, MINE),
        (MINE, f"00-{TRACE}-{SPAN}-01", MINE),
        (None, f"00-{TRACE}-{SPAN}-01", TRACED),
        ("fan_123", f"00-{TRACE}-{SPAN}-00", TRACED),
        (None, f"cc-{TRACE}-{SPAN}-01", TRACED),
        (None, f"cc-{TRACE}-{SPAN}-01-what-will-be", TRACED),
        (None, f"00-{TRACE}-{SPAN}-01-what-is-not", None),
        (None, f"ff-{TRACE}-{SPAN}-01", None),
        (None, f"00-{'0' * 32}-{SPAN}-01", None),
        (None, f"00-{TRACE}-{'0' * 16}-01", None),
        (None, f"00-{TRACE.upper()}-{SPAN}-01", None),
        (None, f"00-{TRACE}-{SPAN}", None),
        (None, f"00-{TRACE}-{SPAN}-01\n", None),
        (None, "fan_123", None),
        ("fan_123", None, None),
        ("x" * 36, None, None),
        ("\xe9" * 36, None, None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_the_id_is_the_callers_or_its_traces_or_a_new_one(
    correlation: str | None, trace: str | None, expected: str | None
) -> None:
    sent = {b"x-correlation-id": correlation, b"traceparent": trace}
    headers = {name: value.encode("latin-1") for name, value in sent.items() if value is not None}
    found = correlation_of(headers)
    if expected is None:
        assert UUID4.fullmatch(found)
        assert found != correlation_of(headers)
    else:
        assert found == expected


async def talkative(_request: Request) -> Response:
    log.info("in between")
    logging.getLogger("asyncpg").warning("somebody else's")
    raise ValueError


async def test_every_line_that_is_logged_meanwhile_has_it(api: Client, said: io.StringIO) -> None:
    endpoint = Endpoint("/talkative", "GET", talkative, "talkative", access=Access.PUBLIC)
    quiet = Endpoint("/quiet", "GET", silent, "silent", access=Access.PUBLIC)
    async with running_api(api.settings, (endpoint, quiet)) as talking:
        headers = {"Traceparent": f"00-{TRACE}-{SPAN}-01"}
        answer = await talking.ask("GET", "/talkative", headers=headers)
        assert (answer.status, answer.body["correlationId"]) == (500, TRACED)
        assert answer.headers["X-Correlation-Id"] == TRACED
        await talking.ask("GET", "/quiet", headers={"X-Correlation-Id": MINE})
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    told = [line["message"] for line in lines if line.get("correlationId") == TRACED]
    assert told == ["in between", "somebody else's", "request failed", "request"]
    assert [line["message"] for line in lines if line.get("correlationId") == MINE] == ["request"]


async def silent(_request: Request) -> Response:
    return plain({})


async def test_what_is_written_carries_it(api: Client) -> None:
    headers = {"Authorization": f"Bearer {api.token()}", "X-Correlation-Id": MINE}
    answer = await api.post(EVENT, headers=headers)
    assert answer.body["correlationId"] == MINE
    record = await record_at(api, answer.body["position"])
    assert record.headers == ((CORRELATION_HEADER, MINE.encode()),)
