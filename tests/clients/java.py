"""Java for tests: the broker's runtime and its jars, and a compiler that `make install` fetches.

    python -m tests.clients.java

fetches it, as `ops.services.jars` fetches the broker: by coordinate and sha256.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.services.jars import install, jars, kafka_home
from ops.services.kafka import java

LOCK = Path(__file__).with_name("java.lock")
COMPILER_HOME = Path(sys.prefix) / "share" / "fanmemory" / "java-compiler"
LANGUAGE = "17"
FAST = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""For programs that end within a second or two: they take a third less CPU."""


def _libraries() -> list[str]:
    """Kafka's client and what else the broker has, as Jackson."""
    return [str(kafka_home() / jar.file_name) for jar in jars()]


def compiling(sources: Sequence[Path], into: Path) -> list[str]:
    """The command that compiles programs; warnings are errors."""
    (compiler,) = [str(COMPILER_HOME / jar.file_name) for jar in jars(LOCK)]
    options = ("-source", LANGUAGE, "-target", LANGUAGE, "-proc:none", "-failOnWarning")
    class_path = ("-cp", os.pathsep.join(_libraries()), "-d", str(into))
    return [str(java()), *FAST, "-jar", compiler, *options, *class_path, *map(str, sources)]


def running(program: str, classes: Path) -> list[str]:
    """The command that runs a compiled program."""
    class_path = os.pathsep.join((str(classes), *_libraries()))
    return [str(java()), *FAST, "-cp", class_path, program]


if __name__ == "__main__":
    install(COMPILER_HOME, LOCK)
