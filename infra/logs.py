"""Logs: JSON lines on stderr, the same fields from every process.

    {"timestamp": …, "level": "info|warn|error", "service": …, "operation": …, "message": …,
     "correlationId": …, "creatorId": …, "fanId": …, "duration": ms, "error": class,
     "stack": ["file:line function", …]}

`creatorId` is a keyed hash and `fanId` the subject (`privacy.log_ids`): what has another form does
not get in. A log never holds what a fan or a creator wrote, their ids, a token or a key. Our own
lines keep to that by what they are given. Lines of other libraries are rebuilt from their template:
arguments that may carry anything (texts of errors, objects, bytes) are replaced by the name of
their type.
For the same reason an error is logged as its class and the places it passed, never its text.
"""

import logging
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.clock import now_ms
from schemas.times import render_time

ROOMS: Final = (
    "schemas",
    "infra",
    "llm",
    "integrations",
    "analysis",
    "views",
    "privacy",
    "stores",
    "admin",
    "streams",
    "api",
    "ops",
    "lab",
)
"""Roots of our logger names (`logging.getLogger(__name__)`); everything else is a third party."""
FIELDS: Final = (
    "operation", "method", "route", "status", "duration", "reason", "topic",
    "partition", "count", "attempt", "breaker", "port", "creatorId", "fanId", "error",
)  # fmt: skip
"""What `extra` may add to a line. Anything else is left out, so that no id gets in by accident; a
house test keeps this list equal to what our lines use."""
_FIELDS: Final = frozenset(FIELDS)

PERSONS: Final = frozenset(("creatorId", "fanId"))
_HEXADECIMAL: Final = "0123456789abcdef-"

CORRELATION: Final[ContextVar[str | None]] = ContextVar("correlation", default=None)
"""The id of the request that is being answered, for every line written meanwhile."""

REPEATS_MAX: Final = 3
REPEAT_SECONDS: Final = 30.0
_TEMPLATES_MAX: Final = 512
_TEXT_MAX: Final = 300
_ITEMS_MAX: Final = 16
_FRAMES_MAX: Final = 24

_LEVELS = {"WARNING": "warn", "CRITICAL": "error"}
_encode = msgspec.json.Encoder().encode


def configure(service: str, level: str = "INFO") -> None:
    """Send all logging of this process to stderr as JSON lines; replaces earlier handlers.

    `level` is for our own lines; other libraries are heard from WARNING (or `level`, if higher).
    """
    root = logging.getLogger()
    root.handlers[:] = [Lines(service)]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    for room in ROOMS:
        logging.getLogger(room).setLevel(level)
    logging.captureWarnings(True)
    # What no line shows and each would cost 8 us to find out: who called, and from which thread.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def tell(log: logging.Logger, level: int, message: str, *, extra: Mapping[str, Any]) -> None:
    """What `log.log` of one of ours writes, in half of its 11 us: for the line of a request.

    Only while nobody but `Lines` listens: everything else goes logging's own way.
    """
    if not log.isEnabledFor(level):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], Lines):
        try:
            handlers[0].tell(log.name, level, message, extra)
            return
        except (OSError, ValueError):  # the stream has been closed
            pass
    log.handle(log.makeRecord(log.name, level, "", 0, message, (), None, None, extra))


class Lines(logging.StreamHandler[Any]):
    """Writes JSON lines to stderr."""

    def __init__(self, service: str) -> None:
        super().__init__(sys.stderr)
        self._lines = JsonLines(service)
        self.setFormatter(self._lines)
        self.addFilter(Repeats())

    def tell(self, name: str, level: int, message: str, extra: Mapping[str, Any]) -> None:
        line = self._lines.begun(now_ms(), logging.getLevelName(level), name, message)
        line |= _allowed(extra)
        text = _encode(line).decode() + self.terminator
        with self.lock or nullcontext():
            self.stream.write(text)
            self.stream.flush()


class JsonLines(logging.Formatter):
    """One record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def begun(self, time_ms: int, level: str, name: str, message: str) -> dict[str, Any]:
        """What every line begins with."""
        line: dict[str, Any] = {
            "timestamp": render_time(time_ms),
            "level": _LEVELS.get(level) or level.lower(),
            "service": self.service,
            "logger": name,
            "message": message,
        }
        correlation = CORRELATION.get()
        if correlation is not None:
            line["correlationId"] = correlation
        return line

    def format(self, record: logging.LogRecord) -> str:
        ours = is_ours(record)
        message = record.getMessage() if ours else _third_party(record)
        line = self.begun(int(record.created * 1000), record.levelname, record.name, message)
        if ours:
            line |= _allowed(vars(record))
        suppressed = getattr(record, "suppressed", 0)
        if suppressed:
            line["suppressed"] = suppressed
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _chain(record.exc_info[1])
            line["stack"] = _places(record.exc_info[1])
        return _encode(line).decode()


def _allowed(said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a line may have, and nothing else of what is given."""
    return {
        field: value
        for field, value in said.items()
        if value is not None and field in _FIELDS and (field not in PERSONS or _stands_for(value))
    }


def _stands_for(value: object) -> bool:
    """Whether it has the form of what stands for a person, and is not the person's own id."""
    return isinstance(value, str) and len(value) in (16, 36) and not value.strip(_HEXADECIMAL)


class Repeats(logging.Filter):
    """Lets a third party say the same thing `REPEATS_MAX` times per `REPEAT_SECONDS`.

    A client that reconnects to a dead broker writes hundreds of lines a second. The next line that
    passes says in `suppressed` how many did not. Sameness is judged by logger, level and template.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if is_ours(record):
            return True
        key = (record.name, record.levelno, str(record.msg)[:_TEXT_MAX])
        now = time.monotonic()
        since, count = self._seen.get(key, (now, 0))
        if now - since > REPEAT_SECONDS:
            if count > REPEATS_MAX:
                record.suppressed = count - REPEATS_MAX
            since, count = now, 0
        if key not in self._seen and len(self._seen) >= _TEMPLATES_MAX:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = (since, count + 1)
        return count < REPEATS_MAX


def is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in ROOMS


def _third_party(record: logging.LogRecord) -> str:
    template = str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__
    if not record.args:
        return template[:_TEXT_MAX]
    args = record.args
    try:
        if isinstance(args, dict):
            text = template % {key: _safe(value) for key, value in args.items()}
        else:
            text = template % tuple(_safe(arg) for arg in args)
    except (TypeError, ValueError, KeyError):
        text = template
    return text[:_TEXT_MAX]


def _safe(arg: object, depth: int = 3) -> object:
    """Numbers, short strings and containers of them; of anything else only the type's name."""
    if arg is None or isinstance(arg, bool | int | float):
        return arg
    if isinstance(arg, str):
        return arg[:_TEXT_MAX]
    if isinstance(arg, tuple | list | set | frozenset) and depth:
        return [_safe(part, depth - 1) for part in list(arg)[:_ITEMS_MAX]]
    if isinstance(arg, dict) and depth:
        items = list(arg.items())[:_ITEMS_MAX]
        return {str(_safe(key, 0)): _safe(value, depth - 1) for key, value in items}
    return f"<{type(arg).__name__}>"


def _chain(error: BaseException) -> str:
    """Class names of the error and its causes, outermost first."""
    names: list[str] = []
    current: BaseException | None = error
    while current is not None and len(names) < _ITEMS_MAX:
        names.append(type(current).__name__)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return " < ".join(names)


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
