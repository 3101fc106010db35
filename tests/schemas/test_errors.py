"""The error tree: each error says what happened, what may be told, and what to do."""

import pytest

from schemas import errors
from schemas.errors import BudgetExceeded, FanMemoryError, InvalidInput, ProviderFailed


def every_error() -> list[type[FanMemoryError]]:
    found = [FanMemoryError]
    for one in found:
        found += one.__subclasses__()
    return [one for one in found if one.__module__ == errors.__name__]


def made(kind: type[FanMemoryError]) -> FanMemoryError:
    if issubclass(kind, InvalidInput):
        return kind("amount", "is wrong")
    if issubclass(kind, ProviderFailed):
        return kind("unknown", provider="template")
    if issubclass(kind, BudgetExceeded):
        return kind("creator", "day")
    return kind()


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_words_a_status_and_advice(kind: type[FanMemoryError]) -> None:
    error = made(kind)
    assert str(error)
    assert error.advice
    assert 400 <= error.status < 600
    # Whoever sent something wrong does not mend it by sending it again.
    assert not (error.retryable and error.status < 500)


def test_invalid_input_names_its_field() -> None:
    assert str(InvalidInput("amount", "must be finite")) == "amount: must be finite"
