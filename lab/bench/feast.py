"""Feast's Python feature server beside the API: 30 values of each of as many fans, asked in a run.

In an environment of its own, made below the bench's folder and removed with it: Feast is no part of
our locks. Its online store is the same Valkey that our API reads, and it is asked by the same
client.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.settings import Settings
from lab.bench.cpu import CpuMeter
from lab.bench.http import closed_loop, connect, post_request
from lab.bench.serving import check, until_listening
from ops.services.ports import free_port
from schemas.errors import ServiceFailed

VERSION: Final = "0.67.0"
FANS: Final = 1000
VALUES: Final = 30
CONNECTIONS: Final = 2
INSTALL_SECONDS_MAX: Final = 900.0
START_SECONDS_MAX: Final = 180.0
"""It imports pandas and pyarrow: a minute on a busy machine."""

DEFINITIONS: Final = f"""
from datetime import UTC, datetime

import pandas
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

names = [f"value_{{n}}" for n in range({VALUES})]
fans = [f"fan-{{n}}" for n in range({FANS})]
now = datetime.now(UTC)
values = {{name: [number / 7 for number in range({FANS})] for name in names}}
frame = pandas.DataFrame({{"fan": fans, "event_timestamp": now, **values}})
frame.to_parquet("values.parquet")
fan = Entity(name="fan", join_keys=["fan"], value_type=ValueType.STRING)
memory = FeatureView(
    name="memory",
    entities=[fan],
    schema=[Field(name=name, dtype=Float64) for name in names],
    source=FileSource(path="values.parquet", timestamp_field="event_timestamp"),
)
store = FeatureStore(".")
store.apply([fan, memory])
store.write_to_online_store("memory", frame)
"""


async def measure(settings: Settings, data: Path, seconds: float) -> dict[str, Any]:
    """Closed loops for one fan and for a hundred. Raises `ServiceFailed`."""
    folder = data / "feast"
    folder.mkdir()
    python = folder / "venv" / "bin" / "python"
    await _run(folder, sys.executable, "-m", "venv", "venv")
    await _run(folder, python, "-m", "pip", "install", "--quiet", f"feast[redis]=={VERSION}")
    (folder / "feature_store.yaml").write_text(json.dumps(_store(settings)))
    (folder / "definitions.py").write_text(DEFINITIONS)
    await _run(folder, python, "definitions.py")
    async with _serving(folder) as (port, pid):
        connections = await connect("127.0.0.1", port, CONNECTIONS)
        try:
            measured = {}
            for name, fans in (("one", 1), ("hundred", 100)):
                requests = [_request(n * fans, fans) for n in range(FANS // fans)]
                meter = CpuMeter({"server": pid})
                load = await closed_loop(connections, requests, seconds)
                check(load)
                cpu = meter.seconds()["server"]
                micros = round(cpu / len(load.latencies) * 1e6, 1)
                measured[name] = load.summary() | {"cpuMicrosPerRequest": micros}
            return {"version": VERSION, "values": VALUES, **measured}
        finally:
            for connection in connections:
                connection.close()


def _store(settings: Settings) -> dict[str, Any]:
    """As JSON, which is YAML too."""
    url = urlsplit(settings.redis_url)
    password = f",password={url.password}" if url.password else ""
    return {
        "project": "bench",
        "registry": "registry.db",
        "provider": "local",
        "online_store": {
            "type": "redis",
            "connection_string": f"{url.hostname}:{url.port}{password}",
        },
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }


def _request(first: int, fans: int) -> bytes:
    asked = {
        "features": [f"memory:value_{n}" for n in range(VALUES)],
        "entities": {"fan": [f"fan-{(first + n) % FANS}" for n in range(fans)]},
    }
    body = json.dumps(asked).encode()
    return post_request("/get-online-features", "", "127.0.0.1", "application/json", body)


async def _run(folder: Path, *words: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), INSTALL_SECONDS_MAX)
    except TimeoutError:
        process.kill()
        raise ServiceFailed(f"{words[1]} did not end.") from None
    if process.returncode:
        raise ServiceFailed(f"{words[1]} failed: {said.decode()[-500:]}")


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """(port, pid) of one process that serves, below the one that watches it."""
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "--no-access-log")
    with (folder / "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("env", f"HOME={folder}", "FEAST_USAGE=False", folder / "venv" / "bin" / "feast"),
            *("serve", *options, "--max-requests", "1000000000"),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        await until_listening("127.0.0.1", port, process, START_SECONDS_MAX)
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
