"""What went wrong in a call, in our classes. The SDK's own texts quote bodies: they stay here.

| What happened | code | Tried again |
|---|---|---|
| our deadline, the SDK's timeouts, 408 | `timeout` | yes |
| 429 | `rate_limit` | yes |
| refused, reset, unknown host | `network` | yes |
| 5xx, a 200 that is no JSON or no completion | `unknown` | yes |
| 401, 403 | `auth` | no |
| 400, 404, 409, 413, 422 and other 4xx | `validation` | no |
| a filter, as 400 or as the finish of an answer | `content_filter` | no |
"""

import email.utils
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import httpx2
import openai

from schemas.errors import FailureCode, ProviderFailed, ProviderTimeout
from schemas.usage import Usage

FILTER_CODES: Final = frozenset(("content_filter", "content_policy_violation"))
CATEGORIES: Final = frozenset(
    (
        "hate", "sexual", "violence", "self_harm", "jailbreak", "profanity", "indirect_attack",
        "protected_material_text", "protected_material_code", "custom_blocklists",
    )
)  # fmt: skip
"""What Azure's filter names; anything else is `other`, so that labels stay few."""


def failed(
    error: Exception,
    provider: str,
    kind: type[ProviderFailed],
    now: Callable[[], float] = time.time,
) -> ProviderFailed:
    """The error of the SDK, or of what it lets through, as one of ours; to be raised from None."""
    cause = type(_root(error)).__name__
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        sent = not isinstance(_root(error), httpx2.ConnectTimeout | httpx2.PoolTimeout)
        return ProviderTimeout("timeout", provider=provider, retryable=True, sent=sent, cause=cause)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, provider, kind, now)
    if isinstance(error, openai.APIConnectionError | httpx2.TransportError):
        sent = not isinstance(_root(error), httpx2.ConnectError | OSError)
        return kind("network", provider=provider, retryable=True, sent=sent, cause=cause)
    return kind("unknown", provider=provider, retryable=True, cause=cause)


def filtered(
    found: object, provider: str, kind: type[ProviderFailed], usage: Usage
) -> ProviderFailed:
    """An answer that ended in the filter: it has been paid for."""
    return kind("content_filter", provider=provider, usage=usage, category=category_of(found))


def category_of(found: object) -> str:
    """The category that was filtered, the first by name; `other` if the filter does not say."""
    names = sorted(name for name in _filtered(found, 6) if name in CATEGORIES)
    return names[0] if names else "other"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds, of `retry-after-ms`, or `Retry-After` as seconds or as a date; None if unusable."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(date.timestamp() - now, 0.0)


def _of_status(
    error: openai.APIStatusError,
    provider: str,
    kind: type[ProviderFailed],
    now: Callable[[], float],
) -> ProviderFailed:
    status = error.status_code
    cause = type(error).__name__
    if status == 400 and (error.code in FILTER_CODES or error.type in FILTER_CODES):
        category = category_of(error.body)
        return kind(
            "content_filter", provider=provider, http_status=status, category=category, cause=cause
        )
    code, again = _class_of(status)
    return kind(
        code,
        provider=provider,
        http_status=status,
        retryable=again,
        retry_after=retry_after(error.response.headers, now()) if again else None,
        cause=cause,
    )


def _class_of(status: int) -> tuple[FailureCode, bool]:
    if status == 429:
        return "rate_limit", True
    if status == 408:
        return "timeout", True
    if status in (401, 403):
        return "auth", False
    if status >= 500:
        return "unknown", True
    return "validation", False


def _filtered(found: object, depth: int) -> Iterator[str]:
    """Names under which something says `filtered: true`, or `detected` where that is all."""
    if depth == 0:
        return
    if isinstance(found, list):
        for one in found:
            yield from _filtered(one, depth - 1)
    if isinstance(found, Mapping):
        for name, one in found.items():
            if isinstance(one, Mapping) and one.get("filtered", one.get("detected")) is True:
                yield str(name)
            yield from _filtered(one, depth - 1)


def _root(error: BaseException) -> BaseException:
    """What the SDK's error was made of."""
    while isinstance(error, openai.APIConnectionError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _number(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def described(found: Any) -> Any:
    """A model of the SDK as plain data, with the fields that it does not know."""
    return found.model_dump() if hasattr(found, "model_dump") else found
