"""How a fan's memory looks in a terminal, which obeys what it is shown."""

import pytest
from rich.console import Console

from ops.show import printable, show_context
from tests.views.test_field import said, told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("pay \u202e001\u202c now", "pay \\u202e001\\u202c now"),
        ("\u2066a\u2069\u2028b", "\\u2066a\\u2069\\u2028b"),
        ("two\nlines", "two\nlines"),
        ("שלום\u200f, مرحبا", "שלום\u200f, مرحبا"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_f16_a_message_turns_no_line_of_a_context_round() -> None:
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(show_context(told(said("I paid \u202e0001\u202c, \x1b[2J[red]really[/red]"))))
    shown = captured.get()
    assert "I paid \\u202e0001\\u202c, \\x1b[2J[red]really[/red]" in shown
    assert not {"\u202e", "\u202c", "\x1b"} & set(shown)
