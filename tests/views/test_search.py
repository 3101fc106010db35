"""Search: which messages have some words, whatever their case, accents and width."""

from hypothesis import given
from hypothesis import strategies as st
from pytest import mark

from views.search import folded, has, words_of


@mark.parametrize(
    ("text", "query"),
    [
        ("Voilà, ça m'a plu !", "ca VOILA"),
        ("Crème brûlée", "creme brulee"),
        ("creme brulee", "CRÈME"),
        ("cafe\u0301", "café"),
        ("STRASSE", "straße"),
        ("İstanbul", "istanbul"),
        ("Ёлка", "елка"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ﬁnally", "finally"),
        ("مُحَمَّد", "محمد"),
        ("写真を送って", "写真"),
        ("ありがとう", "がと"),
        ("a [b] (c|d)* .+ \\", "(c|d)* [b] .+ \\"),
        ("100% sure", "100%"),
        ("love\u200dly", "lovely"),
        ("the red dress", "dress red"),
    ],
)
def test_a_message_has_words_that_are_written_in_another_way(text: str, query: str) -> None:
    assert has(text, words_of(query))


@mark.parametrize(
    ("text", "query"),
    [
        ("anything", ".*"),
        ("anything", "%"),
        ("red", "red dress"),
        ("かき", "がき"),
        ("ทำ", "ท่า"),
        ("", "a"),
    ],
)
def test_nothing_else_is_found(text: str, query: str) -> None:
    assert not has(text, words_of(query))


@mark.parametrize("query", ["", " \n\t", "\u0301", "\u200b \ufeff"])
def test_what_nobody_sees_is_no_word(query: str) -> None:
    assert words_of(query) == ()


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(min_size=1), st.text(), st.text())
def test_each_word_of_a_text_is_found_in_it(before: str, word: str, after: str) -> None:
    assert has(f"{before} {word} {after}", words_of(word))
