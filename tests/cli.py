"""Commands as a person runs them: as processes, with nothing of ours in the environment.

The system that they find is the demo's second run on one data directory, left running.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, TypeVar

from admin.accounting import Account, wait_until_folded, wait_until_told
from infra.settings import Settings
from ops.secrets import with_secrets
from ops.services.endpoints import load
from schemas.context import MemoryContext
from schemas.topics import INTERACTIONS
from tests.forked import COMMAND, FORKED
from tests.pipeline import Pipeline
from views.context import render_context

SECONDS_MAX = 120.0
"""Generous: the machine may be busy, and a test that passes never waits for it."""
STOPPED_SECONDS_MAX = 40.0
POLL_SECONDS = 0.1
ALONE = {(name,) for name in ("demo", "up", "worker", "api", "verify", "rebuild")}
"""Commands that start processes, or end theirs the hard way; so are those that read a pipe."""

Found = TypeVar("Found")


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FANMEMORY_")}
    return kept | more


def fanmemory(
    *words: str, stdin: str | bytes | None = None, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; its output is decoded, its exit code not judged."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    if words[:1] in ALONE or given is not None:
        ran = subprocess.run(
            [*COMMAND, *words],
            env=clean_environment(**environment),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            cwd=cwd,
            timeout=SECONDS_MAX,
            check=False,
        )
        code, output, errors = ran.returncode, ran.stdout, ran.stderr
    else:
        code, output, errors = _forked(words, cwd, clean_environment(**environment))
    return subprocess.CompletedProcess(words, code, output.decode(), errors.decode())


def _forked(
    words: tuple[str, ...], cwd: Path | None, environment: dict[str, str]
) -> tuple[int, bytes, bytes]:
    with TemporaryDirectory() as folder:
        output, errors = Path(folder) / "out", Path(folder) / "err"
        output.touch()
        errors.touch()
        process = FORKED.start(
            words=words,
            environment=environment,
            directory=str(cwd or Path.cwd()),
            streams=[os.devnull, str(output), str(errors)],
        )
        code = process.wait()
        return code, output.read_bytes(), errors.read_bytes()


@dataclass
class Running:
    """A running system, and what the two runs of the demo printed."""

    data: Path
    process: subprocess.Popen[str]
    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def api_url(self) -> str:
        return str(self.second["endpoints"]["api_url"])

    def metrics_url(self, process: str) -> str:
        """Where a process of it is asked by Prometheus."""
        return f"http://127.0.0.1:{metrics_port(self.data, process)}"

    def run(
        self,
        *words: str,
        stdin: str | bytes | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """A command on this system."""
        here = {"FANMEMORY_DATA": str(self.data)} | environment
        return fanmemory(*words, stdin=stdin, cwd=cwd, **here)

    def json(self, *words: str, stdin: str | bytes | None = None) -> Any:
        """What a command that must succeed prints with `--json`."""
        ran = self.run(*words, "--json", stdin=stdin)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    async def emit(self, *events: dict[str, Any] | bytes) -> Any:
        """Publish lines, also wrong ones, wait until the views have them; what `emit` says."""
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
        with NamedTemporaryFile(suffix=".jsonl") as file:
            file.write(b"\n".join(lines))
            file.flush()
            ran = self.run("emit", file.name, "--json")
        told = json.loads(ran.stdout)
        assert ran.returncode == bool(told["refused"]), ran.stdout + ran.stderr
        await self.drained()
        return told

    @property
    def pipeline(self) -> Pipeline:
        """Its topics and its database, looked at from outside."""
        endpoints = load(self.data)
        assert endpoints is not None
        return Pipeline(with_secrets(Settings(), self.data, endpoints), self.data / "logs")

    async def drained(self) -> Account:
        """Wait until everything that is on `interactions` is in the views."""
        pipeline = self.pipeline
        written = sum((await pipeline.ends(INTERACTIONS.name)).values())
        async with pipeline.stores() as (_, store):
            account = await wait_until_folded(store, pipeline.settings, written, SECONDS_MAX)
            await wait_until_told(store, SECONDS_MAX)
            return account

    async def context(self, creator: str, fan: str) -> MemoryContext | None:
        """A fan's memory now, or None."""
        async with self.pipeline.stores() as (_, store):
            found = await store.read(creator, fan)
        if found is None:
            return None
        now = time.time_ns() // 1_000_000
        return render_context(creator, fan, found.state, found.entries, now)


def metrics_port(data: Path, process: str) -> int:
    """As the process says in its log when it has started; the last one counts."""
    path = data / "logs" / f"{process}.log"

    def said() -> list[str]:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [line for line in lines if '"metrics are served"' in line]

    return int(json.loads(eventually(said)[-1])["port"])


def demonstrated(data: Path) -> Iterator[Running]:
    """The demo once to its end, and once more, left running."""
    once = fanmemory("demo", "--exit", "--json", "--data", str(data), "--api-port", "0")
    assert once.returncode == 0, once.stdout + once.stderr
    process = subprocess.Popen(
        [*COMMAND, "demo", "--json", "--data", str(data), "--api-port", "0"],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the second demo ended with code {process.wait()}"
    yield Running(data, process, json.loads(once.stdout), json.loads(line))
    process.terminate()
    assert process.wait(STOPPED_SECONDS_MAX) == 0
    process.stdout.close()


def eventually(look: Callable[[], Found], seconds_max: float = SECONDS_MAX) -> Found:
    """Poll until `look` gives something true, and return it."""
    deadline = time.monotonic() + seconds_max
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(POLL_SECONDS)
    return found
