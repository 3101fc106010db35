"""What a text says: sentiment, emotions, language, topics, tone, emoji and its surface."""

from analysis._default import MODEL_VERSION, TAXONOMY_VERSION, analyse, default_model
from analysis.analyser import Analyser
from analysis.taxonomy import Taxonomy

__all__ = [
    "MODEL_VERSION",
    "TAXONOMY_VERSION",
    "Analyser",
    "Taxonomy",
    "analyse",
    "default_model",
]
