"""`fanmemory dlq`: what was refused, why, and the value again for who has the key."""

import base64
import json
from pathlib import Path
from typing import Any

from admin.dead_letters import held, pages, read_newest
from admin.retry import PAGE_LETTERS, retry
from infra.settings import Settings
from ops.importing import rereading
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.refusals import NO_FAN, NO_FAN_REASON
from schemas.topics import DEAD_LETTERS
from stores.letters import LetterKeys
from tests.cli import Running
from tests.pipeline import Pipeline

OTHER_KEYRING = "other:" + base64.b64encode(b"k" * 32).decode()


def letters(running: Running, *words: str, **environment: Any) -> Any:
    ran = running.run("dlq", "--json", *words, **environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


async def refuse(running: Running, *lines: bytes) -> list[Any]:
    """Emit lines that will be refused; their dead letters, opened."""
    assert (await running.emit(*lines))["sent"] == len(lines)
    return letters(running, "--open", "--newest", str(len(lines)))["deadLetters"]


def test_each_tells_place_field_reason_and_time(demonstrated: Running) -> None:
    for letter in letters(demonstrated)["deadLetters"]:
        assert set(letter) == {"source", "field", "reason", "refusedAt", "length", "digest"}
        assert letter["source"].startswith("interactions-")


def test_the_newest_come_last_and_no_more_than_asked_for(demonstrated: Running) -> None:
    everything = letters(demonstrated)
    times = [letter["refusedAt"] for letter in everything["deadLetters"]]
    assert times == sorted(times)
    last = demonstrated.json("dlq", "--newest", "1")
    assert last["total"] == everything["total"] > 1
    assert last["deadLetters"] == everything["deadLetters"][-1:]


async def test_the_value_comes_back_as_it_was_sent(demonstrated: Running) -> None:
    lines = [b'{"type": "wink", "note": "\xc3\xa9t\xc3\xa9"}', b"\xff\xfe not text", b"[]"]
    values = {
        letter["value"].encode() if "value" in letter else base64.b64decode(letter["valueBase64"])
        for letter in await refuse(demonstrated, *lines)
    }
    assert values == set(lines)


async def test_what_was_refused_can_be_mended_and_emitted(demonstrated: Running) -> None:
    event = {
        "eventId": "mend-1",
        "fanId": "mended",
        "creatorId": "emitter",
        "type": "tip",
        "amount": -3,
        "timestamp": "2024-05-01T10:00:00Z",
    }
    [letter] = await refuse(demonstrated, json.dumps(event).encode())
    assert letter["field"] == "amount"
    await demonstrated.emit(json.loads(letter["value"]) | {"amount": 3})
    context = await demonstrated.context("emitter", "mended")
    assert context is not None
    assert context.engagement_metrics.total_revenue == 3


def test_another_keyring_opens_nothing_and_says_so(demonstrated: Running) -> None:
    found = letters(demonstrated, "--open", FANMEMORY_KEYRING=OTHER_KEYRING)["deadLetters"]
    assert found
    for letter in found:
        assert "value" not in letter
        assert "keyring" in letter["error"]


async def test_a_terminal_is_shown_no_control_characters(demonstrated: Running) -> None:
    await refuse(demonstrated, b'\x1b[31m{"red": 1}\x07')
    shown = demonstrated.run("dlq", "--open", "--newest", "1", COLUMNS="200").stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert '\\x1b[31m{"red": 1}\\x07' in shown


async def test_a_letter_that_ingest_wrote_twice_is_told_once_and_another_of_its_place_too(
    settings: Settings, tmp_path: Path
) -> None:
    pipeline = Pipeline(settings, tmp_path)
    source = "interactions-0:7"
    records = []
    # A log that was made again has had another record in this place.
    for second, value in enumerate((b"value", b"value", b"other")):
        kek, sealed = pipeline.keyring.seal(value, source.encode())
        time = f"2024-05-01T10:00:0{second // 2}.000Z"
        letter = DeadLetter(source, "$", "no", time, kek, sealed, len(value), value.hex())
        records.append((source.encode(), encode_dead_letter(letter)))
    await pipeline.publish_records(records, DEAD_LETTERS.name)
    found, total = await read_newest(settings, 10)
    assert ([one.source for one in found], total) == ([source, source], 3)
    opened = [LetterKeys(pipeline.keyring, {}).open(one) for one in found]
    assert opened == [b"value", b"other"]
    assert await read_newest(settings, 1) == (found[1:], 3)
    assert [[len(page) async for page in pages(settings, 10)]] == [[2]]


async def test_what_is_acceptable_now_is_published_again_and_counts_once(
    demonstrated: Running,
) -> None:
    """A tip that a former release refused, and one that stays wrong. Neither has an id."""
    event = {"fanId": "retried", "creatorId": "emitter", "type": "tip"}
    event["timestamp"] = "2024-05-01T10:00:00Z"
    values = [json.dumps(event | {"amount": amount}).encode() for amount in (7, -7)]
    records = []
    for number, value in enumerate(values):
        source = f"former-release:{number}"
        kek, sealed = demonstrated.pipeline.keyring.seal(value, source.encode())
        letter = DeadLetter(
            source, "amount", "was new", "2024-05-01T10:00:00.000Z", kek, sealed, len(value)
        )
        records.append((source.encode(), encode_dead_letter(letter)))
    await demonstrated.pipeline.publish_records(records, DEAD_LETTERS.name)
    dry = demonstrated.json("dlq", "--retry", "--reason", "was new", "--dry-run")
    assert (dry["acceptable"], dry["published"]) == (1, 0)
    assert dry["reasons"] == [
        {"field": "amount", "reason": "was new", "letters": 2, "acceptable": 1}
    ]
    said = demonstrated.run("dlq", "--retry", "--reason", "was new", "--dry-run").stdout
    assert "1 would be published; nothing is" in said
    for published, before in ((1, 0), (0, 1)):
        told = demonstrated.json("dlq", "--retry", "--reason", "was new")
        assert (told["published"], told["publishedBefore"]) == (published, before)
        assert told["lost"] == 0
        assert [(one["field"], one["count"]) for one in told["stillRefused"]] == [("amount", 1)]
        await demonstrated.drained()
        context = await demonstrated.context("emitter", "retried")
        assert context is not None
        assert context.engagement_metrics.total_revenue == 7
    said = demonstrated.run("dlq", "--retry", "--reason", "was new").stdout
    assert "1 still refused: amount" in said


async def test_all_letters_are_looked_at_page_by_page(settings: Settings, tmp_path: Path) -> None:
    """More than one page in a partition, one letter written twice, each value another one."""
    pipeline = Pipeline(settings, tmp_path)
    count = 2 * PAGE_LETTERS + 7
    await _refused_tips(pipeline, count)
    found = [page async for page in pages(settings, PAGE_LETTERS)]
    assert max(map(len, found)) <= PAGE_LETTERS
    assert await held(settings) == count + 1
    for dry_run, published in ((True, 0), (False, count), (False, 0)):
        letters = pages(settings, PAGE_LETTERS)
        reread = rereading(pipeline.keyring)
        retried = await retry(settings, letters, pipeline.keyring, reread, dry_run=dry_run)
        assert (retried.looked_at, retried.published) == (count, published)
    assert retried.before == count


async def _refused_tips(pipeline: Pipeline, count: int) -> None:
    records = []
    for number in [*range(count), 0]:
        tip = {"fanId": "f", "creatorId": "c", "type": "tip", "amount": 1 + number}
        value = json.dumps(tip | {"timestamp": "2024-05-01T10:00:00Z"}).encode()
        source = f"former-release:{number}".encode()
        kek, sealed = pipeline.keyring.seal(value, source)
        letter = DeadLetter(
            source.decode(),
            "amount",
            "was new",
            "2024-05-01T10:00:00.000Z",
            kek,
            sealed,
            len(value),
        )
        records.append((b"one partition", encode_dead_letter(letter)))
    await pipeline.publish_records(records, DEAD_LETTERS.name)


async def test_a_delivery_that_nobody_could_read_is_read_again(demonstrated: Running) -> None:
    """As if a former release had not known donations."""
    donation = {
        "type": "Donation",
        "timestamp": "2026-11-21T13:04:30Z",
        "email": "jo@example.com",
        "amount": "3.00",
        "currency": "USD",
        "kofi_transaction_id": "t1",
    }
    kept = {
        "type": "unread",
        "creatorId": "emitter",
        "reason": "is an event that is not known",
        "platform": "kofi",
        "connection": "c",
        "body": json.dumps(donation),
    }
    await refuse(demonstrated, json.dumps(kept).encode())
    told = demonstrated.json("dlq", "--retry", "--reason", "delivery")
    assert told["published"] == 1
    await demonstrated.drained()
    context = await demonstrated.context("emitter", "jo@example.com")
    assert context is not None
    assert context.engagement_metrics.total_revenue == 3


async def test_a_deletion_whose_message_came_too_late_is_applied_when_it_is_retried(
    demonstrated: Running,
) -> None:
    """It names no fan. Two of the creator's fans have messages, one of them that one."""
    creator = "deleting"
    kept = {
        "type": "unread",
        "creatorId": creator,
        "reason": NO_FAN,
        "platform": "onlyfans",
        "connection": "c",
        "body": json.dumps({"event": "messages.deleted", "payload": {"id": 77}}),
    }
    (letter,) = await refuse(demonstrated, json.dumps(kept).encode())
    assert letter["reason"] == NO_FAN_REASON
    words = ("dlq", "--retry", "--reason", NO_FAN)
    told = demonstrated.json(*words)
    assert (told["published"], [one["reason"] for one in told["stillRefused"]]) == (
        0,
        [NO_FAN_REASON],
    )
    said = {"creatorId": creator, "type": "message", "timestamp": "2024-05-01T10:00:00Z"}
    await demonstrated.emit(
        said | {"fanId": "one", "eventId": "77", "content": "unsent"},
        said | {"fanId": "one", "eventId": "78", "content": "stays"},
        said | {"fanId": "two", "eventId": "79", "content": "of another"},
    )
    await demonstrated.drained()
    assert demonstrated.json(*words)["published"] == 1
    await demonstrated.drained()
    for fan, left in (("one", ["stays"]), ("two", ["of another"])):
        context = await demonstrated.context(creator, fan)
        assert context is not None
        assert [one.content for one in context.recent_messages] == left


async def test_what_was_stamped_anew_is_one_event_as_new_and_what_came_days_later_another(
    demonstrated: Running,
) -> None:
    """A tip of 5; another of 12.5 under its id, sent twice with the time of sending, in another
    order of its fields; and once more a week later."""
    tip = {"fanId": "stamped", "creatorId": "emitter", "type": "tip", "eventId": "t1"}
    times = [f"2024-05-0{day}T10:00:0{second}Z" for day, second in ((1, 0), (1, 1), (1, 7), (8, 0))]
    first, other, again, later = ({"timestamp": one} for one in times)
    media = {"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}
    await demonstrated.emit(
        tip | first | {"amount": 5},
        tip | other | {"amount": 12.5} | media[0],
        tip | again | {"amount": 12.50} | media[1],
        tip | later | {"amount": 12.5} | media[0],
    )

    async def revenue_after(*words: str) -> float:
        await demonstrated.drained()
        demonstrated.json("dlq", "--retry", "--reason", "conflict", *words)
        await demonstrated.drained()
        context = await demonstrated.context("emitter", "stamped")
        assert context is not None
        return context.engagement_metrics.total_revenue

    assert await revenue_after() == 5
    assert await revenue_after("--as-new") == 17.5
    # A week apart it is another one, which conflicts under the id that the first was given.
    assert await revenue_after("--as-new") == 30
    assert await revenue_after("--as-new") == 30


async def test_a_conflict_is_published_as_new_only_when_that_is_said(
    demonstrated: Running,
) -> None:
    """Two tips of one id: the second is kept, and counts once its operator says that it is one."""
    tip = {"fanId": "conflicting", "creatorId": "emitter", "type": "tip", "eventId": "t1"}
    tip["timestamp"] = "2024-05-01T10:00:00Z"
    numbers = b'"metadata":{"n":12345678901234567890123,"x":0.10}}'
    other = json.dumps(tip | {"amount": 12.5}).encode()[:-1] + b", " + numbers
    await demonstrated.emit(tip | {"amount": 5}, other, other)

    async def revenue() -> float:
        await demonstrated.drained()
        context = await demonstrated.context("emitter", "conflicting")
        assert context is not None
        return context.engagement_metrics.total_revenue

    assert await revenue() == 5
    listed = letters(demonstrated, "--reason", "conflict", "--open", "--newest", "10000")
    kept, again = [one for one in listed["deadLetters"] if "conflicting" in one["value"]]
    assert kept["digest"] == again["digest"]
    assert (kept["field"], json.loads(kept["value"])["amount"]) == ("eventId", 12.5)
    told = demonstrated.json("dlq", "--retry", "--reason", "conflict")
    assert (told["published"], told["conflicts"] > 0) == (0, True)
    assert await revenue() == 5
    for published in (True, False):
        told = demonstrated.json("dlq", "--retry", "--reason", "conflict", "--as-new")
        assert (told["published"] > 0, told["conflicts"]) == (published, 0)
        assert await revenue() == 17.5
    refused = demonstrated.run("dlq", "--as-new")
    assert refused.returncode == 2
    assert "belong to --retry" in refused.stderr
