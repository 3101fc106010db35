"""The programs of docs/producers.md, as they stand there, against a running system."""

import asyncio
import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGTERM
from subprocess import run
from typing import Any, NamedTuple

import aiohttp
import pytest
from msgspec import to_builtins
from pytest import approx

from api.tokens import issue_token
from infra.kafka import partition_of, relationship_key
from ops.services.endpoints import KAFKA_USER
from schemas.context import MemoryContext
from schemas.positions import Position, parse_position
from schemas.topics import INTERACTIONS, MEMORY_UPDATES
from tests.cli import SECONDS_MAX, STOPPED_SECONDS_MAX, Running
from tests.clients import java, node
from tests.documented import ROOT
from views.context import render_context

PAGE = ROOT / "docs" / "producers.md"
BLOCK = re.compile(r"^```(?:js|python|java)\n((?:#|//) (\S+): .*?)^```$", re.DOTALL | re.MULTILINE)
CLIENTS = ("kafkajs", "confluent", "aiokafka", "java")
FANS = ("fan_1", "мая 😀", "Zoe\u0301")
"""The last one is not in NFC."""
JAVA = {"producer": "EventProducer", "consumer": "MemoryUpdates"}


class Programs(NamedTuple):
    """Where they have been laid, and how to run them."""

    folder: Path

    def command(self, client: str, kind: str) -> list[str]:
        if client == "java":
            return java.running(JAVA[kind], self.folder)
        program = next(self.folder.glob(f"{client}_{kind}.*"))
        return [str(node.NODE) if client == "kafkajs" else sys.executable, str(program)]

    async def send(
        self, command: list[str], events: list[dict[str, Any]], **environment: str
    ) -> tuple[int, str, str]:
        """What a producer that is given these events ends with, prints, and complains of."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | environment,
            cwd=self.folder,
        )
        lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
        try:
            said = await asyncio.wait_for(process.communicate(lines.encode()), SECONDS_MAX)
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode is not None
        return process.returncode, said[0].decode(), said[1].decode()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    node.need_modules()
    folder = tmp_path_factory.mktemp("programs")
    found = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(found) == 2 * len(CLIENTS)
    for text, name in found:
        (folder / name).write_text(text, "utf-8")
    (folder / "node_modules").symlink_to(node.MODULES)
    run(java.compiling(sorted(folder.glob("*.java")), folder), check=True, timeout=SECONDS_MAX)
    return Programs(folder)


@pytest.fixture
def told(demonstrated: Running) -> dict[str, str]:
    """What the programs are told by the environment."""
    return {
        "KAFKA_URL": str(demonstrated.second["endpoints"]["kafka"]),
        "KAFKA_USER": KAFKA_USER,
        "KAFKA_PASSWORD_FILE": str(demonstrated.data / "kafka" / "password"),
    }


@pytest.fixture
async def api(demonstrated: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(demonstrated.api_url) as session:
        yield session


async def asked(
    api: aiohttp.ClientSession, system: Running, creator: str, path: str, **params: str
) -> tuple[int, Any]:
    token = issue_token(system.pipeline.settings, creator, "user", 600)
    method = "DELETE" if path == "clear" else "GET"
    headers = {"Authorization": f"Bearer {token}"}
    url, params = f"/api/of-memory/{path}", params | {"creatorId": creator}
    async with api.request(method, url, params=params, headers=headers) as answer:
        return answer.status, await answer.json()


def creator_of(client: str) -> str:
    return f"créatrice_{client}"


def tip(creator: str, fan: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "eventId": f"tip-{number}",
        "creatorId": creator,
        "fanId": fan,
        "type": "tip",
        "amount": 5,
        "timestamp": f"2026-11-01T10:00:{number:02}Z",
    } | more


def positions_of(events: list[dict[str, Any]], said: str) -> list[Position]:
    """Where each event is, as a producer printed it, in whatever order."""
    lines = [line.split(" ", 1) for line in said.splitlines()]
    places = {event_id: parse_position(position) for position, event_id in lines}
    assert len(places) == len(lines) == len(events)
    return [places[event["eventId"]] for event in events]


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_a_producer_sends_is_remembered_or_refused_with_a_reason(
    client: str,
    programs: Programs,
    demonstrated: Running,
    told: dict[str, str],
    api: aiohttp.ClientSession,
) -> None:
    creator = creator_of(client)
    events = [tip(creator, fan, number) for number, fan in enumerate(FANS)]
    large = tip(creator, FANS[0], 8, type="message", content="x" * 300_000)
    events += [tip(creator, FANS[0], 7, amount=-1), large]
    command = programs.command(client, "producer")
    code, said, wrong = await programs.send(command, events, **told)
    assert code == 0, wrong
    positions = positions_of(events, said)

    await demonstrated.drained()
    records = {
        (one.partition, one.offset): one
        for one in await demonstrated.pipeline.records(INTERACTIONS.name)
    }
    partitions = demonstrated.pipeline.settings.interactions_partitions
    for event, position in zip(events, positions, strict=True):
        record = records[position.partition, position.offset]
        key = unicodedata.normalize("NFC", f"{creator}:{event['fanId']}").encode()
        assert record.key == key == relationship_key(*key.decode().split(":"))
        assert json.loads(record.value) == event
        assert position.partition == partition_of(key, partitions)
    for fan, position in zip(FANS, positions, strict=False):
        status, body = await asked(
            *(api, demonstrated, creator, "context"), fanId=fan, minPosition=str(position)
        )
        assert status == 200, body
        assert body["data"]["engagementMetrics"]["totalRevenue"] == 5
    for position, reason in zip(positions[-2:], ("amount", "262"), strict=True):
        status, body = await asked(
            *(api, demonstrated, creator, "context"), fanId=FANS[0], minPosition=str(position)
        )
        assert status == 400
        assert reason in body["error"]


REFUSALS = {
    "kafkajs": ("KafkaJSSASLAuthenticationError", "larger than the max message size"),
    "confluent": ("_AUTHENTICATION", "MSG_SIZE_TOO_LARGE"),
    "aiokafka": ("SaslAuthenticationFailed", "MessageSizeTooLargeError"),
    "java": ("SaslAuthenticationException", "RecordTooLargeException"),
}
"""What the page says of a wrong password, and of a record that no broker takes."""


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_can_not_be_sent_ends_a_producer_with_the_words_of_the_page(
    client: str, programs: Programs, told: dict[str, str], tmp_path: Path
) -> None:
    command, page = programs.command(client, "producer"), PAGE.read_text("utf-8")
    (tmp_path / "password").write_text("another")
    wrong = told | {"KAFKA_PASSWORD_FILE": str(tmp_path / "password")}
    event = tip("refused", "fan", 1)
    large = event | {"type": "message", "content": "x" * 1_100_000}
    ended = await asyncio.gather(
        programs.send(command, [event], **wrong),
        programs.send(command, [large], **told),
        programs.send(command, [event | {"eventId": ""}], **told),
    )
    for (code, said, complaint), words in zip(
        ended, (*REFUSALS[client], "no eventId"), strict=True
    ):
        assert code == 1
        assert f"{INTERACTIONS.name}-" not in said
        assert words in complaint + said  # log4j's lines go to standard output
        assert words in page
        assert "another" not in complaint + said


async def test_each_consumer_tells_an_update_once_and_that_a_fan_was_erased(
    programs: Programs, demonstrated: Running, told: dict[str, str], api: aiohttp.ClientSession
) -> None:
    creator, fan = "suivie", "мая"
    await demonstrated.emit(tip(creator, fan, 1))
    pipeline = demonstrated.pipeline
    key = relationship_key(creator, fan)
    first, *_ = [one for one in await pipeline.records(MEMORY_UPDATES.name) if one.key == key]
    async with pipeline.producer() as producer:
        for _ in range(2):  # as after a worker was killed between telling and keeping that it did
            await producer.send_and_wait(
                MEMORY_UPDATES.name, first.value, first.key, partition=first.partition
            )
    await demonstrated.emit(tip(creator, fan, 2))
    status, body = await asked(api, demonstrated, creator, "clear", fanId=fan)
    assert status in (200, 202), body
    await demonstrated.drained()
    keys = [one.key for one in await pipeline.records(MEMORY_UPDATES.name)]
    assert keys.count(key) >= 5  # two told by the worker, two copies, and the erasure

    ended = await asyncio.gather(
        *(
            follow(programs.command(client, "consumer"), programs, told, creator)
            for client in CLIENTS
        )
    )
    for client, (code, lines) in zip(CLIENTS, ended, strict=True):
        assert code == (128 + SIGTERM if client == "java" else 0), client
        versions, last = [line.split()[0] for line in lines[:-1]], lines[-1]
        assert versions[0] == json.loads(first.value)["version"], client
        assert len(versions) == len(set(versions)) == 2, (client, lines)
        assert last.startswith("erased"), client
        assert fan in last, client


async def follow(
    command: list[str], programs: Programs, told: dict[str, str], creator: str
) -> tuple[int, list[str]]:
    """How a consumer ends when it is stopped, and its lines about a creator, the erasure last."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | told | {"KAFKA_GROUP": f"followers-{command[-1]}"},
        cwd=programs.folder,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not (lines and lines[-1].startswith("erased")):
                line = (await process.stdout.readline()).decode()
                assert line, f"{command[-1]} has ended"
                lines += [line] if creator in line else []
        process.terminate()
        # What it still says is read: with a full pipe nobody hears that a process has ended.
        await asyncio.wait_for(process.communicate(), STOPPED_SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, lines


def partitioning(programs: Programs) -> tuple[Path, Path]:
    """A producer as the page has it, and the same with librdkafka's own partitioner."""
    right = Path(programs.command("confluent", "producer")[-1])
    other, text = right.with_name("other.py"), right.read_text()
    assert text.count('"murmur2_random"') == 1
    other.write_text(text.replace('"murmur2_random"', '"consistent_random"'))
    return right, other


FOLLOW_THE_LOG = ("version", "updatedAt")
"""By the table in docs/views.md; nobody answers here."""


def figures(memory: MemoryContext) -> dict[str, Any]:
    """Each number and text of a memory by its path, but for what follows the log."""
    found: dict[str, Any] = {}

    def look(path: str, value: Any) -> None:
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                look(f"{path}/{key}", inner)
        elif not path.endswith(FOLLOW_THE_LOG):
            found[path] = value

    look("", to_builtins(memory))
    return found


async def test_another_partitioner_loses_nothing(
    programs: Programs, demonstrated: Running, told: dict[str, str]
) -> None:
    """As the page says: the views are those of one partition, wherever the records went."""
    right, other = partitioning(programs)
    fans = [f"fan_{number}" for number in range(6)]
    words = ("Hello", "I love it 😍", "sad today", "you are great", "are you there?", "See you")

    def events_of(creator: str) -> list[dict[str, Any]]:
        events = [
            tip(creator, fan, number, type="message", content=content)
            | {"eventId": f"{fan}-{number}"}
            for number, content in enumerate(words)
            for fan in fans
        ]
        for event in events:
            del event["amount"]
        return events

    async def send(program: Path, events: list[dict[str, Any]]) -> set[tuple[str, int]]:
        """Which fan's events went to which partition."""
        code, said, wrong = await programs.send([sys.executable, str(program)], events, **told)
        assert code == 0, wrong
        places = zip(events, positions_of(events, said), strict=True)
        return {(str(event["fanId"]), position.partition) for event, position in places}

    events = events_of("ailleurs")
    later, sooner = events[: len(events) // 2], events[len(events) // 2 :]
    places = await send(other, sooner)
    places |= await send(right, later)
    await send(right, events_of("ici"))
    await demonstrated.drained()
    assert len(places) > len(fans)  # some relationships are on two partitions
    now = time.time_ns() // 1_000_000
    async with demonstrated.pipeline.stores() as (_, store):
        for fan in fans:
            split, whole = [
                render_context("creator", fan, found.state, found.entries, now)
                for creator in ("ailleurs", "ici")
                if (found := await store.read(creator, fan))
            ]
            assert len(split.recent_messages) == len(words)
            assert figures(split) == approx(figures(whole), rel=1e-6)
