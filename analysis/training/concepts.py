"""Words of one meaning in several languages: how the model carries English labels elsewhere.

In training every word of a concept shares one further feature, so what most texts teach about
`love`, `amo` and `liebe` together is learnt once. Afterwards the concept's weights are added to
each of its words', so at run time concepts cost nothing.
"""

from collections import defaultdict
from importlib import resources
from typing import Final

from analysis.features import GROUPS, extract, negated_features
from analysis.text import encode, word_letters

LANGUAGES: Final = ("en", "es", "fr", "de", "pt", "it", "ar", "hi")
"""The columns of `concepts.txt`."""

Concepts = dict[str, dict[str, list[str]]]
"""Concept -> language -> its forms; a form is a word or a pair of words."""


def read_concepts(content: str) -> Concepts:
    """Read lines of `name | forms | forms …`, one column for each of `LANGUAGES`."""
    concepts: Concepts = {}
    for line in content.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, *columns = line.split("|")
        concepts[name.strip()] = {
            language: [form.replace("_", " ") for form in forms.split()]
            for language, forms in zip(LANGUAGES, columns, strict=True)
        }
    return concepts


def default_concepts() -> Concepts:
    """The concepts that come with the analyser: `concepts.txt`."""
    return read_concepts(resources.files(__package__).joinpath("concepts.txt").read_text("utf-8"))


def forms_by_language(concepts: Concepts) -> list[tuple[str, str]]:
    """(language, all forms of a concept in it)."""
    return [
        (language, " ".join(forms))
        for languages in concepts.values()
        for language, forms in languages.items()
        if forms
    ]


def concept_hashes(concepts: Concepts) -> dict[int, list[int]]:
    """Hash of the word or pair feature -> the numbers of its concepts.

    A concept's negated words are a concept of their own: `not good` and `nicht gut` share one.
    A form that is neither one word nor two is an error of the file: ValueError names it.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    words, pairs = GROUPS.index("words"), GROUPS.index("pairs")
    for number, languages in enumerate(concepts.values()):
        forms = sorted({form for column in languages.values() for form in column})
        batch = encode(forms)
        found = extract(batch, word_letters(batch))
        for place, form in enumerate(forms):
            tokens = int(found.tokens[place])
            if tokens not in (1, 2):
                raise ValueError(f"concepts: {form!r} is neither a word nor a pair of words")
            group = words if tokens == 1 else pairs
            # The first feature of either group belongs to the message's own begin.
            members[int(found.hashes[found.bounds[group, place] + 1])].append(number)
        single = [form for place, form in enumerate(forms) if int(found.tokens[place]) == 1]
        for negated in negated_features(single).tolist():
            members[negated].append(len(concepts) + number)
    return dict(members)
