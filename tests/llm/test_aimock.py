"""The same clients against a stand-in that others wrote: aimock, from npm, pinned by hash.

Skipped, and it says so, where there is no Node or npm can't be reached. What aimock can't do
(categories of a filter, refusals, drips, stalls) is in `test_providers`.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from lab.model_server import ANSWERS
from llm.outcomes import Answered, CutShort, Invalid, outcome
from llm.prompts import compose
from llm.providers import Provider, open_providers
from ops.services.ports import free_port
from schemas.errors import ProviderFailed
from tests.llm.material import material

HERE: Final = Path(__file__).parent / "aimock"
ENTRY: Final = Path("node_modules/@copilotkit/aimock/dist/cli.js")
INSTALL_SECONDS_MAX: Final = 60
START_SECONDS_MAX: Final = 20
GOOD: Final = json.dumps(ANSWERS["message_generation"])


class Failure(NamedTuple):
    """What aimock is told to say, and what has to come of it."""

    status: int
    code: str
    again: bool


FAILURES: Final = {
    "four-hundred": Failure(400, "validation", False),
    "wrong-key": Failure(401, "auth", False),
    "not-allowed": Failure(403, "auth", False),
    "not-there": Failure(404, "validation", False),
    "not-processable": Failure(422, "validation", False),
    "too-many": Failure(429, "rate_limit", True),
    "broken": Failure(500, "unknown", True),
    "overloaded": Failure(503, "unknown", True),
    "filtered": Failure(400, "content_filter", False),
}
TYPES: Final = {429: "rate_limit_error", 401: "authentication_error"}


def fixtures() -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def told(name: str, response: dict[str, Any], **more: Any) -> None:
        found.append({"match": {"userMessage": name}, "response": response, **more})

    for name, failure in FAILURES.items():
        error: dict[str, Any] = {"message": "no", "type": TYPES.get(failure.status, "error")}
        if failure.code == "content_filter":
            error["code"] = "content_filter"
        response: dict[str, Any] = {"error": error, "status": failure.status}
        if failure.status == 429:
            response["retryAfter"] = 7
        told(name, response)
    told("filter-later", {"content": "no", "finishReason": "content_filter"})
    told("cut-short", {"content": '{"action": "se', "finishReason": "length"})
    told("no-json", {"content": "Sure! Here you are."})
    told("garbled", {"content": GOOD}, chaos={"malformedRate": 1})
    told("gone", {"content": GOOD}, chaos={"disconnectRate": 1})
    usage = {"prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120}
    told("all-well", {"content": GOOD, "usage": usage, "model": "gpt-4o-mini-2024-07-18"})
    return {"fixtures": found}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where aimock listens."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("aimock needs Node and npm, which are not here")
    place = tmp_path_factory.mktemp("aimock")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, place)
    ran = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0",
         "--fetch-timeout=20000"],
        cwd=place, capture_output=True, timeout=INSTALL_SECONDS_MAX, check=False,
    )  # fmt: skip
    if ran.returncode != 0:
        pytest.skip("npm could not fetch aimock")
    (place / "fixtures.json").write_text(json.dumps(fixtures()))
    port = free_port()
    server = subprocess.Popen(
        [node, str(place / ENTRY), "-p", str(port), "-f", "fixtures.json", "--strict",
         "--log-level", "silent"],
        cwd=place, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    try:
        found = f"http://127.0.0.1:{port}"
        _until_ready(found, server)
        yield found
    finally:
        server.terminate()
        server.wait(10)


def _until_ready(origin: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        assert server.poll() is None, "aimock ended"
        try:
            with urllib.request.urlopen(f"{origin}/health", timeout=1):
                return
        except OSError:
            assert time.monotonic() < until, "aimock did not start"
            time.sleep(0.05)


@pytest.fixture(params=["openai", "azure-classic", "azure-v1"])
async def provider(request: pytest.FixtureRequest, origin: str) -> AsyncIterator[Provider]:
    if request.param == "openai":
        settings = Settings(openai_api_key=SecretStr("k"), openai_base_url=f"{origin}/v1")
    else:
        settings = Settings(
            azure_api_key=SecretStr("k"),
            azure_endpoint=origin,
            azure_deployment="drafts",
            azure_deployments="drafts=gpt-4o-mini",
            azure_api_version="2024-10-21" if request.param == "azure-classic" else "",
        )
    (made,) = open_providers(settings).values()
    yield made
    await made.close()


async def asked(provider: Provider, name: str) -> Any:
    prompt = compose(material(("fan", f"please be {name}")))
    try:
        return await provider.complete(prompt, deadline_seconds=10)
    except ProviderFailed as failure:
        return failure


async def test_every_failure_is_of_its_class(provider: Provider) -> None:
    for name, expected in FAILURES.items():
        failed = await asked(provider, name)
        assert isinstance(failed, ProviderFailed), name
        assert (failed.http_status, failed.code, failed.can_retry) == expected, name
        assert failed.retry_after == (7.0 if failed.http_status == 429 else None)


async def test_a_filter_after_the_model_is_one_too(provider: Provider) -> None:
    failed = await asked(provider, "filter-later")
    assert isinstance(failed, ProviderFailed)
    assert failed.code == "content_filter"
    assert failed.usage is not None


async def test_a_garbled_answer_and_a_broken_connection_are_tried_again(
    provider: Provider,
) -> None:
    for name, code in (("garbled", "unknown"), ("gone", "network")):
        failed = await asked(provider, name)
        assert isinstance(failed, ProviderFailed)
        assert (failed.code, failed.can_retry, failed.sent) == (code, True, True)


async def test_answers_are_outcomes(provider: Provider) -> None:
    for name, kind in (("cut-short", CutShort), ("no-json", Invalid), ("all-well", Answered)):
        done = await asked(provider, name)
        assert isinstance(outcome("message_generation", done), kind), name
    assert (done.usage.input, done.usage.output, done.usage.estimated) == (90, 30, False)
    assert done.model == "gpt-4o-mini-2024-07-18"
