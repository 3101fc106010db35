"""`fanmemory validate`: what it says of a file is what a running system makes of it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ops.cli.validate import validate
from tests.cli import Running

TIP: dict[str, Any] = {
    "creatorId": "emitter",
    "fanId": "validated",
    "type": "tip",
    "amount": 5,
    "eventId": "t1",
    "timestamp": "2026-01-01T00:00:00Z",
}
EVENTS: tuple[dict[str, Any], ...] = (
    TIP,
    TIP,
    TIP | {"amount": 7},
    TIP | {"eventId": "t2", "amount": 1.005},
    TIP | {"eventId": "t3", "amount": 3, "currency": "JPY"},
    TIP | {"eventId": "t4", "amount": "3"},
    TIP | {"eventId": "t5", "amount": 0.005},
)


def lines(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def read(*arguments: str, given: str | None = None) -> tuple[int, Any]:
    ran = CliRunner().invoke(validate, [*arguments, "--json"], input=given)
    return ran.exit_code, json.loads(ran.stdout)


async def test_what_it_says_is_what_becomes_of_the_events(
    demonstrated: Running, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*EVENTS))
    code, said = read(str(path))
    assert code == 1
    emitted = await demonstrated.emit(*EVENTS)
    refused = [{key: one[key] for key in ("field", "reason", "count")} for one in said["refused"]]
    assert refused == emitted["refused"]
    assert [one["at"] for one in said["refused"]] == [["4", "7"], ["6"]]
    assert (said["accepted"], said["repeated"], said["conflicts"]) == (2, 1, 1)
    assert said["conflictsAt"] == ["3"]
    context = await demonstrated.context("emitter", "validated")
    assert context is not None
    assert context.personality_profile.interaction_count == said["accepted"]
    assert said["money"] == {"JPY": "3", "USD": "5"}
    assert context.engagement_metrics.total_revenue == 5
    assert context.engagement_metrics.revenue_by_currency == {"JPY": 3.0}


def test_a_file_without_faults_ends_with_0_and_several_are_told_apart(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.json"
    good.write_text(lines(TIP))
    bad.write_text(json.dumps([TIP, TIP | {"fanId": "undefined"}], indent=2))
    assert read(str(good)) == (0, read(str(good))[1])
    code, said = read(str(good), str(bad))
    assert (code, said["accepted"], said["repeated"]) == (1, 1, 1)
    (refused,) = said["refused"]
    assert (refused["field"], refused["at"]) == ("fanId", [f"{bad}:2"])


def test_the_table_names_the_first_events_of_each_reason(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*(TIP | {"eventId": str(n), "amount": -1} for n in range(9))))
    ran = CliRunner().invoke(validate, [str(path)])
    assert ran.exit_code == 1
    assert "1, 2, 3, 4, 5 …" in ran.stdout
    assert "amount" in ran.stdout


def test_nothing_of_what_was_written_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(TIP | {"type": "secretword", "fanId": "secretfan"}) + "secretline\n")
    for arguments in ((str(path),), (str(path), "--json")):
        ran = CliRunner().invoke(validate, arguments)
        assert "secret" not in ran.output.replace(str(path), "")
