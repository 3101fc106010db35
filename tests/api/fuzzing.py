"""Requests made from the published contract, also wrong ones: half of them for a fan who is there.

Schemathesis loads this file as its hooks; `TEST_CASES` is the number per operation.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import schemathesis

CASES = int(os.environ.get("TEST_CASES", "15"))
CASES_MIN = 1_000
"""Of a whole run, at the least."""
CREATOR, FAN, WHEN = "creator_456", "fan_123", "2026-01-01T00:00:00Z"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
SECONDS_MAX = 1_200


@schemathesis.hook
def map_query(_context: Any, query: Any) -> Any:
    """What names somebody names the one who is remembered, half of the time."""
    if isinstance(query, dict) and len(str(query.get("fanId", ""))) % 2:
        known = {"fanId": FAN, "creatorId": CREATOR}
        return query | {name: known[name] for name in known if name in query}
    return query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """What random text seldom gets right is right, so that the rest of a body is looked at."""
    if isinstance(body, list):
        return [map_body(context, one) for one in body]
    if not isinstance(body, dict):
        return body
    known: dict[str, Any] = {"creatorId": CREATOR, "fanId": FAN, "timestamp": WHEN}
    better = {name: known[name] for name in known if isinstance(body.get(name), str)}
    if isinstance(body.get("fanIds"), list) and body["fanIds"]:
        better["fanIds"] = [FAN if isinstance(one, str) else one for one in body["fanIds"]]
    if body.get("type") == "message" and not body.get("content"):
        better["content"] = "hello"
    return body | better


async def run(url: str, token: str, folder: Path) -> tuple[int, str]:
    """Exit status and report of a run against an API; deterministic for a number of cases."""
    words = (
        *("--no-color", "run", f"{url}/openapi.json", "--phases", "coverage,fuzzing"),
        *("--checks", ",".join(CHECKS), "--max-examples", str(CASES), "--mode", "all"),
        *("--header", f"Authorization: Bearer {token}", "--request-timeout", "30"),
        *("--generation-deterministic", "--no-shrink"),
        # It never ends: `tests/api/test_stream.py` says what it answers.
        *("--exclude-operation-id", "streamUpdates"),
        *("--suppress-health-check", "all", "--continue-on-failure", "--warnings", "off"),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli"),
        *words,
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": __name__, "PYTHONPATH": str(Path.cwd())},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, said.decode()
