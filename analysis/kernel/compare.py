"""`python -m analysis.kernel.compare FILES`: kernel and NumPy over every text of labelled tables.

Prints how many texts there were and the CPU time of each; ends with 1 at the first text of which
the two say different things.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from analysis import default_model
from analysis.analyser import Analyser
from analysis.training.corpus import read_table

_BATCH: Final = 500


def differing(
    fast: Analyser, exact: Analyser, texts: Sequence[str]
) -> tuple[list[str], list[float]]:
    """Texts with two answers, and the seconds of CPU of either analyser, in turn by batches."""
    seconds = [0.0, 0.0]
    found: list[str] = []
    for first in range(0, len(texts), _BATCH):
        batch = texts[first : first + _BATCH]
        answers = []
        for place, analyser in enumerate((fast, exact)):
            started = time.process_time()
            answers.append(analyser.analyse(batch))
            seconds[place] += time.process_time() - started
        found += [text for text, one, other in zip(batch, *answers, strict=True) if one != other]
    return found, seconds


def main(files: Sequence[str]) -> int:
    """The command; its exit code."""
    texts = [example.text for name in files for example in read_table(Path(name))]
    model = default_model()
    found, seconds = differing(Analyser(model), Analyser(model, kernel=False), texts)
    fast, exact = (1e6 * part / max(len(texts), 1) for part in seconds)
    print(f"{len(texts):,} texts, {len(found)} differ; {fast:.1f} and {exact:.1f} µs of CPU each")
    for text in found[:1]:
        print(repr(text))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
