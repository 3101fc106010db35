"""Prepare the embedded services in this environment, once: `python -m ops.services.install`."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.services import kafka
from ops.services.jars import KAFKA_VERSION, damaged, install, kafka_home
from schemas.errors import FanMemoryError


def main() -> None:
    """Fetch the jars and make the start-up cache; exit code 1 and a sentence if it did not work."""
    home = kafka_home()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            wanted = len(damaged(home))
            task = progress.add_task(f"Apache Kafka {KAFKA_VERSION}", total=wanted)
            install(home, on_jar=lambda _jar: progress.advance(task))
            if not (home / kafka.AOT_CACHE).is_file():
                progress.add_task("Kafka's start-up cache", total=None)
                kafka.make_start_cache(home)
    except FanMemoryError as error:
        console.print(f"{error} {error.advice}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
