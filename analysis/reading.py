"""What a batch of texts says, as arrays: everything that does not need a word list.

Two readers give the same reading to the last bit: `read` here, in NumPy, and `kernel`, which is
faster and may be absent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.features import extract
from analysis.language import by_script, needed, own_letters
from analysis.lexicon import Laid, lay
from analysis.model import Floats, Integers, Model
from analysis.text import Batch, Flags, encode, surface, word_letters


class Reading(NamedTuple):
    """One row or entry per text."""

    sentiment: Floats
    emotion: Floats
    languages: Integers
    """Indices in `Model.codes`."""
    tokens: Integers
    words: Integers
    capitalised: Flags
    punctuated: Flags
    cased: Flags
    pictured: Flags
    """May hold an emoji."""
    links: Flags
    gifs: Flags
    laid: Laid


def read(model: Model, texts: Sequence[str]) -> Reading:
    """Read the texts in NumPy."""
    batch = encode(texts)
    inside = word_letters(batch)
    seen = surface(batch, inside)
    found = extract(batch, inside)
    values = model.values(found)
    languages = _languages(model, batch, model.languages(values))
    sentiment, emotion = model.moods(values, languages)
    return Reading(
        sentiment,
        emotion,
        languages,
        found.tokens,
        seen.words,
        seen.capitalised,
        seen.punctuated,
        seen.cased,
        batch.pictured,
        batch.links,
        batch.gifs,
        lay(batch),
    )


def _languages(model: Model, batch: Batch, table: NDArray[np.float64]) -> Integers:
    """By script where that decides, else by the model where it is sure."""
    header = model.header
    index = {code: place for place, code in enumerate(model.codes)}
    of_model = np.array([index[name] for name in header.languages], np.int64)
    chosen: Integers = of_model[table.argmax(axis=1)]
    letters = own_letters(batch)
    unsure = table.max(axis=1) < needed(header.language_sure, letters)
    unsure |= letters <= 0
    chosen[unsure] = 0
    for place, language in by_script(batch).items():
        chosen[place] = index[language]
    return chosen
