"""HTML becomes the text that a reader would see."""

import time

from hypothesis import given
from hypothesis import strategies as st
from pytest import mark

from schemas.html import HTML_LENGTH_MAX, html_to_text

SECONDS_MAX = 1.0
"""Ten times what the worst takes: what is not linear takes minutes."""


@mark.parametrize(
    ("html", "text"),
    [
        ("<p>Good night.</p>", "Good night."),
        ("<p>You &amp; me forever?</p>", "You & me forever?"),
        ("<p>It was so good.<br />\nThank you!</p>", "It was so good.\nThank you!"),
        ('<p>Check my <a href="https://x.y/z">page</a> please.</p>', "Check my page please."),
        ("I&#039;m &hearts; &#x1F618;", "I'm ♥ 😘"),
        ("I <3 you &lt;3", "I <3 you <3"),
        ("one<br><br>two", "one\n\ntwo"),
        ("<p>one</p><p>two</p>three", "one\ntwo\nthree"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("  so   much\t space&nbsp; ", "so much space"),
        ('hello <img class="emoji" alt="😘" src="data:image/png;base64,AAAA">', "hello 😘"),
        ("a<script>alert(1)</script><style>p{}</style><title>t</title>b", "ab"),
        ("<!-- not said -->said", "said"),
        ("<b>not closed", "not closed"),
        ("a &unknown; b", "a &unknown; b"),
        ("<p><br></p>", ""),
        ("", ""),
    ],
)
def test_html_is_read_as_a_browser_shows_it(html: str, text: str) -> None:
    assert html_to_text(html) == text


@mark.parametrize(
    "part",
    [
        "<div>",
        "<div>x",
        "<!--",
        "<",
        "<a ",
        '<a b="',
        "<![CDATA[",
        "</",
        "<script>",
        "<table>",
        "&#",
    ],
)
def test_what_is_nested_or_never_closed_takes_no_time(part: str) -> None:
    bomb = part * (HTML_LENGTH_MAX // len(part))
    started = time.process_time()
    assert len(html_to_text(bomb)) <= HTML_LENGTH_MAX
    assert time.process_time() - started < SECONDS_MAX


def test_formatting_that_is_opened_again_and_again_takes_no_time() -> None:
    half = HTML_LENGTH_MAX // 2
    bomb = "".join(f"<b c{n}>" for n in range(half // 10)) + "<p>x" * (half // 4)
    started = time.process_time()
    assert html_to_text(bomb).count("x") == half // 4
    assert time.process_time() - started < SECONDS_MAX


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    html_to_text(text)
