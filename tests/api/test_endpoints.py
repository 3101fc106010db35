"""The table of endpoints is what a route obeys: access, deadline, places, logging."""

import asyncio
import logging
import time
from typing import get_args

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.auth import Scope, principal_of
from api.endpoints import Access, Endpoint
from api.envelopes import plain
from api.table import ENDPOINTS
from api.tokens import issue_token
from tests.api.client import CREATOR, PREFIX, Client, running_api


async def whoami(request: Request) -> Response:
    return plain({"creator": principal_of(request).creator_id})


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["seconds"]))
    return plain({})


async def stream(_request: Request) -> Response:
    async def parts():  # type: ignore[no-untyped-def]
        for _ in range(3):
            yield b"part "
            await asyncio.sleep(0.1)

    return StreamingResponse(parts())


async def size(request: Request) -> Response:
    return plain({"size": len(await request.body())})


EXTRA = (
    Endpoint("/extra/plain", "GET", whoami, "plain"),
    Endpoint("/extra/size", "POST", size, "size"),
    Endpoint("/extra/large", "POST", size, "large", body_bytes_max=1 << 20),
    Endpoint("/extra/slow", "GET", slow, "slow", access=Access.PUBLIC),
    Endpoint("/extra/short", "GET", slow, "short", access=Access.PUBLIC, deadline_s=0.05),
    Endpoint("/extra/stream", "GET", stream, "stream", access=Access.PUBLIC, streams=True),
    Endpoint("/extra/quiet", "GET", slow, "quiet", access=Access.PUBLIC, quiet=True),
)


async def test_what_says_nothing_about_access_asks_for_a_creators_token(api: Client) -> None:
    async with running_api(api.settings, EXTRA) as extra:
        assert (await extra.ask("GET", "/extra/plain", headers={})).status == 401
        assert (await extra.ask("POST", "/extra/size", headers={}, data=b"x")).status == 401
        nobodys = {"Authorization": "Bearer x.y.z"}
        assert (await extra.ask("GET", "/extra/plain", headers=nobodys)).status == 401
        answer = await extra.ask("GET", "/extra/plain")
        assert (answer.status, answer.body) == (200, {"creator": CREATOR})


def test_only_what_machines_ask_is_public() -> None:
    """A webhook asks for its platform's signature instead of a token; the contract is no secret."""
    public = {endpoint.path for endpoint in ENDPOINTS if endpoint.access is Access.PUBLIC}
    machines = {"/health/live", "/health/ready"}
    contract = {"/openapi.json", "/docs", "/.well-known/fanmemory-receipt-keys"}
    assert public == machines | contract | {"/api/webhooks/{platform}/{connection}"}
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
async def test_every_endpoint_but_the_public_ones_is_401_without_a_token(
    api: Client, endpoint: Endpoint
) -> None:
    answer = await api.ask(endpoint.method, endpoint.path, headers={})
    assert (answer.status == 401) == (endpoint.access is not Access.PUBLIC)


def test_what_changes_nothing_asks_for_reading_only_and_the_rest_for_writing() -> None:
    asked = {one.name: one.scope for one in ENDPOINTS if one.access is Access.CREATOR}
    reading = {name for name, scope in asked.items() if scope == "memory:read"}
    writing = {name for name, scope in asked.items() if scope == "memory:write"}
    saving = {"saveInteraction", "saveInteractions"}
    deciding = {"createWorkflow", "approveWorkflows", "holdFan", "haltSends"} | {
        f"{does}Workflow" for does in ("approve", "reject", "edit", "cancel", "retry", "resolve")
    }
    steering = {f"{does}Campaign" for does in ("preview", "start", "pause", "resume", "stop")}
    assert writing == saving | deciding | steering | {"putConnection", "deleteConnection"}
    erasing = {name for name, scope in asked.items() if scope == "memory:erase"}
    assert erasing == {
        *("putSuppression", "deleteSuppression", "putRetention"),
        *("clearMemory", "getErasure", "getReceipt"),
        *("forgetMessage", "getForgetting", "getForgettingReceipt"),
    }
    assert reading == set(asked) - writing - erasing
    assert EXTRA[0].scope == "memory:write", "what says nothing"


