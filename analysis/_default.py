"""The analyser with the model and the taxonomy that come with the project."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

from analysis.analyser import Analyser, words_version
from analysis.artefact import unpack
from analysis.model import Model
from analysis.taxonomy import default_taxonomy
from schemas.errors import Misconfigured
from schemas.text_features import TextFeatures

MODEL_FILE: Final = "text.model"
MODEL_SHA256: Final = resources.files(__package__).joinpath("text.model.sha256").read_text().strip()
MODEL_VERSION: Final = MODEL_SHA256[:12]
TAXONOMY_VERSION: Final = default_taxonomy().version
WORDS_VERSION: Final = words_version(default_taxonomy())
"""Of the taxonomy, the tones, the signals and the facts."""


@cache
def default_model() -> Model:
    """The committed model; Misconfigured if its bytes are not those it was committed with."""
    content = resources.files(__package__).joinpath(MODEL_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != MODEL_SHA256:
        raise Misconfigured(
            "The text model's checksum differs from the committed one.",
            hint="Take analysis/text.model from the release again.",
        )
    return Model(unpack(content))


@cache
def _analyser() -> Analyser:
    return Analyser(default_model())


def analyse(texts: Sequence[str]) -> list[TextFeatures]:
    """Analyse a batch with the default analyser: `Analyser.analyse`."""
    return _analyser().analyse(texts)
