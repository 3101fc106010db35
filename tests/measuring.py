"""Coverage of the lower rooms and of `llm` by their own tests, within the one run of all tests.

`make test` sets `COVERAGE_PROCESS_START`, so that coverage begins with the interpreter: modules are
imported before any hook of ours. What other rooms' tests execute does not count, and what tests
start is not measured. Each process of the run leaves a data file, for `coverage combine`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

VARIABLE = "COVERAGE_PROCESS_START"


class Measuring:
    """A plugin of the process that runs tests: measures while it runs those of the rooms."""

    def __init__(self, coverage: Coverage, tests: Path) -> None:
        self._coverage = coverage
        rooms = coverage.get_option("run:source")
        assert isinstance(rooms, list)
        self._folders = [tests / room for room in rooms]
        self._on = True

    def pytest_collection_finish(self) -> None:
        self._measure(False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measure(any(folder in item.path.parents for folder in self._folders))
        return (yield)

    def pytest_sessionfinish(self) -> None:
        self._measure(False)
        self._coverage.save()

    def _measure(self, wanted: bool) -> None:
        if wanted != self._on:
            self._on = wanted
            (self._coverage.start if wanted else self._coverage.stop)()


def plugin(tests: Path) -> Measuring | None:
    """The plugin, if this run is measured; what is started from here on is not."""
    coverage = Coverage.current()
    asked = os.environ.pop(VARIABLE, None)
    return None if asked is None or coverage is None else Measuring(coverage, tests)
