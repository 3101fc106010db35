"""`fanmemory import`: from an export to a fan's context."""

import json
from pathlib import Path
from typing import Any

import pytest

from admin.staging import Progress
from integrations.converted import NO_FAN
from ops.cli.imports import FOLDER
from tests.cli import Running

START = 1_795_176_000_000


def conversation(rounds: int = 6) -> dict[str, Any]:
    """Instagram's form: newest first; the fan answers each time after 40 s, and is silent for an
    hour."""
    said = []
    for number in range(rounds):
        asked = START + number * 3_600_000
        said.append({"sender_name": "Luna", "timestamp_ms": asked, "content": f"how {number}?"})
        answer = {"sender_name": "Jo", "timestamp_ms": asked + 40_000, "content": f"fine {number}!"}
        said.append(answer)
    people = [{"name": "Jo"}, {"name": "Luna"}]
    return {"participants": people, "messages": said[::-1], "thread_path": "inbox/jo_1"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "message_1.json"
    path.write_text(json.dumps(conversation()))
    return path


def words(export: Path, creator: str) -> tuple[str, ...]:
    return ("import", "--from", "instagram", "--creator", creator, "--me", "Luna", str(export))


async def test_a_history_that_comes_newest_first_is_remembered_in_the_order_of_time(
    demonstrated: Running, export: Path
) -> None:
    """Twelve messages, six answers of 40 s each, the last at START + 5 h 40 s."""
    told = demonstrated.json(*words(export, "importer"))
    assert (told["accepted"], told["sent"], told["fans"]) == (12, 12, 1)
    assert (told["first"], told["last"]) == ("2026-11-20T12:00:00.000Z", "2026-11-20T17:00:40.000Z")
    await demonstrated.drained()
    context = await demonstrated.context("importer", "jo_1")
    assert context is not None
    metrics = context.engagement_metrics
    assert metrics.total_messages == 12
    assert metrics.avg_response_time_seconds == 40
    assert metrics.last_interaction == "2026-11-20T17:00:40.000Z"
    assert context.personality_profile.response_speed == "instant"

    again = demonstrated.json(*words(export, "importer"))
    assert again["sent"] == 12
    await demonstrated.drained()
    after = await demonstrated.context("importer", "jo_1")
    assert after is not None
    assert after.engagement_metrics.total_messages == 12


async def test_a_dry_run_says_everything_and_does_nothing(
    demonstrated: Running, export: Path
) -> None:
    told = demonstrated.json(*words(export, "dry"), "--dry-run")
    assert (told["accepted"], told["sent"]) == (12, 0)
    said = demonstrated.run(*words(export, "dry"), "--dry-run")
    assert "12  events" in said.stdout
    assert "nothing is published" in said.stdout
    await demonstrated.drained()
    assert await demonstrated.context("dry", "jo_1") is None


async def test_an_interrupted_import_goes_on_where_it_was(
    demonstrated: Running, export: Path
) -> None:
    """As if the broker had acknowledged five of them."""
    digest = demonstrated.json(*words(export, "resumed"), "--dry-run")["digest"]
    Progress(demonstrated.data / FOLDER, digest).advance(5)
    told = demonstrated.json(*words(export, "resumed"))
    assert (told["alreadySent"], told["sent"]) == (5, 7)
    await demonstrated.drained()
    context = await demonstrated.context("resumed", "jo_1")
    assert context is not None
    assert context.engagement_metrics.total_messages == 7
    told = demonstrated.json(*words(export, "resumed"))
    assert (told["alreadySent"], told["sent"]) == (0, 12), "once done it may be done again"


def test_a_deletion_that_names_nobody_is_of_whoever_has_the_message_in_the_import(
    demonstrated: Running, tmp_path: Path
) -> None:
    """Also when it stands before the message. Of two fans with one id, nobody can tell."""
    path = tmp_path / "onlyfans.jsonl"
    said = {"createdAt": "2026-11-20T10:00:00Z", "text": "hi"}
    deliveries = [("messages.deleted", {"id": id}) for id in (77, 78, 79)] + [
        ("messages.received", said | {"id": id, "fromUser": {"id": fan}})
        for id, fan in ((77, 5), (78, 5), (78, 6))
    ]
    path.write_text("\n".join(json.dumps({"event": e, "payload": p}) for e, p in deliveries))
    words = ("--from", "onlyfans", "--creator", "unsent", "--dry-run", "--json", str(path))
    ran = demonstrated.run("import", *words)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["accepted"], told["fans"]) == (1, 4, 2)
    assert told["leftOut"] == [{"reason": NO_FAN, "expected": False, "count": 2}]


