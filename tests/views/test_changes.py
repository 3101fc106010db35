"""Changes, as a pure function: corrections, and what the views were."""

import pytest

from schemas.details import Details, Reference
from schemas.errors import InvalidInput
from schemas.journal import JournalEntry
from schemas.positions import Position
from schemas.text_features import TextFeatures
from views.changes import Changes, Since, changes

WHO = "creator", "fan"
DAY = 86_400_000
BEGIN = 1_767_225_600_000


def said(number: int, **more: object) -> JournalEntry:
    made: dict[str, object] = {
        "event_id": f"m{number}",
        "kind": "message",
        "time": BEGIN + number * DAY,
        "content": f"text {number}",
        "text": TextFeatures(language="en", length=6),
        "source_partition": 1,
        "source_offset": 10 * number,
    }
    return JournalEntry(**(made | more))  # type: ignore[arg-type]


def found(entries: list[JournalEntry], since: Since) -> Changes:
    history = list(enumerate(entries, 100))
    answer = changes(WHO, 3, history, since, BEGIN + 50 * DAY)
    assert answer is not None
    return answer


def told(answer: Changes) -> list[bytes]:
    return [bytes(one.event) for one in answer.events]


def since(offset: int) -> Since:
    return Since(Position("interactions", 1, offset))


def test_what_was_deleted_is_not_told_but_that_it_was_is() -> None:
    refers = Details(refers_to=Reference("m2", None))
    gone = said(3, kind="delete", content=None, text=None, details=refers)
    (only,) = told(found([said(1), said(2), gone], since(10)))
    assert b'"type":"delete"' in only and b'"eventId":"m2"' in only
    assert b"text 2" not in only


def test_an_edited_message_is_told_with_its_new_text_and_so_is_the_edit() -> None:
    edit = said(3, details=Details(replaces="m1"))
    both = told(found([said(1), said(2), edit], Since(None, BEGIN)))
    assert b'"content":"text 3"' in both[0] and b'"eventId":"m1"' in both[0]
    assert b"text 1" not in b"".join(both)
    assert b'"replaces":"m1"' in both[2]


def test_the_views_were_what_they_were_before() -> None:
    bought = said(3, kind="purchase", content=None, text=None, amount=2_000)
    entries = [said(1), said(2), bought, said(4)]
    answer = found(entries, since(20))
    metrics = answer.views["engagementMetrics"]
    assert (metrics["totalMessages"].was, metrics["totalMessages"].now) == (2, 3)
    assert (metrics["totalRevenue"].was, metrics["totalRevenue"].now) == (0.0, 20.0)
    assert answer.until == "journal-3:103"
    everything = found(entries, since(0))
    assert everything.views["engagementMetrics"]["totalMessages"].was is None
    assert len(everything.events) == 4


def test_a_time_counts_what_arrived_late_as_having_happened_then() -> None:
    late = said(1, event_id="late", time=BEGIN + 2 * DAY, source_offset=99)
    answer = found([said(1), said(3), late], Since(None, BEGIN + 2 * DAY))
    assert len(answer.events) == 1
    assert answer.views["engagementMetrics"]["totalMessages"].was == 2
    assert len(found([said(1), said(3), late], since(30)).events) == 1


def test_nobody_is_nobody() -> None:
    assert changes(WHO, 3, [], Since(None, 0), BEGIN) is None


def test_a_version_is_a_position_too() -> None:
    entries = [said(1), said(2), said(3)]
    behind = Since(Position("journal", 3, 100))
    assert found(entries, behind) == found(entries, since(10))
    for elsewhere in (Position("journal", 2, 100), Position("interactions", 0, 100)):
        with pytest.raises(InvalidInput, match="since"):
            found(entries, Since(elsewhere))
