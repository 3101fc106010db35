"""Logs say what happened and never what a fan wrote."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from infra import logs
from schemas.errors import DatabaseUnavailable

SECRET = "I only tell you this"


Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure("test", "INFO")
    stream = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)

    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_is_json_with_time_level_service_and_fields(lines: Lines) -> None:
    logging.getLogger("api.test").warning(
        "slow", extra={"operation": "getMemoryContext", "correlationId": "x", "duration": 1.5}
    )
    (line,) = lines()
    assert line["level"] == "warn"
    assert line["service"] == "test"
    assert line["operation"] == "getMemoryContext"
    assert line["duration"] == 1.5
    assert str(line["timestamp"]).endswith("Z")


def test_fields_that_are_not_known_are_left_out(lines: Lines) -> None:
    logging.getLogger("api.test").info("x", extra={"fanId": SECRET, "content": SECRET})
    (line,) = lines()
    assert SECRET not in json.dumps(line)


def test_only_what_stands_for_a_person_gets_in_where_a_person_is_named(lines: Lines) -> None:
    subject = "6b1f0f0e-6f0d-4a57-9f43-3a0f6a9d5d11"
    for creator, fan in (("0123456789abcdef", subject), ("creator_456", "fan_123"), (7, b"x" * 16)):
        logging.getLogger("api.test").info("x", extra={"creatorId": creator, "fanId": fan})
    first, *others = lines()
    assert (first["creatorId"], first["fanId"]) == ("0123456789abcdef", subject)
    for line in others:
        assert not {"creatorId", "fanId"} & line.keys()


def test_an_error_is_logged_by_class_and_place_never_by_text(lines: Lines) -> None:
    try:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            raise DatabaseUnavailable(SECRET) from error
    except DatabaseUnavailable:
        logging.getLogger("views.test").exception("failed")
    (line,) = lines()
    assert line["error"] == "DatabaseUnavailable < ValueError"
    assert "test_logs.py" in str(line["stack"])
    assert SECRET not in json.dumps(line)


def test_of_third_parties_objects_and_errors_are_named_by_type_only(lines: Lines) -> None:
    class Event:
        def __repr__(self) -> str:
            return SECRET

    logging.getLogger("faust.agents").error(
        "Crashed reason=%r %s %s on %s", ValueError(SECRET), Event(), SECRET.encode(), "topic-1"
    )
    (line,) = lines()
    assert SECRET not in json.dumps(line)
    assert "ValueError" in str(line["message"])
    assert "topic-1" in str(line["message"])


def test_a_third_party_that_repeats_itself_is_cut_short(lines: Lines) -> None:
    for attempt in range(100):
        logging.getLogger("aiokafka.client").error("Unable to connect, attempt %s", attempt)
    logging.getLogger("aiokafka.client").error("Something else")
    said = [line["message"] for line in lines()]
    assert len(said) == logs.REPEATS_MAX + 1
    assert said[-1] == "Something else"


def test_our_own_lines_are_never_cut(lines: Lines) -> None:
    for _ in range(20):
        logging.getLogger("api.test").info("request")
    assert len(lines()) == 20


def test_what_was_cut_is_counted(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("infra.logs.time.monotonic", lambda: now[0])
    for _ in range(10):
        logging.getLogger("aiokafka").error("again")
    now[0] = logs.REPEAT_SECONDS + 1
    logging.getLogger("aiokafka").error("again")
    assert lines()[-1]["suppressed"] == 10 - logs.REPEATS_MAX


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_what_is_told_is_what_is_logged(lines: Lines, level: int) -> None:
    log = logging.getLogger("api.test")
    token = logs.CORRELATION.set("c-1")
    log.log(level, "request", extra={"operation": "o", "status": 200, "fanId": SECRET})
    logs.tell(log, level, "request", extra={"operation": "o", "status": 200, "fanId": SECRET})
    logs.CORRELATION.reset(token)
    logs.tell(log, logging.DEBUG, "request", extra={})
    logged, told = lines()
    assert logged.pop("timestamp") <= told.pop("timestamp")  # type: ignore[operator]
    assert list(logged.items()) == list(told.items())
    assert logged["correlationId"] == "c-1"
    assert "fanId" not in logged


def test_what_is_told_while_others_listen_reaches_them(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("api.test")
    logging.getLogger().addHandler(caplog.handler)
    logs.tell(log, logging.INFO, "request", extra={"operation": "o"})
    assert [record.message for record in caplog.records] == ["request"]
    assert [line["operation"] for line in lines()] == ["o"]
