"""No former contract is broken, and every way to break one is seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.compatibility import broken

PUBLISHED = Path(__file__).parents[2] / "schemas" / "published"
FORMER = sorted((PUBLISHED / "former").glob("*.json"))
Change = Callable[[Any, Any], Any]


def contract() -> Any:
    return json.loads((PUBLISHED / "openapi.json").read_bytes())


@pytest.mark.parametrize("former", FORMER, ids=lambda path: path.stem)
def test_nothing_of_a_former_contract_is_broken(former: Path) -> None:
    assert broken(json.loads(former.read_bytes()), contract()) == []


def test_a_release_has_kept_its_contract() -> None:
    assert FORMER


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
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_a_client_is_seen(name: str) -> None:
    changed = contract()
    BREAKING[name](changed["paths"], changed["components"]["schemas"])
    assert broken(contract(), changed)


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
