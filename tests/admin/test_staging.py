"""An import's events: judged, each identity once, in the order of time, and how far it got."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from admin.staging import Progress, Staging
from schemas.times import render_time

START = 1_700_000_000_000


def event(number: int, second: int = 0, **more: Any) -> bytes:
    return json.dumps(
        {
            "creatorId": "c",
            "fanId": "f",
            "type": "message",
            "content": str(number),
            "eventId": str(number),
            "timestamp": render_time(START + second * 1000),
        }
        | more
    ).encode()


def numbers(staging: Staging, after: int = 0) -> list[int]:
    return [int(json.loads(value)["eventId"]) for value in staging.values(after)]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_they_leave_by_time_and_among_equal_times_as_they_came(seconds: list[int]) -> None:
    with Staging("USD") as staging:
        for number, second in enumerate(seconds):
            staging.add(event(number, second))
        expected = sorted(range(len(seconds)), key=lambda number: seconds[number])
        assert numbers(staging) == expected
        assert numbers(staging, 3) == expected[3:]


def test_what_is_told_is_what_is_there() -> None:
    with Staging("EUR") as staging:
        for value in (
            event(1, 60),
            event(2, 0, fanId="g"),
            event(1, 60),
            event(3, 30, type="tip", content=None, amount=19.99),
            event(4, 30, type="tip", content=None, amount=0.01, currency="USD"),
            event(5, 30, type="tip", content=None),
            event(6, 30, eventId=None),
            b"no json",
        ):
            staging.add(value)
        told = staging.told()
    assert (told.accepted, told.repeated, told.fans) == (4, 1, 2)
    assert told.money == {"EUR": Decimal("19.99"), "USD": Decimal("0.01")}
    assert (told.first, told.last) == (START, START + 60_000)
    assert sorted(field for field, _ in told.refused) == ["$", "amount", "eventId"]


def test_every_event_is_told_what_becomes_of_it() -> None:
    with Staging("USD", ids_needed=False) as staging:
        verdicts = [
            staging.add(value)
            for value in (
                event(1),
                event(1),
                event(1, content="another"),
                event(1, content="another"),
                event(1, creatorId="d"),
                event(2, eventId=None),
                event(2, eventId=None),
                event(3, type="tip"),
            )
        ]
        told = staging.told()
    assert verdicts == [
        "accepted",
        "repeated",
        "conflict",
        "repeated",
        "accepted",
        "accepted",
        "accepted",
        ("amount", "is required for a tip"),
    ]
    assert (told.accepted, told.repeated, told.conflicts) == (4, 2, 1)
    assert (told.without_id, told.fans) == (2, 2)


def test_a_message_and_its_tip_may_share_an_id() -> None:
    with Staging("USD") as staging:
        staging.add(event(1))
        staging.add(event(1, type="tip", content=None, amount=5))
        assert staging.told().accepted == 2


def test_what_shares_an_id_with_another_event_is_published_and_does_not_count() -> None:
    """Of 5, 7 and 5 again under one id, newest first; the oldest is the one that counts."""

    def tip(second: int, amount: int) -> bytes:
        return event(1, second, type="tip", content=None, amount=amount)

    day = 86_400
    with Staging("USD") as staging:
        for value in (tip(3 * day, 5), tip(0, 7), tip(3 * day, 5), tip(3 * day + 9, 5), tip(0, 7)):
            staging.add(value)
        told = staging.told()
        assert (told.accepted, told.conflicts, told.repeated) == (1, 1, 3)
        assert told.money == {"USD": Decimal(7)}
        assert staging.told().money == told.money
        assert list(staging.values(0)) == [tip(0, 7), tip(3 * day, 5)]


def test_an_import_is_named_by_what_it_holds() -> None:
    def digest(*values: bytes) -> str:
        with Staging("USD") as staging:
            for value in values:
                staging.add(value)
            return staging.digest

    assert digest(event(1), event(2)) == digest(event(1), event(1), event(2), b"no json")
    assert digest(event(1)) != digest(event(2))


def test_progress_is_kept_until_the_import_is_done(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "imports", "a")
    assert progress.sent == 0
    progress.advance(2000)
    progress.advance(500)
    assert Progress(tmp_path / "imports", "a").sent == 2500
    assert Progress(tmp_path / "imports", "b").sent == 0
    progress.forget()
    progress.forget()
    assert Progress(tmp_path / "imports", "a").sent == 0
    (tmp_path / "imports" / "c.json").write_text("{")
    assert Progress(tmp_path / "imports", "c").sent == 0, "what is broken is begun anew"
