"""The contract of the topics as AsyncAPI 3.0, made from `schemas.topics` and `schemas.records`.

Its schemas are of JSON Schema's draft 7, as AsyncAPI's own: of what msgspec makes, only arrays with
a type for each place are written in another way there.
"""

import re
from typing import Any, Final

from admin.topics import configuration
from infra.settings import Settings
from schemas.control import HEADER
from schemas.described import described
from schemas.records import RECORDS, Records
from schemas.topics import CORRELATION_HEADER, INTERACTIONS, Topic

VERSION: Final = "3.0.0"
BINDING: Final = "0.5.0"
"""Of Kafka's bindings."""

_ACTIONS: Final = {"taken": ("receive",), "told": ("send",), "internal": ("send", "receive")}
_CONFIGURED: Final = ("retention.ms", "max.message.bytes")
_ORDERS: Final = (
    f"Records with the header {HEADER} are orders that this system gives itself: readers skip them."
)
_IDENTIFIED: Final = {
    "headers": {
        "type": "object",
        "properties": {
            CORRELATION_HEADER: {
                "type": "string",
                "format": "uuid",
                "description": "The id of the request that a record of the API came with.",
            }
        },
    },
    "correlationId": {"location": f"$message.header#/{CORRELATION_HEADER}"},
}


def document(version: str) -> dict[str, Any]:
    """The whole contract; `version` is the release's."""
    types = list({one.type: None for one in RECORDS})
    references, schemas = described(types, "#/components/schemas/{name}")
    payloads = dict(zip(types, references, strict=True))
    channels, operations, messages = {}, {}, {}
    for records in RECORDS:
        payload = payloads[records.type]
        name = payload["$ref"].rpartition("/")[2]
        channel = _id(records.topic)
        channels[channel] = _channel(records, name)
        messages[name] = _message(records, name, payload)
        for action in _ACTIONS[records.use]:
            operations[f"{action}{channel[0].upper()}{channel[1:]}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
            }
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Fan Memory",
            "version": version,
            "description": "What a creator's fans said, feel, like and buy, as of now: the topics."
            " What it receives others write, what it sends they read. Topics that it both sends and"
            " receives are its own: their form may change with any release.",
            "license": {
                "name": "Apache 2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _draft7(schemas)},
    }


def _id(topic: Topic) -> str:
    """`interactionsDlq` for `interactions.dlq`: a name that generated code can have."""
    first, *more = re.split("[.-]", topic.name)
    return first + "".join(part.capitalize() for part in more)


def _channel(records: Records, message: str) -> dict[str, Any]:
    topic = records.topic
    configured = configuration(topic)
    made: dict[str, Any] = {
        "address": topic.name,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": Settings.model_fields[topic.partitions].default,
                "topicConfiguration": {
                    "cleanup.policy": [configured["cleanup.policy"]],
                    **{name: int(configured[name]) for name in _CONFIGURED},
                },
                "bindingVersion": BINDING,
            }
        },
    }
    if topic is INTERACTIONS:
        made["description"] = _ORDERS
    if records.use == "internal":
        made["tags"] = [{"name": "internal"}]
    return made


def _message(records: Records, name: str, payload: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "contentType": records.form,
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": records.topic.key},
                "bindingVersion": BINDING,
            }
        },
    }
    return made | (_IDENTIFIED if records.topic is INTERACTIONS else {})


def _draft7(value: Any) -> Any:
    if isinstance(value, list):
        return [_draft7(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _draft7(one) for key, one in value.items()}
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    return made
