"""Topics: the default taxonomy, and a creator's own."""

import json
from importlib import resources
from pathlib import Path

import pytest

from analysis import TAXONOMY_VERSION, analyse
from analysis.lexicon import ANY, Lexicon, Term, lay
from analysis.taxonomy import Taxonomy, default_taxonomy
from analysis.text import encode
from schemas.errors import InvalidInput

LANGUAGES = ("en", "es", "fr", "de", "pt", "it")
SIGNALS = ("distress", "refund", "leaving")


def find(terms: dict[str, list[str]], *texts: str) -> list[list[str]]:
    entries = [Term(ANY, term, meaning) for term, known in terms.items() for meaning in known]
    found = Lexicon(entries).find(lay(encode(texts)))
    return [found.get(index, []) for index in range(len(texts))]


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("pizza", "I like pizza", True),
        ("pizza", "PIZZA!", True),
        ("pizza", "pizzas", False),
        ("pizza*", "two pizzas", True),
        ("pizza*", "superpizza", False),
        ("café", "im Café", True),
        ("cafe", "le café", True),
        ("ice cream", "some ice-cream", True),
        ("ice cream", "ice, and cream", False),
        ("ice cream", "ice", False),
        ("rock'n'roll", "Rock'n'Roll", True),
        ("音楽", "私は音楽が好き", True),
        ("👍", "ok👍🏽", True),
        ("👨‍🍳", "the 👨🏽‍🍳", True),
        ("a", "a", True),
        ("...", "a ... b", False),
    ],
)
def test_a_term_is_found_as_a_whole_word(term: str, text: str, found: bool) -> None:
    assert find({term: ["x"]}, text) == [["x"] if found else []]


def test_terms_may_overlap_and_share_words() -> None:
    terms = {"new": ["new"], "new york": ["york"], "york city": ["city"]}
    assert sorted(find(terms, "new york city")[0]) == ["city", "new", "york"]


def test_a_phrase_does_not_run_over_a_message_s_end() -> None:
    assert find({"ice cream": ["x"], "ice": ["ice"]}, "ice", "cream", "ice") == [
        ["ice"],
        [],
        ["ice"],
    ]


NAMED = frozenset({"en", "es", "pt", "de"})


def in_language(language: str, term: str, home: str, text: str) -> bool:
    lexicon = Lexicon([Term(home, term, "x")], NAMED)
    return bool(lexicon.find(lay(encode([text])), [language]))


@pytest.mark.parametrize(
    ("home", "term", "language", "text", "found"),
    [
        ("pt", "tô", "pt", "to indo", True),  # its own language writes it without the accent too
        ("pt", "tô", "en", "going to town", False),
        ("pt", "tô", "und", "to", False),
        ("pt", "tô", "und", "tô indo", True),
        ("es", "=uñas", "es", "unas fotos", False),
        ("es", "=uñas", "es", "tus Uñas", True),
        ("de", "kunst", "en", "kunst", False),
        ("de", "kunst", "und", "kunst", True),
        ("tr", "ölmek istiyorum", "en", "Ölmek istiyorum", True),  # Turkish is never named here
        ("tr", "ölmek istiyorum", "en", "olmek istiyorum", False),
        ("any", "omg", "de", "OMG", True),
        ("uk", "хочу", "ru", "хочу", True),
    ],
)
def test_a_term_is_looked_for_in_its_own_language(
    home: str, term: str, language: str, text: str, found: bool
) -> None:
    named = in_language(language, term, home, text)
    assert named is found


def test_every_default_term_is_found_in_a_text_of_its_language() -> None:
    lexicon = Lexicon(default_taxonomy().terms())
    terms = default_taxonomy().terms()
    texts = [term.text.removeprefix("=").removesuffix("*") for term in terms]
    found = lexicon.find(lay(encode(texts)))
    for place, term in enumerate(terms):
        assert term.meaning in found.get(place, []), term


def test_the_default_taxonomy_speaks_six_languages_on_every_topic() -> None:
    topics = default_taxonomy().topics
    assert 40 <= len(topics) <= 60
    for topic, languages in topics.items():
        if topic in SIGNALS:
            assert languages == {}, "its terms are those of the signal"
            continue
        for language in LANGUAGES:
            assert len(languages.get(language, [])) >= 1, (topic, language)


@pytest.mark.parametrize(
    "text",
    [
        "so as we said, for the most part it is the same",
        "das ist so eine Art, und wir sind da",
        "on est là pour toi, car il le faut, et son frère aussi"[:37],
        "como se dice, no es lo que era",
        "per il resto non so che dire",
    ],
)
def test_function_words_are_no_topics(text: str) -> None:
    assert analyse([text])[0].topics == ()


def test_equal_content_has_an_equal_version() -> None:
    content = resources.files("analysis").joinpath("taxonomy.json").read_bytes()
    spaced = json.dumps(json.loads(content), indent=7).encode()
    assert Taxonomy.parse(spaced).version == Taxonomy.parse(content).version == TAXONOMY_VERSION
    changed = json.loads(content)
    changed["topics"]["music"]["en"].append("banjo")
    assert Taxonomy.parse(json.dumps(changed).encode()).version != TAXONOMY_VERSION


def test_a_taxonomy_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"topics": {"sailing": {"en": ["sail*"], "de": ["Segeln"]}}}')
    lexicon = Lexicon(Taxonomy.load(path).terms(), frozenset({"en", "de"}))
    found = lexicon.find(lay(encode(["Sailing is fun", "wir segeln"])), ["en", "de"])
    assert found == {0: ["sailing"], 1: ["sailing"]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"topics": {}}',
        b'{"topics": {"a": ["x"]}}',
        b'{"topics": {"a": {"en": [1]}}}',
        b'{"topics": {"a b": {"en": ["x"]}}}',
        b'{"topics": {"a": {"en": ["x"]}}, "more": 1}',
        json.dumps({"topics": {f"t{n}": {} for n in range(300)}}).encode(),
        json.dumps({"topics": {"a": {"en": ["x"] * 20_001}}}).encode(),
    ],
)
def test_a_wrong_taxonomy_is_refused_with_its_field(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="taxonomy"):
        Taxonomy.parse(content)
