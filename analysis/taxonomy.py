"""Topics: what a message is about, from a taxonomy that a creator may replace with their own."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from analysis.lexicon import Term
from schemas.errors import InvalidInput

TOPICS_MAX = 16
"""Topics given of one text (`TextFeatures.topics`)."""
TAXONOMY_TOPICS_MAX = 256
TAXONOMY_TERMS_MAX = 20_000


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Topic id -> language -> terms; `lexicon` tells in which texts a term is looked for."""

    topics: dict[str, dict[str, list[str]]]
    """One that has the name of a signal (`signals`) is given wherever that is, too."""

    @classmethod
    def parse(cls, content: bytes) -> "Taxonomy":
        """From JSON `{"topics": {"music": {"en": ["song*"]}}}`; else InvalidInput says why not."""
        try:
            taxonomy = msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidInput("taxonomy", str(error)) from None
        if not 1 <= len(taxonomy.topics) <= TAXONOMY_TOPICS_MAX:
            raise InvalidInput("taxonomy.topics", f"1 to {TAXONOMY_TOPICS_MAX} topics are allowed")
        if sum(map(len, taxonomy._all_terms())) > TAXONOMY_TERMS_MAX:
            raise InvalidInput("taxonomy.topics", f"at most {TAXONOMY_TERMS_MAX} terms are allowed")
        for topic in taxonomy.topics:
            if not (topic.isidentifier() and len(topic) <= 64):
                raise InvalidInput("taxonomy.topics", "a topic id is letters, digits and _ (≤ 64)")
        return taxonomy

    @classmethod
    def load(cls, path: Path) -> "Taxonomy":
        """A creator's own taxonomy file."""
        return cls.parse(path.read_bytes())

    @property
    def version(self) -> str:
        """First 12 hex of the SHA-256 of the canonical JSON: equal content, equal version."""
        canonical = json.dumps(self.topics, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def terms(self) -> list[Term[str]]:
        """Every term with its topic."""
        return [
            Term(language, text, topic)
            for topic, languages in self.topics.items()
            for language, texts in languages.items()
            for text in texts
        ]

    def _all_terms(self) -> Sequence[Sequence[str]]:
        return [terms for languages in self.topics.values() for terms in languages.values()]


@cache
def default_taxonomy() -> Taxonomy:
    """The taxonomy that comes with the analyser: `taxonomy.json`."""
    return Taxonomy.parse(resources.files(__package__).joinpath("taxonomy.json").read_bytes())
