"""The reference's scenarios of retries, as rules: numbers exactly as specified."""

import pytest

from llm.retrying import (
    ATTEMPTS_MAX,
    GiveUp,
    OtherProvider,
    RetryAt,
    ToPerson,
    after_invalid,
    cooldown,
    next_step,
    parks,
)
from schemas.errors import (
    AzureExecutionError,
    CircuitOpen,
    FailureCode,
    OpenAIExecutionError,
    ProviderFailed,
    ProviderTimeout,
)

RETRIED: tuple[tuple[FailureCode, int | None], ...] = (
    ("timeout", None), ("timeout", 408), ("rate_limit", 429), ("network", None), ("unknown", 500),
    ("unknown", 503), ("unknown", None),
)  # fmt: skip
FINAL: tuple[tuple[FailureCode, int], ...] = (
    ("validation", 400), ("auth", 401), ("auth", 403), ("validation", 404), ("validation", 422),
)  # fmt: skip


def failure(code: FailureCode, status: int | None = None, **more: object) -> ProviderFailed:
    again = (code, status) in RETRIED
    made: ProviderFailed = OpenAIExecutionError(
        code,
        provider="openai",
        http_status=status,
        retryable=again,
        **more,  # type: ignore[arg-type]
    )
    return made


def test_exponential_backoff() -> None:
    """1, 2, 5 s, and up to 10 % by chance."""
    for code, status in RETRIED:
        failed = failure(code, status)
        assert [next_step(failed, n, 0.0) for n in (1, 2, 3)] == [
            RetryAt(1.0), RetryAt(2.0), RetryAt(5.0),
        ]  # fmt: skip
        latest = [next_step(failed, n, 1.0) for n in (1, 2, 3)]
        assert latest == [RetryAt(1.0 * 1.1), RetryAt(2.0 * 1.1), RetryAt(5.0 * 1.1)]


def test_max_retries_exceeded() -> None:
    """The fourth attempt is the last one."""
    assert ATTEMPTS_MAX == 4
    for code, status in RETRIED:
        assert next_step(failure(code, status), 4, 0.5) == GiveUp(code)


def test_no_retry_on_validation_error() -> None:
    for code, status in FINAL:
        assert next_step(failure(code, status), 1, 0.5) == GiveUp(code)


def test_fallback_strategy() -> None:
    """The other provider after the last attempt, at once where no retry helps; not if forced."""
    for code, status in RETRIED:
        assert next_step(failure(code, status), 4, 0.5, other=True) == OtherProvider()
        assert next_step(failure(code, status), 3, 0.0, other=True) == RetryAt(5.0)
    for code, status in FINAL:
        assert next_step(failure(code, status), 1, 0.5, other=True) == OtherProvider()


def test_an_open_circuit_leads_to_the_other_provider_at_once_or_is_waited_for() -> None:
    failed = CircuitOpen("network", provider="azure", retryable=True, sent=False)
    assert next_step(failed, 1, 0.0, other=True) == OtherProvider()
    assert next_step(failed, 1, 0.0, wait=41.0) == RetryAt(41.0)
    assert next_step(failed, 4, 0.0, wait=0.2) == RetryAt(5.0)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(0.5, 1.0), (7.0, 7.0), (60.0, 60.0), (3600.0, 60.0), (None, 1.0)]
)
def test_retry_after_counts_where_it_is_longer_up_to_a_minute(
    asked: float | None, seconds: float
) -> None:
    assert next_step(failure("rate_limit", 429, retry_after=asked), 1, 0.0) == RetryAt(seconds)


def test_a_filter_goes_to_a_person_with_its_category_and_nowhere_else() -> None:
    failed = AzureExecutionError(
        "content_filter", provider="azure", http_status=400, category="violence"
    )
    assert next_step(failed, 1, 0.5, other=True) == ToPerson("violence")
    failed.category = None
    assert next_step(failed, 4, 0.5) == ToPerson("other")


def test_only_a_429_cools_a_provider_down() -> None:
    assert cooldown(failure("rate_limit", 429, retry_after=30.0), 1) == 30.0
    assert cooldown(failure("rate_limit", 429, retry_after=300.0), 1) == 60.0
    assert [cooldown(failure("rate_limit", 429), n) for n in (1, 2, 3, 4)] == [1.0, 2.0, 5.0, 5.0]
    assert cooldown(failure("unknown", 503, retry_after=30.0), 1) is None


def test_only_a_refused_key_parks_a_provider() -> None:
    assert parks(failure("auth", 401))
    assert not parks(failure("validation", 404))


def test_an_invalid_answer_is_asked_for_once_more() -> None:
    assert [after_invalid(n) for n in (1, 2, 3)] == ["again", "fail", "fail"]


def test_errors_say_provider_class_and_status_and_keep_the_names_of_the_reference() -> None:
    assert str(failure("rate_limit", 429)) == "openai: rate_limit (429)."
    timeout = ProviderTimeout("timeout", provider="azure")
    assert (timeout.name, str(timeout)) == ("TimeoutError", "azure: timeout.")
    assert OpenAIExecutionError.name == "OpenAIExecutionError"
    assert AzureExecutionError.name == "AzureExecutionError"
