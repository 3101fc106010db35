"""Publishing files of events: what is read, how it is shifted and keyed, what is reported."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from admin.emit import LINE_BYTES_MAX, emit, event_key, read_lines, shifted, to_now_ms
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, FanMemoryError
from schemas.times import render_time
from schemas.topics import INTERACTIONS
from tests.cli import Running, fanmemory
from tests.pipeline import Pipeline

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


# Reading.


def test_blank_lines_and_line_ends_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\n{"a":1}\r\n  \n\t{"b":2}')
    assert list(read_lines(path)) == [b'{"a":1}', b'{"b":2}']


def test_a_gz_file_reads_as_its_plain_text(tmp_path: Path) -> None:
    lines = [json.dumps(event("fan", number)).encode() for number in range(50)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    assert list(read_lines(tmp_path / "a.jsonl.gz")) == list(read_lines(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"x" * 10_000, mtime=0)[:-20], b"\x1f\x8b"]
)
def test_a_gz_file_that_is_broken_is_said_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(FanMemoryError, match=r"broken\.jsonl\.gz"):
        list(read_lines(path))


def test_a_line_without_an_end_is_cut_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * (3 * LINE_BYTES_MAX) + b"\n{}\n" + b" " * (2 * LINE_BYTES_MAX) + b"[]")
    first, second, third = read_lines(path)
    assert LINE_BYTES_MAX < len(first) < 2 * LINE_BYTES_MAX
    assert second == b"{}"
    assert len(third) > LINE_BYTES_MAX, "what was cut off is not sent as if it were whole"


def test_a_line_of_the_largest_length_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * LINE_BYTES_MAX + b"\n" + b"y" * LINE_BYTES_MAX)
    assert [len(line) for line in read_lines(path)] == [LINE_BYTES_MAX, LINE_BYTES_MAX]


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
        assert set(told) == {"sent", "tooLong", "seconds", "eventsPerSecond"}
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
    path.write_text("x" * (LINE_BYTES_MAX + 1) + "\n" + json.dumps(event("long", 1)))
    told = demonstrated.json("emit", str(path))
    assert (told["sent"], told["tooLong"]) == (1, 1)
    said = demonstrated.run("emit", str(path))
    assert "too long" in said.stderr
    assert said.stdout.startswith("1 events in ")


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
    kafka = json.loads((demonstrated.data / "endpoints.json").read_text())["kafka"]
    ran = fanmemory(
        "emit", "-", "--json", "--data", str(tmp_path / "nowhere"),
        stdin=json.dumps(event("alone", 1)), FANMEMORY_KAFKA_URL=kafka,
    )  # fmt: skip
    assert json.loads(ran.stdout)["sent"] == 1
    assert not (tmp_path / "nowhere").exists(), "publishing needs no secrets and makes none"
