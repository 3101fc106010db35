"""CPU time by part of the system, so that a figure says what bounds it."""

from collections.abc import Mapping

import psutil


class CpuMeter:
    """CPU seconds of named process trees since the meter was made.

    Counts what lives at the end: a process that ended in between takes its share with it.
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._parts = dict(parts)
        self._before = self._read()

    def seconds(self) -> dict[str, float]:
        """Part -> user + system seconds since the start."""
        now = self._read()
        return {name: round(now[name] - self._before.get(name, 0.0), 3) for name in now}

    def _read(self) -> dict[str, float]:
        return {name: _tree_seconds(pid) for name, pid in self._parts.items()}


def _tree_seconds(pid: int) -> float:
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # children_*: of a Postgres backend that ended, counted by its parent.
        total += times.user + times.system
        if process.pid == pid:
            total += times.children_user + times.children_system
    return total
