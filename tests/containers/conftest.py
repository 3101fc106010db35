"""Tests that need a container engine: run by `make test-containers`, else skipped with a word."""

from pathlib import Path

import pytest

from tests.containers import images

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    why = images.engine() if config.getoption("containers") else "run `make test-containers`"
    if why is None:
        return
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=why))