@pytest.mark.parametrize(
    "endpoint",
    [one for one in ENDPOINTS if one.access is Access.CREATOR],
    ids=lambda endpoint: endpoint.name,
)
async def test_every_endpoint_is_403_without_its_scope_and_not_with_it(
    api: Client, endpoint: Endpoint
) -> None:
    for scope in (*get_args(Scope), "", "memory:erase"):
        token = issue_token(api.settings, CREATOR, "user_1", 600, scope=scope)
        answer = await api.ask(
            endpoint.method, endpoint.path, headers={"Authorization": f"Bearer {token}"}
        )
        assert (answer.status == 403) == (scope != endpoint.scope), scope
        if answer.status == 403:
            assert answer.body["error"] == "The token's scope does not allow this."
            said = answer.headers["WWW-Authenticate"]
            assert said == f'Bearer error="insufficient_scope", scope="{endpoint.scope}"'


async def test_deadlines_are_the_endpoints_own_or_the_settings_and_streams_have_none(
    api: Client,
) -> None:
    settings = api.settings.model_copy(update={"request_seconds_max": 0.2})
    async with running_api(settings, EXTRA) as extra:
        assert (await extra.ask("GET", "/extra/slow?seconds=0.01")).status == 200
        assert (await extra.ask("GET", "/extra/slow?seconds=9")).status == 504
        began = time.monotonic()
        assert (await extra.ask("GET", "/extra/short?seconds=9")).status == 504
        assert time.monotonic() - began < 5
        answer = await extra.ask("GET", "/extra/stream")
        assert (answer.status, answer.body) == (200, "part part part ")


async def test_streams_and_probes_take_no_place_and_need_none(api: Client) -> None:
    settings = api.settings.model_copy(update={"requests_in_flight_max": 1})
    async with running_api(settings, EXTRA) as extra:
        asking = asyncio.create_task(extra.ask("GET", "/extra/stream"))
        async with asyncio.timeout(5):
            while (await extra.ask("GET", "/extra/slow?seconds=0")).status != 200:
                await asyncio.sleep(0)
        taken = asyncio.create_task(extra.ask("GET", "/extra/slow?seconds=0.8"))
        async with asyncio.timeout(5):
            while (await extra.ask("GET", "/extra/slow?seconds=0")).status != 503:
                await asyncio.sleep(0)
        assert (await extra.ask("GET", "/extra/quiet?seconds=0")).status == 200
        assert (await extra.ask("GET", "/extra/stream")).status == 200
        assert {(await asking).status, (await taken).status} == {200}


async def test_bodies_are_bounded_on_every_endpoint(api: Client) -> None:
    async with running_api(api.settings, EXTRA) as extra:
        small = b"x" * api.settings.body_bytes_max
        assert (await extra.ask("POST", "/extra/size", data=small)).body == {"size": len(small)}
        assert (await extra.ask("POST", "/extra/size", data=small + b"x")).status == 413
        large = b"x" * (1 << 20)
        assert (await extra.ask("POST", "/extra/large", data=large)).body == {"size": len(large)}
        assert (await extra.ask("POST", "/extra/large", data=large + b"x")).status == 413


async def test_quiet_endpoints_are_logged_only_when_they_fail(
    api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.dispatch")
    async with running_api(api.settings, EXTRA) as extra:
        await extra.ask("GET", "/extra/quiet?seconds=0")
        await extra.ask("GET", "/extra/slow?seconds=0")
        await extra.ask("GET", "/extra/quiet")  # no parameter: our fault
    operations = [
        (record.operation, record.levelname)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.message == "request"
    ]
    assert operations == [("slow", "INFO"), ("quiet", "WARNING")]


async def test_a_method_that_an_endpoint_has_not_is_405_and_another_path_404(api: Client) -> None:
    answer = await api.ask("DELETE", f"{PREFIX}/context")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
    assert (await api.ask("GET", f"{PREFIX}/nothing")).status == 404
