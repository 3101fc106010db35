"""No creator reaches another's: on no route, by no parameter, body or path; by no token.

Once as the API is, and once with its own check removed: then there is still the wall.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from joserfc import jwt

from api.auth import Principal, signing_key
from api.endpoints import Access, Endpoint
from api.table import ENDPOINTS
from api.tokens import issue_token
from infra.postgres import connect, url_of
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services import Endpoints
from schemas.journal import JournalEntry
from tests import services as helpers
from tests.api.client import FAN, PREFIX, Answer, Client, conversation, running_api

OURS, THEIRS = "creator_ours", "creator_theirs"
SECRET = "velvet-armadillo"
"""Stands in everything of theirs that a route could show, and in no request."""
SILENT_DAYS = 4242
CONNECTION = secrets.token_hex(16)
TOKENS = ("another creator", "an agency of others", "no creator")


def history() -> list[JournalEntry]:
    return [
        replace_content(entry) if entry.content is not None else entry for entry in conversation(8)
    ]


def replace_content(entry: JournalEntry) -> JournalEntry:
    return msgspec.structs.replace(entry, content=f"{SECRET} {entry.content}")


@pytest.fixture(scope="module")
async def api(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    async with helpers.fresh_database(services, template_database) as url:
        data = tmp_path_factory.mktemp("tenants")
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        settings = settings.model_copy(update={"request_seconds_max": 2.0})
        await seed(settings, {(THEIRS, FAN): history(), (OURS, "fan_ours"): conversation(4)})
        async with running_api(settings) as client:
            await fill(client, settings)
            yield client


async def fill(api: Client, settings: Settings) -> None:
    """What of theirs the routes could show."""
    theirs = {"Authorization": f"Bearer {api.token(THEIRS)}"}
    way = {"platform": "stripe", "secret": SECRET, "me": [SECRET]}
    put = await api.ask("PUT", f"/api/webhooks/connections/{CONNECTION}", headers=theirs, json=way)
    assert put.status == 200, put.body
    kept = await api.ask(
        "PUT",
        f"{PREFIX}/retention?creatorId={THEIRS}",
        headers=theirs,
        json={"silentDays": SILENT_DAYS},
    )
    assert kept.status == 200
    erased = await api.ask(
        "DELETE", f"{PREFIX}/clear?creatorId={THEIRS}&fanId=gone", headers=theirs
    )
    KNOWN["erasure"] = erased.body["data"]["erasureId"] if erased.status == 202 else ""
    forgotten = await api.ask(
        "DELETE", f"{PREFIX}/messages/m1?creatorId={THEIRS}&fanId={FAN}", headers=theirs
    )
    assert forgotten.status == 202, forgotten.body
    KNOWN["forgetting"], KNOWN["eventId"] = forgotten.body["data"]["forgettingId"], "m0"
    owner = await connect(url_of(settings, "owner"))
    KNOWN["workflow"] = (
        await owner.fetchval(
            "INSERT INTO workflow (workflow, type, creator_id, user_id, subject, state, priority,"
            " send, platform, trace_id, draft) SELECT gen_random_uuid(), 'message', $1, $2,"
            " subject, 'awaiting_approval', 1, true, 'p', 't', 1 FROM subject"
            " WHERE creator_id = $1 RETURNING workflow",
            THEIRS,
            SECRET,
        )
    ).hex()
    await owner.execute(
        "INSERT INTO draft (workflow, version, user_id) VALUES ($1, 1, $2)",
        bytes.fromhex(KNOWN["workflow"]),
        SECRET,
    )
    await owner.execute(
        "INSERT INTO usage (workflow, call, provider, model, type, creator_id, user_id, trace_id,"
        " state, reserved, reserved_tokens, price_version)"
        " VALUES ($1, 1, $3, 'm', 'message', $2, $3, 't', 'reserved', 1, 1, 'v')",
        bytes.fromhex(KNOWN["workflow"]),
        THEIRS,
        SECRET,
    )
    KNOWN["campaign"] = KNOWN["workflow"]
    await owner.execute(
        "INSERT INTO campaign (campaign, creator_id, user_id, state, reason, send, per_minute)"
        " VALUES ($1, $2, $3, 'running', $3, true, 1)",
        bytes.fromhex(KNOWN["campaign"]),
        THEIRS,
        SECRET,
    )
    await owner.close()
    # In the cache, too.
    params = {"creatorId": THEIRS, "fanId": FAN}
    for _ in range(3):
        read = await api.ask("GET", f"{PREFIX}/context", headers=theirs, params=params)
        assert read.status == 200
        assert SECRET in json.dumps(read.body)


KNOWN: dict[str, str] = {}
"""Ids of theirs, as a stranger might have got hold of them."""


def token_of(api: Client, kind: str) -> dict[str, str]:
    if kind == "another creator":
        return {"Authorization": f"Bearer {api.token(OURS)}"}
    now = int(time.time())
    claims: dict[str, Any] = {"iss": api.settings.jwt_issuer, "aud": api.settings.jwt_audience}
    claims |= {"iat": now, "exp": now + 600, "sub": "user_1"}
    if kind == "an agency of others":
        claims["creatorIds"] = [OURS, "creator_third"]
    signed = jwt.encode({"alg": "HS256"}, claims, signing_key(api.settings))
    return {"Authorization": f"Bearer {signed}"}


BODIES: dict[str, Any] = {
    "getMemoriesForFans": {"fanIds": [FAN], "creatorId": THEIRS},
    "createStreamTicket": {"creatorId": THEIRS, "fanId": FAN},
    "approveWorkflow": {"version": 1},
    "rejectWorkflow": {"version": 1, "reason": "tone"},
    "editWorkflow": {"version": 1, "messages": ["x"]},
    "resolveWorkflow": {"sent": True},
    "holdFan": {"fanId": FAN, "hold": True},
    "haltSends": {"halt": True},
    "previewCampaign": {"segment": {}, "instruction": "x"},
    "resumeCampaign": {},
    "putRetention": {"silentDays": 1},
    "putConnection": {"platform": "stripe", "secret": "x"},
}


async def asked(api: Client, endpoint: Endpoint, headers: dict[str, str], named: bool) -> Answer:
    """A route asked about theirs, in every way that it takes."""
    path = endpoint.path
    for name, value in {"connection": CONNECTION, "platform": "stripe", **KNOWN}.items():
        path = path.replace("{" + name + "}", value or "0" * 32)
    params = {"fanId": FAN, "field": "totalRevenue"} | ({"creatorId": THEIRS} if named else {})
    if endpoint.name in ("listFans", "listMessages"):  # which take no other parameters
        of_fan = {"fanId": FAN} if endpoint.name == "listMessages" else {}
        params = of_fan | ({"creatorId": THEIRS} if named else {})
    elif endpoint.name == "getChanges":
        params["since"] = "2026-01-01T00:00:00Z"
    event = {
        "eventId": "e1",
        "fanId": FAN,
        "creatorId": THEIRS,
        "type": "like",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    intent = {"creatorId": THEIRS, "userId": "user_1", "type": "message", "data": {}}
    approve = {"drafts": [{"workflowId": KNOWN["workflow"], "version": 1}]}
    more = {
        f"{PREFIX}/interaction": event,
        f"{PREFIX}/interactions": [event],
        f"{PREFIX}/what-if": {"creatorId": THEIRS, "fanId": FAN, "events": [event]},
        "/api/workflows": intent,
        "/api/workflows/approve": approve,
    }
    body = more.get(endpoint.path) if endpoint.method == "POST" else None
    body = BODIES.get(endpoint.name, {} if body is None else body)
    sent = {} if endpoint.method in ("GET", "DELETE") else {"json": body}
    return await api.ask(endpoint.method, path, headers=headers, params=params, **sent)


CREATORS_OWN = [one for one in ENDPOINTS if one.access is Access.CREATOR]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
async def test_no_route_gives_away_or_changes_what_is_another_creators(
    api: Client, monkeypatch: pytest.MonkeyPatch, token: str, checked: bool
) -> None:
    headers = token_of(api, token)
    before = await everything_of_theirs(api.settings)
    if not checked:
        monkeypatch.setattr(Principal, "require", lambda self, creator_id: None)
        monkeypatch.setattr(Principal, "speaks_for", lambda self, creator_id: True)
        monkeypatch.setattr(Principal, "speaks", True)
        monkeypatch.setattr(
            Principal, "about", lambda self, creator_id: self._replace(creator_id=creator_id)
        )
    found = {}
    for endpoint in CREATORS_OWN:
        for named in (True, False):
            answer = await asked(api, endpoint, headers, named)
            found[endpoint.name, named] = answer.status
            text = json.dumps(answer.body) + json.dumps(dict(answer.headers))
            assert SECRET not in text, endpoint.name
            assert SILENT_DAYS not in values(answer.body), endpoint.name
            assert answer.status < 500, (endpoint.name, answer.body)
            if endpoint.name == "listFans" and answer.status == 200:
                assert answer.body["data"]["fans"] == []
            if answer.status < 300 and endpoint.path.startswith(PREFIX):
                assert "totalRevenue" not in text, endpoint.name
    assert await everything_of_theirs(api.settings) == before
    reads = (
        "getMemoryContext",
        "getEngagementScore",
        "explain",
        "exportFan",
        "getChanges",
        "listMessages",
    )
    assert {found[name, True] for name in reads} <= ({403} if checked else {404})


def values(body: Any) -> list[Any]:
    """Every value in an answer. (A random id may have any digits, so text is no place to look.)"""
    if isinstance(body, dict):
        return [found for value in body.values() for found in values(value)]
    return [found for one in body for found in values(one)] if isinstance(body, list) else [body]


async def everything_of_theirs(settings: Settings) -> dict[str, Any]:
    owner = await connect(url_of(settings, "owner"))
    tables = (
        "subject",
        "platform_connection",
        "retention",
        "workflow",
        "usage",
        "halt",
        "campaign",
    )
    found = {
        table: await owner.fetch(f"SELECT * FROM {table} WHERE creator_id = $1", THEIRS)
        for table in tables
    }
    for table in ("hold", "suppression", "decision", "draft"):
        found[table] = await owner.fetch(f"SELECT * FROM {table}")
    for table in ("erasure", "forgetting"):
        found[table] = await owner.fetchval(f"SELECT count(*) FROM {table}")
    await owner.close()
    return found


async def test_the_routes_do_show_all_this_to_their_own_creator(api: Client) -> None:
    """Else the tests above would prove nothing."""
    headers = {"Authorization": f"Bearer {issue_token(api.settings, THEIRS, 'user_1', 600)}"}
    shown = {}
    for endpoint in CREATORS_OWN:
        if endpoint.method == "GET" and endpoint.name != "streamUpdates":
            answer = await asked(api, endpoint, headers, True)
            shown[endpoint.name] = answer.status, json.dumps(answer.body)
    assert {name for name, (status, _) in shown.items() if status != 200} <= {
        "getReceipt",
        "getForgettingReceipt",
        "getErasure",
    }
    with_secret = {name for name, (_, text) in shown.items() if SECRET in text}
    assert {
        "getMemoryContext",
        "exportFan",
        "listMessages",
        "listWorkflows",
        "getWorkflow",
    } <= with_secret
    assert SILENT_DAYS in values(json.loads(shown["getRetention"][1]))
    assert FAN in shown["listFans"][1]
