"""Publishing files of events: how it is shifted and keyed, what is reported."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from admin.emit import emit, event_key, shifted, to_now_ms
from admin.judging import Judge
from admin.reading import VALUE_BYTES_MAX
from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from schemas.times import render_time
from schemas.topics import INTERACTIONS
from tests.cli import Running, fanmemory
from tests.pipeline import Pipeline
from tests.services import kafka_variables

times = st.integers(631_152_000_000, 4_000_000_000_000)
ids = st.text(min_size=1, max_size=20)


def event(fan: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "eventId": f"{fan}-{number}",
        "fanId": fan,
        "creatorId": "emitter",
        "type": "like",
        "timestamp": render_time(1_700_000_000_000 + number * 1000),
    } | more


async def interactions(running: Running, fan: str) -> int:
    context = await running.context("emitter", fan)
    return 0 if context is None else context.personality_profile.interaction_count


# Keys.


@given(ids, ids)
def test_a_line_is_keyed_by_its_relationship(creator: str, fan: str) -> None:
    line = json.dumps({"creatorId": creator, "fanId": fan, "type": "nonsense"}).encode()
    assert event_key(line) == f"{creator}:{fan}".encode()


@given(st.binary(max_size=200))
def test_any_bytes_have_a_key_or_none(line: bytes) -> None:
    key = event_key(line)
    assert key is None or isinstance(key, bytes)


# Shifting.


@given(st.lists(times, min_size=1, max_size=20), st.integers(-(10**12), 10**12))
def test_shifting_moves_every_time_by_the_same_and_nothing_else(at: list[int], by: int) -> None:
    events = [event("fan", number, timestamp=render_time(time)) for number, time in enumerate(at)]
    moved = [json.loads(line) for line in shifted((json.dumps(e).encode() for e in events), by)]
    assert [one["timestamp"] for one in moved] == [render_time(time + by) for time in at]
    for before, after in zip(events, moved, strict=True):
        assert before | {"timestamp": ""} == after | {"timestamp": ""}


def test_the_newest_time_becomes_now() -> None:
    lines = [json.dumps(event("fan", number)).encode() for number in (3, 9, 1)]
    before = datetime.now().astimezone()
    moved = [json.loads(line) for line in shifted(lines, to_now_ms(lines))]
    newest = max(datetime.fromisoformat(one["timestamp"]) for one in moved)
    assert abs((newest - before).total_seconds()) < 60
    assert newest == datetime.fromisoformat(moved[1]["timestamp"])


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_what_has_no_readable_time_stays_as_it_is(lines: list[bytes]) -> None:
    unreadable = [b"not json", b"[1]", b'{"timestamp": 5}', b'{"timestamp":"soon"}', *lines]
    assert list(shifted(unreadable, 0))[:4] == unreadable[:4]
    assert len(list(shifted(unreadable, to_now_ms(unreadable)))) == len(unreadable)


# Judging.


def test_what_ingest_will_refuse_is_counted_by_its_reason_and_passes_on() -> None:
    lines = [
        json.dumps(event("fan", 1)).encode(),
        json.dumps(event("fan", 2, type="tip")).encode(),
        json.dumps(event("fan", 3, type="tip")).encode(),
        b'{"fanId": ',
        b'{"fanId": "somebody", "type"',
        b"x" * (VALUE_BYTES_MAX + 1),
    ]
    judge = Judge("USD")
    assert list(judge.watch(lines)) == lines
    assert dict(judge.refused) == {
        ("amount", "is required for a tip"): 2,
        ("$", "must be valid JSON: Input data was truncated"): 2,
    }


# Publishing.


async def test_events_go_where_every_kafka_client_would_send_them(
    settings: Settings, tmp_path: Path
) -> None:
    lines = [json.dumps(event(f"fan-{number % 40}", number)).encode() for number in range(200)]
    done: list[int] = []
    result = await emit(settings, [*lines, b"no json"], progress=done.append)
    assert (result.sent, result.too_long, sum(done)) == (201, 0, 201)
    partitions = list(range(settings.interactions_partitions))
    for record in await Pipeline(settings, tmp_path).records(INTERACTIONS.name):
        if record.key is None:
            assert record.value == b"no json"
            continue
        assert record.key == event_key(record.value)
        assert record.partition == DefaultPartitioner()(record.key, partitions, partitions)
        lines.remove(record.value)
    assert not lines


async def test_without_a_broker_it_says_that_nothing_went_out() -> None:
    with pytest.raises(BrokerUnavailable, match="No Kafka broker takes events"):
        await emit(Settings(kafka_url="127.0.0.1:9"), [b"{}"])


# The command.


async def test_a_file_is_published_and_a_second_time_adds_nothing(
    demonstrated: Running, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl.gz"
    lines = [json.dumps(event("gz", number)) for number in range(30)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    for _ in range(2):
        told = demonstrated.json("emit", str(path))
        assert set(told) == {"sent", "tooLong", "refused", "seconds", "eventsPerSecond"}
        assert (told["sent"], told["tooLong"]) == (30, 0)
    await demonstrated.emit(event("gz", 30))
    await demonstrated.drained()
    assert await interactions(demonstrated, "gz") == 31


async def test_a_rate_is_kept_and_now_is_now(demonstrated: Running, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(json.dumps(event("rate", number)) for number in range(20)))
    told = demonstrated.json("emit", str(path), "--rate", "20", "--now")
    assert told["sent"] == 20
    assert told["seconds"] >= 19 / 20
    assert told["eventsPerSecond"] <= 22
    await demonstrated.drained()
    context = await demonstrated.context("emitter", "rate")
    assert context is not None
    age = datetime.now().astimezone() - datetime.fromisoformat(
        context.engagement_metrics.updated_at
    )
    assert age.total_seconds() < 300


def test_a_line_that_no_broker_takes_is_left_out_and_said(
    demonstrated: Running, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("x" * (VALUE_BYTES_MAX + 1) + "\n" + json.dumps(event("long", 1)))
    ran = demonstrated.run("emit", str(path), "--json")
    told = json.loads(ran.stdout)
    assert (told["sent"], told["tooLong"], told["refused"]) == (1, 1, [])
    said = demonstrated.run("emit", str(path))
    assert "too long" in said.stderr
    assert (ran.returncode, said.returncode) == (1, 1)
    assert said.stdout.startswith("1 events in ")


async def test_what_was_refused_is_shown_by_its_reason_and_is_a_dead_letter(
    demonstrated: Running, tmp_path: Path
) -> None:
    path = tmp_path / "events.json"
    path.write_text(json.dumps([event("told", 1), event("told", 2, type="[wink]")], indent=1))
    ran = demonstrated.run("emit", str(path))
    assert ran.returncode == 1
    assert ran.stdout.startswith("2 events in ")
    assert "must be one of message, purchase" in ran.stderr.replace("\n", " ")
    ran = demonstrated.run("emit", str(path), "--json")
    assert ran.returncode == 1
    assert [(one["field"], one["count"]) for one in json.loads(ran.stdout)["refused"]] == [
        ("type", 1)
    ]
    await demonstrated.drained()
    assert await interactions(demonstrated, "told") == 1
    letters = demonstrated.json("dlq", "--newest", "2", "--open")["deadLetters"]
    assert [json.loads(one["value"])["type"] for one in letters] == ["[wink]"] * 2


async def test_waiting_is_until_all_of_it_is_in_the_views(demonstrated: Running) -> None:
    many = "\n".join(json.dumps(event("waited", number)) for number in range(400))
    assert demonstrated.json("emit", "-", "--wait", stdin=many)["sent"] == 400
    context = await demonstrated.context("emitter", "waited")
    assert context is not None
    assert await interactions(demonstrated, "waited") == 400


def test_a_pipe_is_read_once_and_wholly(demonstrated: Running) -> None:
    events = "\n".join(json.dumps(event("pipe", number)) for number in range(5))
    assert demonstrated.json("emit", "-", stdin=events)["sent"] == 5
    assert demonstrated.json("emit", "/dev/stdin", stdin=events)["sent"] == 5
    refused = demonstrated.run("emit", "-", "--now", stdin=events)
    assert refused.returncode == 2
    assert "twice" in refused.stderr


async def test_a_file_that_is_missing_or_broken_publishes_nothing(
    demonstrated: Running, tmp_path: Path
) -> None:
    missing = demonstrated.run("emit", str(tmp_path / "none.jsonl"))
    assert missing.returncode == 2
    assert "does not exist" in missing.stderr
    whole = gzip.compress(json.dumps(event("broken", 1)).encode() * 1000)
    (tmp_path / "broken.jsonl.gz").write_bytes(whole[:-30])
    broken = demonstrated.run("emit", str(tmp_path / "broken.jsonl.gz"), "--json")
    assert broken.returncode == 1
    assert "broken.jsonl.gz" in json.loads(broken.stdout)["error"]
    await demonstrated.drained()
    assert await interactions(demonstrated, "broken") == 0


def test_an_empty_file_is_no_error(demonstrated: Running, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert demonstrated.json("emit", str(tmp_path / "empty.jsonl"), "--now")["sent"] == 0


def test_kafka_alone_is_enough(demonstrated: Running, tmp_path: Path) -> None:
    given = kafka_variables(demonstrated.pipeline.settings)
    ran = fanmemory(
        *("emit", "-", "--json", "--data", str(tmp_path / "nowhere")),
        stdin=json.dumps(event("alone", 1)),
        cwd=None,
        **given,
    )
    assert "in the clear" not in ran.stderr
    assert json.loads(ran.stdout)["sent"] == 1
    assert not (tmp_path / "nowhere").exists(), "publishing needs no secrets and makes none"
