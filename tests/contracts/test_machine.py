"""Whatever is asked in whatever order: no error of ours, no contract broken, a model's totals."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ops.contracts.published import PUBLISHED
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, MEMORY_UPDATES
from tests.contracts.answers import Asking
from tests.live import CREATOR, Live

PREFIX = "/api/of-memory"
BEGAN_MS = 1_767_225_600_000
FANS = ("anna", "ben", "cleo", "dora")
PAID = ("purchase", "tip")
"""Of which the model counts money."""

fans = st.sampled_from(FANS)
kinds = st.sampled_from(("message", "like", "view", *PAID))
cents = st.integers(1, 100_000)
"""Few ids, so that many come twice."""
ids = st.integers(0, 5)
MISTAKES: dict[str, dict[str, Any]] = {
    "amount": {"type": "tip", "amount": None},
    "timestamp": {"timestamp": "yesterday"},
    "type": {"type": "wink"},
    "content": {"type": "message", "content": " "},
    "creatorId": {"creatorId": ""},
    "refersTo": {"type": "delete"},
}


@dataclass
class Known:
    """What a fan's memory must say."""

    events: dict[tuple[str, str], Any] = field(default_factory=dict)
    """The first content of each type and id."""

    @property
    def revenue(self) -> Decimal:
        paid = (one["amount"] for (kind, _), one in self.events.items() if kind in PAID)
        return sum((Decimal(str(amount)) for amount in paid), Decimal())

    def count(self, kind: str) -> int:
        return sum(1 for one, _ in self.events if one == kind)


