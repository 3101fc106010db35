"""What is published is what the code says, and valid by the rules of its kind."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from ops.contracts import asyncapi
from ops.contracts.published import PUBLISHED, files, stale
from schemas.described import public_name
from schemas.events import Wire
from schemas.published_event import InteractionEvent
from schemas.records import RECORDS
from schemas.topics import TOPICS
from tests.clients import node

FILES = files()
TOPICS_CONTRACT = asyncapi.document("0.1.0")


@pytest.mark.parametrize("path", FILES)
def test_what_is_published_is_what_the_code_says(path: str) -> None:
    assert (PUBLISHED / path).read_bytes() == FILES[path], "run make contracts"


def test_nothing_is_published_that_the_code_does_not_say() -> None:
    assert stale() == []


def asyncapi_rules() -> Any:
    """The JSON Schema of AsyncAPI 3.0's own makers."""
    node.need_modules()
    rules = node.MODULES / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    return jsonschema_rs.validator_for(json.loads(rules.read_bytes()))


def test_the_contract_of_the_topics_is_valid() -> None:
    asyncapi_rules().validate(json.loads(FILES["asyncapi.json"]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["channels"]["journal"].update(adress="journal"),
        lambda document: document["operations"]["receiveIntents"].pop("channel"),
        lambda document: document["channels"]["journal"]["bindings"]["kafka"].update(partitions=0),
        lambda document: document["components"]["schemas"]["Erased"].update(type="thing"),
    ],
)
def test_a_contract_that_is_not_valid_would_be_seen(spoil: Any) -> None:
    document = json.loads(FILES["asyncapi.json"])
    spoil(document)
    assert not asyncapi_rules().is_valid(document)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [name for one in value.values() for name in references(one)]
    return [name for one in value for name in references(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", FILES)
def test_whatever_a_contract_refers_to_is_in_it(path: str) -> None:
    document = json.loads(FILES[path])
    for name in references(document):
        found = document
        for part in name.removeprefix("#/").split("/"):
            found = found[part]


def test_every_topic_is_in_it_with_the_record_that_the_docs_name() -> None:
    assert [one.topic for one in RECORDS] == list(TOPICS)
    channels = TOPICS_CONTRACT["channels"]
    assert [one["address"] for one in channels.values()] == [topic.name for topic in TOPICS]
    for topic, channel in zip(TOPICS, channels.values(), strict=True):
        assert list(channel["messages"]) == [topic.value.partition(",")[0]]
    messages = TOPICS_CONTRACT["components"]["messages"]
    for records in RECORDS:
        message = messages[public_name(records.type.__name__)]
        assert message["bindings"]["kafka"]["key"]["description"] == records.topic.key
        assert ("MessagePack" in records.topic.value) == (
            message["contentType"] != "application/json"
        )


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("records/")])
def test_the_schema_of_a_record_is_valid_and_stands_alone(path: str) -> None:
    schema = json.loads(FILES[path])
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert not validator.is_valid({})
    assert Path(path).stem in schema["$defs"]


def test_an_event_as_published_is_the_event_that_is_parsed() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Wire)}
    schema = json.loads(FILES["records/InteractionEvent.json"])
    assert set(schema["$defs"]["InteractionEvent"]["properties"]) == fields
    validator = jsonschema_rs.validator_for(schema)
    event = {"creatorId": "c", "fanId": "f", "type": "tip", "timestamp": "2026-01-01T00:00:00Z"}
    assert validator.is_valid(event | {"amount": 5})
    assert not validator.is_valid(event | {"amount": "5"})
    assert InteractionEvent.__name__ in schema["$ref"]
