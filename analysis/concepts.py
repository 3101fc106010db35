"""Words of one meaning in several languages: how the model carries English labels elsewhere.

In training every word of a concept shares one further feature, so what most texts teach about
`love`, `amo` and `liebe` together is learnt once. Afterwards the concept's weights are added to
each of its words', so at run time concepts cost nothing.
"""

from collections import defaultdict
from importlib import resources

from analysis.features import GROUPS, extract
from analysis.text import encode, word_letters


def read_concepts(content: str) -> dict[str, list[str]]:
    """Concept name -> its forms of all languages; a form is a word or a pair of words."""
    concepts: dict[str, list[str]] = {}
    for line in content.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, *languages = line.split("|")
        forms = {form.replace("_", " ") for forms in languages for form in forms.split()}
        concepts[name.strip()] = sorted(forms)
    return concepts


def default_concepts() -> dict[str, list[str]]:
    """The concepts that come with the analyser: `concepts.txt`."""
    return read_concepts(resources.files(__package__).joinpath("concepts.txt").read_text("utf-8"))


def concept_hashes(concepts: dict[str, list[str]]) -> dict[int, list[int]]:
    """Hash of the word or pair feature -> the numbers of its concepts.

    A form that is neither one word nor two is an error of the file: ValueError names it.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    words, pairs = GROUPS.index("words"), GROUPS.index("pairs")
    for number, forms in enumerate(concepts.values()):
        batch = encode(forms)
        found = extract(batch, word_letters(batch))
        for place, form in enumerate(forms):
            tokens = int(found.tokens[place])
            if tokens not in (1, 2):
                raise ValueError(f"concepts: {form!r} is neither a word nor a pair of words")
            group = words if tokens == 1 else pairs
            # The first feature of either group belongs to the message's own begin.
            members[int(found.hashes[found.bounds[group, place] + 1])].append(number)
    return dict(members)