class Memory(RuleBasedStateMachine):
    """Saves, reads and erases as one creator's user; every answer is held against the contract."""

    asking: Asking
    numbers: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.tags: dict[str, str] = {}
        self.run = ""

    @initialize()
    def begin(self) -> None:
        """Each run has fans of its own."""
        self.run = f"{next(self.numbers)}"

    def name(self, fan: str) -> str:
        return f"{fan}-{self.run}"

    def event(self, fan: str, kind: str, number: int, amount: int) -> dict[str, Any]:
        made: dict[str, Any] = {
            "creatorId": CREATOR,
            "fanId": self.name(fan),
            "type": kind,
            "eventId": f"e{number}",
            "timestamp": render_time(BEGAN_MS + 1000 * number),
        }
        if kind == "message":
            made["content"] = f"This is message {amount}, thank you!"
        if kind in PAID:
            made["amount"] = amount / 100
        return made

    def saved(self, fan: str, event: dict[str, Any]) -> None:
        """The first event of a type and id counts; the same again, or another, does not."""
        self.known.setdefault(fan, Known()).events.setdefault(
            (event["type"], event["eventId"]), event
        )
        self.tags.pop(fan, None)

    @rule(fan=fans, kind=kinds, number=ids, amount=cents)
    def save(self, fan: str, kind: str, number: int, amount: int) -> None:
        event = self.event(fan, kind, number, amount)
        answer = self.asking.ask("POST", f"{PREFIX}/interaction", json=event)
        assert answer.status_code == 200
        self.saved(fan, event)

    @rule(fan=fans, field=st.sampled_from(sorted(MISTAKES)))
    def save_what_is_wrong(self, fan: str, field: str) -> None:
        event = self.event(fan, "message", 0, 0) | MISTAKES[field]
        answer = self.asking.ask("POST", f"{PREFIX}/interaction", json=event)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(field)

    @rule(
        some=st.lists(st.tuples(fans, kinds, ids, cents), min_size=1, max_size=8),
        wrong=st.sampled_from(sorted(MISTAKES)),
        lines=st.booleans(),
    )
    def save_many(self, some: list[tuple[str, str, int, int]], wrong: str, lines: bool) -> None:
        events = [self.event(*one) for one in some]
        bad = self.event(some[0][0], "message", 0, 0) | MISTAKES[wrong]
        sent = [*events, bad]
        body = b"\n".join(json.dumps(one).encode() for one in sent) if lines else json.dumps(sent)
        answer = self.asking.ask("POST", f"{PREFIX}/interactions", content=body)
        assert answer.status_code == 200
        *good, refused = answer.json()["data"]
        assert all("position" in one for one in good)
        assert len(good) == len(events)
        assert refused["field"] == wrong
        for (fan, *_), event in zip(some, events, strict=True):
            self.saved(fan, event)

    def asked(self, fan: str) -> dict[str, str]:
        """Of a fan who was erased and not heard of since nothing is waited for."""
        asked = {"creatorId": CREATOR, "fanId": self.name(fan)}
        return asked if fan in self.known else asked | {"consistency": "eventual"}

    def assert_is_known(self, fan: str, context: dict[str, Any]) -> None:
        known, metrics = self.known[fan], context["engagementMetrics"]
        assert metrics["totalMessages"] == known.count("message")
        assert metrics["totalPurchases"] == known.count("purchase")
        assert Decimal(str(metrics["totalRevenue"])) == known.revenue
        said = {one["id"]: one["content"] for one in context["recentMessages"]}
        assert said == {
            number: event["content"]
            for (kind, number), event in known.events.items()
            if kind == "message"
        }

    @rule(fan=fans)
    def read(self, fan: str) -> None:
        answer = self.asking.ask("GET", f"{PREFIX}/context", params=self.asked(fan))
        if fan not in self.known:
            assert answer.status_code == 404
            return
        assert answer.status_code == 200
        self.assert_is_known(fan, answer.json()["data"])
        self.tags[fan] = answer.headers["etag"]

    @precondition(lambda self: self.tags)
    @rule(data=st.data())
    def read_again(self, data: st.DataObject) -> None:
        """Nothing has happened since: 304, or 200 when the hour has changed."""
        fan = data.draw(st.sampled_from(sorted(self.tags)))
        headers = {"if-none-match": self.tags[fan]}
        answer = self.asking.ask(
            "GET", f"{PREFIX}/context", params=self.asked(fan), headers=headers
        )
        assert answer.status_code in (200, 304)

    @rule(fan=fans)
    def read_score(self, fan: str) -> None:
        answer = self.asking.ask("GET", f"{PREFIX}/engagement-score", params=self.asked(fan))
        assert answer.status_code == (200 if fan in self.known else 404)
        if fan in self.known:
            assert 0 < answer.json()["data"]["score"] <= 1

    @rule()
    def read_all(self) -> None:
        names = {self.name(fan): fan for fan in FANS if fan in self.known}
        body = {"creatorId": CREATOR, "fanIds": [*names, self.name("nobody")]}
        answer = self.asking.ask("POST", f"{PREFIX}/bulk", json=body)
        assert answer.status_code == 200
        said = answer.json()
        assert (said["notFound"], said["errors"]) == ([self.name("nobody")], {})
        assert said["data"].keys() == names.keys()
        for name, context in said["data"].items():
            self.assert_is_known(names[name], context)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def explain_revenue(self, data: st.DataObject) -> None:
        fan = data.draw(st.sampled_from(sorted(self.known)))
        asked = self.asked(fan) | {"field": "totalRevenue"}
        self.asking.ask("GET", f"{PREFIX}/engagement-score", params=self.asked(fan))
        answer = self.asking.ask("GET", f"{PREFIX}/explain", params=asked)
        assert Decimal(str(answer.json()["data"]["toValue"])) == self.known[fan].revenue

    @rule(fan=fans)
    def erase(self, fan: str) -> None:
        answer = self.asking.ask("DELETE", f"{PREFIX}/clear", params=self.asked(fan))
        assert answer.status_code in (200, 202)
        self.known.pop(fan, None)
        self.tags.pop(fan, None)

    @invariant()
    def nothing_is_tripped(self) -> None:
        states = self.asking.ask("GET", f"{PREFIX}/stats").json()["data"]
        assert {one["state"] for one in states.values()} == {"CLOSED"}


@pytest.mark.hypothesis
async def test_no_order_of_requests_breaks_a_contract_or_loses_count(live: Live) -> None:
    Memory.asking = Asking(live.url, live.token())
    Memory.numbers = itertools.count()
    bounded = settings(
        max_examples=12,
        stateful_step_count=15,
        # Shrinking asks for minutes; fifteen steps can be read.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    try:
        await asyncio.to_thread(run_state_machine_as_test, Memory, settings=bounded)
    finally:
        Memory.asking.close()
    await live.pipeline.caught_up()
    await assert_records_are_as_published(live)


async def assert_records_are_as_published(live: Live) -> None:
    """What the runs have told on Kafka."""
    await live.pipeline.dead_letters()
    for topic, name in ((MEMORY_UPDATES, "MemoryUpdate"), (DEAD_LETTERS, "DeadLetter")):
        schema = json.loads((PUBLISHED / "records" / f"{name}.json").read_bytes())
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        records = await live.pipeline.records(topic.name)
        assert records
        for record in records:
            validator.validate(json.loads(record.value))
