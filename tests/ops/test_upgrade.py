"""docs/upgrade.md, as it stands, on data of the former release."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.demo import CREATOR, FAN
from tests.cli import STOPPED_SECONDS_MAX, clean_environment, fanmemory
from tests.documented import ROOT, shell_of
from tests.forked import COMMAND
from tests.releases import unpacked

FORMER = "2b50d80"
"""Release 0.1.0."""
SECONDS_MAX = 120.0


@pytest.fixture
def former(tmp_path: Path) -> dict[str, Any]:
    """What the former release's demo printed of the data that it left in `data`."""
    code = unpacked(FORMER, tmp_path / "former")
    ran = subprocess.run(
        [sys.executable, "-m", "ops.cli", "demo", "--exit", "--json"],
        cwd=code,
        env=clean_environment(PYTHONPATH=str(code), FANMEMORY_DATA=str(tmp_path / "data")),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    printed: dict[str, Any] = json.loads(ran.stdout)
    return printed


def test_data_of_the_former_release_comes_along(former: dict[str, Any], tmp_path: Path) -> None:
    data = tmp_path / "data"
    (rebuild, up), later, _ = shell_of(ROOT / "docs" / "upgrade.md")
    assert (rebuild, up) == ("fanmemory rebuild", "fanmemory up")

    refused = fanmemory("up", "--data", str(data))
    assert refused.returncode == 1
    assert f"fanmemory rebuild --data {data}" in refused.stderr
    run(data, rebuild)

    process = subprocess.Popen(
        [*COMMAND, "up", "--data", str(data), "--json", "--workers", "1"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "`up` ended"
        for line in later:
            run(data, line)
        context = json.loads(
            run(data, f"fanmemory context --creator {CREATOR} --fan {FAN} --json").stdout
        )
        assert told(context) == told(former["context"])
        letters = json.loads(run(data, "fanmemory dlq --open --json").stdout)["deadLetters"]
        assert [one["source"] for one in letters] == [
            one["source"] for one in former["deadLetterReasons"]
        ]
        assert all(one["value"] for one in letters)
        found = json.loads(run(data, "fanmemory doctor --json").stdout)
        assert not [one for one in found["findings"] if one["verdict"] == "problem"]
    finally:
        process.terminate()
        assert process.wait(STOPPED_SECONDS_MAX) == 0
        if process.stdout is not None:
            process.stdout.close()


def run(data: Path, line: str) -> subprocess.CompletedProcess[str]:
    ran = fanmemory(*line.split()[1:], "--data", str(data))
    assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
    return ran


def told(context: dict[str, Any]) -> tuple[Any, ...]:
    """What both releases mean the same by."""
    engagement, personality = context["engagementMetrics"], context["personalityProfile"]
    return (
        [(one["id"], one["content"], one["sender"]) for one in context["recentMessages"]],
        [engagement[name] for name in ("totalMessages", "totalPurchases", "totalRevenue")],
        [engagement[name] for name in ("lastInteraction", "createdAt")],
        personality["interactionCount"],
    )
