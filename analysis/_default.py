"""The analyser with the model and the taxonomy that come with the project."""

from collections.abc import Sequence
from functools import cache

from analysis.analyser import Analyser
from analysis.taxonomy import default_taxonomy
from schemas.text_features import TextFeatures

MODEL_VERSION: str = "000000000000"
TAXONOMY_VERSION: str = default_taxonomy().version


@cache
def _analyser() -> Analyser:
    return Analyser()


def analyse(texts: Sequence[str]) -> list[TextFeatures]:
    """Analyse a batch with the default analyser: `Analyser.analyse`."""
    return _analyser().analyse(texts)
