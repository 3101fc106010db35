"""Signals: what a person may want to be called for."""

import pytest

from analysis import Analyser, Taxonomy, analyse, default_model
from analysis.lexicon import Lexicon, lay
from analysis.signals import Mention, Signals, default_signals, signals_of
from analysis.text import encode
from schemas.text_features import TextFeatures

REFUND, HINT = Mention("refund", "explicit"), Mention("refund", "implied")
DESPAIR = Mention("distress", "implied")


@pytest.mark.parametrize(
    ("mentions", "score", "found"),
    [
        ([REFUND], 0.9, {"refund": "explicit"}),
        ([HINT, REFUND, HINT], 0.9, {"refund": "explicit"}),
        ([HINT], 0.0999, {"refund": "implied"}),
        ([HINT], 0.1, {}),
        ([REFUND, DESPAIR], -0.9, {"distress": "implied", "refund": "explicit"}),
        ([REFUND, DESPAIR], 0.9, {"refund": "explicit"}),
        ([], -0.9, {}),
    ],
)
def test_evidence_is_the_strongest_and_a_glad_text_implies_nothing(
    mentions: list[Mention], score: float, found: dict[str, str]
) -> None:
    assert signals_of(mentions, score) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I want my money back", {"refund": "explicit"}),
        ("I cancelled my subscription, I can't take it anymore", {"leaving", "distress"}),
        ("quiero suicidarme", {"distress": "explicit"}),
        ("もう死にたい", {"distress": "explicit"}),
        ("I want to die", {"distress": "explicit"}),
        ("I don't want to die, I want to see you", {}),
        ("Suicide Squad was great", {}),
        ("I got my tax refund, so here is a tip", {}),
        ("I'm leaving work now", {}),
        ("hi babe, how was your day?", {}),
        ("", {}),
    ],
)
def test_a_text_has_its_signals_and_topics_of_their_names(text: str, found: object) -> None:
    (features,) = analyse([text])
    assert features.signals == found or features.signals.keys() == found
    assert set(features.signals) == {"distress", "refund", "leaving"} & set(features.topics)


def test_signals_do_not_depend_on_the_taxonomy() -> None:
    """A topic of a signal's name is the signal's and the taxonomy's own."""
    own = Taxonomy.parse(b'{"topics": {"sailing": {"en": ["sail*"]}, "refund": {"en": ["mast"]}}}')
    analyser = Analyser(default_model(), own)
    asked, mast, left = analyser.analyse(["refund me, sailor", "the mast", "I'm unsubscribing"])
    assert (asked.signals, asked.topics) == ({"refund": "explicit"}, ("refund", "sailing"))
    assert (mast.signals, mast.topics) == ({}, ("refund",))
    assert (left.signals, left.topics) == ({"leaving": "explicit"}, ())


def test_the_lists_speak_many_languages() -> None:
    homes: dict[str, set[str]] = {}
    for term in default_signals().terms:
        if term.meaning.role != "unless":
            homes.setdefault(term.meaning.kind, set()).add(term.language)
    assert {kind: len(languages) >= 30 for kind, languages in homes.items()} == {
        "distress": True,
        "refund": True,
        "leaving": True,
    }


def test_every_term_says_its_signal_and_every_exception_takes_it_back() -> None:
    terms = default_signals().terms
    whole, plain = Lexicon(terms), Lexicon(term for term in terms if not term.hides)
    laid = lay(encode([term.text.removeprefix("=").removesuffix("*") for term in terms]))
    said, else_said = whole.find(laid), plain.find(laid)
    for place, (_, text, (kind, role), _) in enumerate(terms):
        assert kind in signals_of(else_said.get(place, []), -1.0), text
        assert (kind in signals_of(said.get(place, []), -1.0)) is (role != "unless"), text


def test_an_exception_hides_what_stands_in_it_and_no_more() -> None:
    both, one, none = analyse(
        ["I want to die. Suicide Squad was bad", "suicide, no: suicide squad", "the suicide squad"]
    )
    assert [found.signals for found in (both, one, none)] == [
        {"distress": "explicit"},
        {"distress": "implied"},
        {},
    ]


def test_a_term_is_listed_once() -> None:
    seen: set[tuple[str, str, str]] = set()
    for language, text, (kind, _), _ in default_signals().terms:
        assert (language, text, kind) not in seen, text
        seen.add((language, text, kind))


def test_the_version_is_of_the_content() -> None:
    one, other = b'{"signals": {"refund": {}}}', b'{"signals": {"leaving": {}}}'
    assert Signals(one).version == Signals(one).version != Signals(other).version
    assert len(Signals(one).version) == 12


def test_an_empty_text_has_none() -> None:
    assert TextFeatures().signals == {}