def test_what_is_refused_and_left_out_is_told_by_its_reason(
    demonstrated: Running, tmp_path: Path
) -> None:
    path = tmp_path / "stripe.jsonl"
    charge = {"id": "ch_1", "customer": "c1", "amount": 500, "currency": "usd", "created": 10}
    path.write_text(
        "\n".join(
            json.dumps(one)
            for one in (
                {"type": "charge.succeeded", "data": {"object": charge}},
                {"type": "charge.succeeded", "data": {"object": charge | {"customer": None}}},
                {"type": "invoice.paid", "data": {"object": {}}},
                {"type": "moon.risen", "data": {"object": {}}},
            )
        )
        + "\nno json"
    )
    ran = demonstrated.run(
        "import", "--from", "stripe", "--creator", "c", "--dry-run", "--json", str(path)
    )
    assert ran.returncode == 1
    told = json.loads(ran.stdout)
    assert [one["field"] for one in told["refused"]] == ["timestamp"], "1970 is a mistake"
    assert {(one["reason"], one["expected"]) for one in told["leftOut"]} == {
        ("names no fan", False),
        ("is told by its charge, which counts here", True),
        ("is an event that is not known", False),
        ("is not JSON", False),
    }


def test_options_that_are_wrong_are_said(demonstrated: Running, export: Path) -> None:
    mapping = export.with_name("mapping.json")
    mapping.write_text('{"rules": [{"fields": {"fanld": "/x"}}]}')
    for wrong, said in (
        (("--zone", "Mars/Olympus"), "time zone"),
        (("--option", "dates"), "NAME=VALUE"),
        (("--mapping", str(mapping)), "'fanld' is no field of an event"),
        (("--from", "myspace"), "myspace"),
        (("--creator", "\x07"), "control"),
    ):
        ran = demonstrated.run(*words(export, "c"), *wrong)
        assert ran.returncode == 2
        assert said in ran.stderr


MAPPING = {
    "type": {"value": "tip"},
    "fanId": "/fan",
    "eventId": "/id",
    "timestamp": "/at",
    "amount": "/paid",
    "currency": {"value": "USD"},
}


async def test_two_payments_of_one_id_are_told_and_none_is_lost(
    demonstrated: Running, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"rules": [{"fields": MAPPING}]}))
    paid = tmp_path / "payments.jsonl"
    tip = {"fan": "jo", "id": "p1", "at": "2026-11-20T12:00:00Z", "paid": "5.00"}
    paid.write_text("\n".join(json.dumps(one) for one in (tip, tip | {"paid": "7.00"}, tip)))
    words = ("import", "--from", "generic", "--creator", "payer", "--mapping", str(mapping))
    said = demonstrated.run(*words, str(paid), "--json")
    assert said.returncode == 1
    told = json.loads(said.stdout)
    assert (told["accepted"], told["conflicts"], told["repeated"], told["sent"]) == (1, 1, 1, 2)
    assert told["money"] == {"USD": "5.00"}
    await demonstrated.drained()
    context = await demonstrated.context("payer", "jo")
    assert context is not None
    assert context.engagement_metrics.total_revenue == 5
    kept = demonstrated.json("dlq", "--open", "--reason", "conflict", "--newest", "1000")
    assert [one for one in kept["deadLetters"] if '"payer"' in one["value"]]
