"""The demo as a newcomer runs it: once, and once more on the same data directory."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from admin.reading import read_values
from ops.demo import CREATOR, FAN, SAMPLE, STANDSTILL_SECONDS_MAX
from schemas.events import KINDS
from tests.cli import Running, clean_environment, eventually, fanmemory
from tests.forked import COMMAND

DOCUMENTED = {
    "sent",
    "applied",
    "duplicates",
    "deadLetters",
    "deadLetterReasons",
    "lag",
    "seconds",
    "engagementScore",
    "context",
    "endpoints",
    "reply",
}


def sample() -> list[dict[str, object]]:
    """The events of the sample that are JSON."""
    events = []
    for line in read_values(SAMPLE):
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def test_the_sample_has_every_kind_several_relationships_and_something_wrong() -> None:
    events = sample()
    rare = {"refund", "subscription", "delete", "note"}
    assert {event["type"] for event in events} == set(KINDS) - rare
    assert len({(event["creatorId"], event["fanId"]) for event in events}) >= 3
    assert len(events) < sum(1 for _ in read_values(SAMPLE)), "one line is no JSON"
    ids = [event["eventId"] for event in events if "eventId" in event]
    assert len(ids) == len(set(ids)) + 1, "one event is sent twice"
    times: dict[object, list[str]] = {}
    for event in events:
        times.setdefault(event["fanId"], []).append(str(event["timestamp"]))
    assert any(ones != sorted(ones) for ones in times.values()), "one event is late"


def test_every_event_of_the_first_run_is_accounted_for(demonstrated: Running) -> None:
    told = demonstrated.first
    assert set(told) == DOCUMENTED
    assert told["sent"] == 64
    assert told["sent"] == told["applied"] + told["duplicates"] + told["deadLetters"]
    assert told["duplicates"] == 1
    assert told["deadLetters"] == len(told["deadLetterReasons"]) == 2
    assert told["lag"] == 0


def test_a_reply_is_drafted_from_the_memory_approved_and_recorded_as_sent(
    demonstrated: Running,
) -> None:
    for run in (demonstrated.first, demonstrated.second):
        told = run["reply"]
        assert (told["state"], told["provider"]) == ("sent", "template")
        assert told["messages"]


def test_a_second_run_continues_and_finds_its_events_there(demonstrated: Running) -> None:
    told = demonstrated.second
    without_id = [event for event in sample() if "eventId" not in event]
    assert told["sent"] == 64
    assert told["applied"] == len(without_id)
    assert told["sent"] == told["applied"] + told["duplicates"] + told["deadLetters"]
    before, now = (
        {message["id"] for message in run["context"]["recentMessages"]}
        for run in (demonstrated.first, told)
    )
    assert before <= now


def test_the_reasons_name_field_and_place_and_repeat_no_value(demonstrated: Running) -> None:
    reasons = demonstrated.first["deadLetterReasons"]
    assert {letter["field"] for letter in reasons} == {"amount", "$"}
    assert all(letter["source"].startswith("interactions-") for letter in reasons)
    assert "-5" not in json.dumps([letter["reason"] for letter in reasons])


def test_the_context_is_the_one_that_the_api_serves(demonstrated: Running) -> None:
    told = demonstrated.second["context"]
    token = demonstrated.json("token", "--creator", CREATOR)["token"]
    request = urllib.request.Request(
        f"{demonstrated.api_url}/api/of-memory/context?fanId={FAN}&creatorId={CREATOR}",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        served = json.loads(answer.read())["data"]
    assert all(message in served["recentMessages"] for message in told["recentMessages"])
    assert served["engagementMetrics"]["totalRevenue"] == told["engagementMetrics"]["totalRevenue"]
    assert served.keys() - {"version"} == told.keys()


def test_the_printed_token_opens_no_other_creator(demonstrated: Running) -> None:
    token = demonstrated.json("token", "--creator", "somebody-else")["token"]
    request = urllib.request.Request(
        f"{demonstrated.api_url}/api/of-memory/context?fanId={FAN}&creatorId={CREATOR}",
        headers={"Authorization": f"Bearer {token}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 403


def test_passwords_are_not_in_what_it_prints(demonstrated: Running) -> None:
    endpoints = json.loads((demonstrated.data / "endpoints.json").read_text())
    printed = json.dumps(demonstrated.second)
    for url in (endpoints["postgres_url"], endpoints["redis_url"]):
        password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
        assert password
        assert password not in printed


def test_a_demo_on_a_directory_in_use_says_so(demonstrated: Running) -> None:
    ran = fanmemory("demo", "--exit", "--json", "--data", str(demonstrated.data))
    assert ran.returncode == 1
    assert f"pid {demonstrated.process.pid}" in json.loads(ran.stdout)["error"]


def test_two_stops_in_a_row_leave_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "demo", "--data", str(tmp_path), "--api-port", "0"],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: (tmp_path / "endpoints.json").exists())
    process.terminate()
    process.terminate()
    process.wait(STANDSTILL_SECONDS_MAX)

    def left() -> list[int]:
        found = []
        for one in psutil.process_iter():
            try:
                words = [*one.cmdline(), one.environ().get("FANMEMORY_DATA", "")]
            except psutil.Error:
                continue
            if one.pid != os.getpid() and any(str(tmp_path) in word for word in words):
                found.append(one.pid)
        return found

    eventually(lambda: not left())
    status = fanmemory("services", "status", "--json", "--data", str(tmp_path))
    assert json.loads(status.stdout)["running"] is False
