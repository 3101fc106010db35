"""No former contract is broken but where that is recorded, and every way to break one is seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.contracts.published import PUBLISHED
from tests.contracts.compatibility import broken

FORMER = sorted((PUBLISHED / "former").glob("*/*.json"))
BROKEN = json.loads((PUBLISHED / "broken.json").read_bytes())
"""What was broken on purpose: of which `former` file, `place` as the test names it, and `why`."""
Change = Callable[[Any, Any], Any]


def contract(name: str = "openapi.json") -> Any:
    return json.loads((PUBLISHED / name).read_bytes())


@pytest.mark.parametrize("former", FORMER, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_of_a_former_contract_only_what_is_recorded_is_broken(former: Path) -> None:
    name = former.relative_to(PUBLISHED / "former").as_posix()
    places = broken(json.loads(former.read_bytes()), contract(former.name))
    assert sorted(places) == sorted(one["place"] for one in BROKEN if one["former"] == name)


def test_a_release_has_kept_its_contracts_and_what_is_broken_says_why() -> None:
    names = {path.relative_to(PUBLISHED / "former").as_posix() for path in FORMER}
    assert {Path(name).name for name in names} == {"openapi.json", "asyncapi.json"}
    for one in BROKEN:
        assert one["former"] in names
        assert len(one["why"]) > 20


BREAKING: dict[str, Change] = {
    "a path": lambda paths, schemas: paths.pop("/api/of-memory/context"),
    "a method": lambda paths, schemas: paths["/api/of-memory/bulk"].pop("post"),
    "a parameter": lambda paths, schemas: paths["/api/of-memory/context"]["get"][
        "parameters"
    ].pop(),
    "a parameter that is newly needed": lambda paths, schemas: paths["/api/of-memory/context"][
        "get"
    ]["parameters"][-1].update(required=True),
    "a field of an answer": lambda paths, schemas: schemas["MemoryContext"]["properties"].pop(
        "version"
    ),
    "a renamed field": lambda paths, schemas: schemas["EngagementScore"]["properties"].update(
        points=schemas["EngagementScore"]["properties"].pop("score")
    ),
    "a field that is not always there": lambda paths, schemas: schemas["EngagementScore"][
        "required"
    ].remove("score"),
    "another type of an answer": lambda paths, schemas: schemas["EngagementScore"][
        "properties"
    ].update(score={"type": "string"}),
    "an answer that can be null": lambda paths, schemas: schemas["EngagementScore"][
        "properties"
    ].update(score={"anyOf": [{"type": "number"}, {"type": "null"}]}),
    "a field of a body": lambda paths, schemas: schemas["InteractionEvent"]["properties"].pop(
        "currency"
    ),
    "a field that must be sent": lambda paths, schemas: schemas["InteractionEvent"][
        "required"
    ].append("eventId"),
    "a choice less to send": lambda paths, schemas: schemas["InteractionEvent"]["properties"][
        "type"
    ]["enum"].remove("tip"),
    "a choice that is no more": lambda paths, schemas: schemas["Circuit"]["properties"]["state"][
        "enum"
    ].pop(),
    "a shorter body": lambda paths, schemas: schemas["BulkRequest"]["properties"]["fanIds"].update(
        maxItems=10
    ),
    "null that is taken no more": lambda paths, schemas: schemas["InteractionEvent"][
        "properties"
    ].update(currency={"type": "string"}),
    "a bound that was none": lambda paths, schemas: schemas["InteractionEvent"]["properties"][
        "sequence"
    ].update(anyOf=[{"type": "integer", "minimum": 0}, {"type": "null"}]),
    "text that must be one of few": lambda paths, schemas: schemas["BulkRequest"]["properties"][
        "creatorId"
    ].update(enum=["creator_456"]),
    "a body in another form": lambda paths, schemas: _body_of(paths, "/api/of-memory/bulk").update(
        {"text/csv": _body_of(paths, "/api/of-memory/bulk").pop("application/json")}
    ),
    "a status": lambda paths, schemas: paths["/api/of-memory/context"]["get"]["responses"].pop(
        "404"
    ),
    "a header": lambda paths, schemas: paths["/api/of-memory/context"]["get"]["responses"]["200"][
        "headers"
    ].clear(),
    "another scope": lambda paths, schemas: paths["/api/of-memory/context"]["get"].update(
        security=[{"bearer": ["memory:erase"]}]
    ),
    "a token that was not needed": lambda paths, schemas: paths["/health/live"]["get"].update(
        security=[{"bearer": []}]
    ),
    "another format": lambda paths, schemas: schemas["MemoryContext"]["properties"].update(
        lastInteraction={"type": "string"}
    ),
    "items of another type": lambda paths, schemas: schemas["MemoryContext"]["properties"][
        "recentMessages"
    ].update(items={"type": "string"}),
    "items of any type": lambda paths, schemas: schemas["MemoryContext"]["properties"][
        "recentMessages"
    ].pop("items"),
    "a map of another type": lambda paths, schemas: schemas["FanPreferences"]["properties"][
        "topicInterests"
    ].update(additionalProperties={"type": "string"}),
    "fields of the sender's own": lambda paths, schemas: schemas["InteractionEvent"].update(
        additionalProperties=False
    ),
    "a longer id that is refused": lambda paths, schemas: schemas["InteractionEvent"]["properties"][
        "fanId"
    ].update(maxLength=64),
}


def _body_of(paths: Any, path: str) -> Any:
    return paths[path]["post"]["requestBody"]["content"]


RECORDS_BREAKING: dict[str, Change] = {
    "a topic": lambda document, schemas: document["channels"].pop("memoryUpdates"),
    "another name of a topic": lambda document, schemas: document["channels"][
        "memoryUpdates"
    ].update(address="updates"),
    "another record": lambda document, schemas: document["channels"]["memoryUpdates"][
        "messages"
    ].pop("MemoryUpdate"),
    "a topic that is read no more": lambda document, schemas: document["operations"].pop(
        "receiveInteractions"
    ),
    "a topic that is written no more": lambda document, schemas: document["operations"].pop(
        "sendMemoryUpdates"
    ),
    "another form": lambda document, schemas: document["components"]["messages"][
        "MemoryUpdate"
    ].update(contentType="application/msgpack"),
    "a field of what is told": lambda document, schemas: schemas["MemoryUpdate"]["properties"].pop(
        "views"
    ),
    "a field that is not always there": lambda document, schemas: schemas["WorkflowResult"][
        "required"
    ].remove("state"),
    "a type of what is told": lambda document, schemas: schemas["UsageRecord"]["properties"].update(
        cost={"type": "number"}
    ),
    "a field of what is taken": lambda document, schemas: schemas["InteractionEvent"][
        "properties"
    ].pop("amount"),
    "a field that must be sent": lambda document, schemas: schemas["ProductionWorkflowIntent"][
        "required"
    ].append("intentId"),
    "a choice less to send": lambda document, schemas: schemas["InteractionEvent"]["properties"][
        "type"
    ]["enum"].remove("tip"),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_a_client_is_seen(name: str) -> None:
    changed = contract()
    BREAKING[name](changed["paths"], changed["components"]["schemas"])
    assert changed != contract()
    assert broken(contract(), changed)


@pytest.mark.parametrize("name", RECORDS_BREAKING)
def test_what_breaks_whoever_reads_or_writes_records_is_seen(name: str) -> None:
    former, changed = contract("asyncapi.json"), contract("asyncapi.json")
    RECORDS_BREAKING[name](changed, changed["components"]["schemas"])
    assert changed != former
    assert broken(former, changed)


def test_what_only_adds_breaks_nobody() -> None:
    changed = contract()
    schemas = changed["components"]["schemas"]
    schemas["MemoryContext"]["properties"]["mood"] = {"type": "string"}
    schemas["MemoryContext"]["required"].append("mood")
    schemas["InteractionEvent"]["properties"]["weather"] = {"type": "string"}
    schemas["InteractionEvent"]["properties"]["type"]["enum"].append("wink")
    schemas["BulkRequest"]["properties"]["fanIds"]["maxItems"] = 200
    changed["paths"]["/api/new"] = changed["paths"]["/api/of-memory/stats"]
    assert broken(contract(), changed) == []


def test_records_that_only_this_system_reads_may_change() -> None:
    former, changed = contract("asyncapi.json"), contract("asyncapi.json")
    del changed["channels"]["journal"]
    changed["channels"]["moods"] = changed["channels"]["memoryUpdates"]
    changed["components"]["schemas"]["MemoryUpdate"]["properties"]["mood"] = {"type": "string"}
    assert broken(former, changed) == []
