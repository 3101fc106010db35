"""What a text says: sentiment, emotions, language, topics, tone, signals, facts, emoji, surface.

analyser                  a batch of texts in, one `TextFeatures` per text out
text, characters, emoji   a batch as arrays of folded code points
features, negation        hashes of words, word pairs and character n-grams; which words are negated
model, artefact           the trained model at work, and its file
language                  by script, else by the model
reading, kernel           all of that over a batch: in NumPy, and in WebAssembly, to the same bits
lexicon, taxonomy, tone   topics and tone by word lists
signals                   what a person may want to be called for, by word lists
facts                     what somebody says of themselves in plain phrases
training                  how the model is made; not needed to analyse
"""

from analysis._default import (
    MODEL_VERSION,
    TAXONOMY_VERSION,
    WORDS_VERSION,
    analyse,
    default_model,
)
from analysis.analyser import Analyser
from analysis.taxonomy import Taxonomy

__all__ = [
    "MODEL_VERSION",
    "TAXONOMY_VERSION",
    "WORDS_VERSION",
    "Analyser",
    "Taxonomy",
    "analyse",
    "default_model",
]
