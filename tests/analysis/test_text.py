"""What the surface of a text shows."""

import pytest

from analysis.text import encode, surface, word_letters


def look(text: str) -> tuple[int, bool, bool, bool]:
    batch = encode([text])
    seen = surface(batch, word_letters(batch))
    return (
        int(seen.words[0]),
        bool(seen.capitalised[0]),
        bool(seen.punctuated[0]),
        bool(seen.cased[0]),
    )


@pytest.mark.parametrize(
    ("text", "words", "capitalised", "punctuated", "cased"),
    [
        ("Hello there.", 2, True, True, True),
        ("hello there", 2, False, False, True),
        ("don't you'll o'clock", 3, False, False, True),
        ("it's 'quoted'", 2, False, False, True),
        ("(Well done!)", 2, True, True, True),
        ("See you! 😘😘", 2, True, True, True),
        ('He said "no."', 3, True, True, True),
        ("¿Qué tal?", 2, True, True, True),
        ("123 go", 2, False, False, True),
        ("مرحبا بك؟", 2, False, True, False),
        ("你好。", 2, False, True, False),
        ("नमस्ते।", 1, False, True, False),
        ("...", 0, False, True, False),
        ("😀", 0, False, False, False),
        ("Z͑ͫ̓ͪ̂ͫ̽algo", 1, True, False, True),
    ],
)
def test_words_capitals_and_end_marks(
    text: str, words: int, capitalised: bool, punctuated: bool, cased: bool
) -> None:
    assert look(text) == (words, capitalised, punctuated, cased)


@pytest.mark.parametrize(
    ("text", "link", "gif"),
    [
        ("see https://example.org/a?b=c", True, False),
        ("see WWW.example.org", True, False),
        ("my page example.com/me", True, False),
        ("look https://media.giphy.com/x", True, True),
        ("look at this.gif", False, True),
        ("a GIF for you", False, True),
        ("a gift for you", False, False),
        ("well.no really", False, False),
        ("mail me at me@example.com", False, False),
        ("e.g. this. And that", False, False),
        ("version 1.2.3", False, False),
    ],
)
def test_links_and_gifs_are_marked(text: str, link: bool, gif: bool) -> None:
    batch = encode(["before", text, "after"])
    assert (bool(batch.links[1]), bool(batch.gifs[1])) == (link, gif)
    assert not batch.links[[0, 2]].any()
    assert not batch.gifs[[0, 2]].any()


def test_links_and_mentions_read_as_in_the_training_corpora() -> None:
    texts = ["hi @some_one see https://a.b/c now", "@user http", "usernames: @user1"]
    assert list(encode(texts).pieces) == ["hi @user see http now", "@user http", "usernames: @user"]


def test_spellings_of_one_letter_fold_together() -> None:
    folded = encode(["ＨＥＬＬＯ 𝓱𝓮𝓵𝓵𝓸 h\u200bello"]).codes
    assert "".join(map(chr, folded)).split() == ["hello"] * 3
