"""HTML becomes text, once, before anything else looks at it.

By selectolax (the Lexbor engine): it reads what browsers read and is linear on what a stranger
makes, where the standard library's parser takes seconds for 40,000 characters. What is not
well-formed gives the text that a browser would show. Scripts and styles give none, a link gives its
words, a picture what stands in its place (platforms show emoji so).
"""

import re
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser

HTML_LENGTH_MAX: Final = 40_000
"""Characters of a text with its tags, four times those of a text: 50 ms at worst, as measured."""

_SILENT: Final = frozenset(
    ("script", "style", "title", "template", "head", "iframe", "noembed", "noframes", "textarea")
)
_BLOCKS: Final = frozenset(
    (
        *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset"),
        *("figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"),
    )
)
_spaces: Final = re.compile("[ \t\n\r\f\u00a0]+").sub


def html_to_text(html: str) -> str:
    """The text as it would be seen: a line per break, paragraph or row, spaces run together."""
    root = LexborHTMLParser(html).root
    lines: list[str] = []
    line: list[str] = []

    def end_line(*, always: bool) -> None:
        text = _spaces(" ", "".join(line)).strip(" ")
        line.clear()
        if text or always:
            lines.append(text)

    # Along the links between the nodes: a recursion would end at what a stranger nests.
    node: Any = root
    while node is not None:
        tag = node.tag
        if tag == "-text":
            line.append(node.text_content or "")
        elif tag == "br":
            end_line(always=True)
        elif tag == "img":
            line.append(node.attributes.get("alt") or "")
        elif tag in _BLOCKS:
            end_line(always=False)
        below = None if tag in _SILENT else node.child
        if below is not None:
            node = below
            continue
        while node is not None:
            if node.tag in _BLOCKS:
                end_line(always=False)
            if node.next is not None:
                node = node.next
                break
            node = node.parent
    end_line(always=False)
    return "\n".join(lines).strip()
