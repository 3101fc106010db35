"""Texts whose encoding was spoiled on their way."""

import ftfy


def repaired(text: str) -> str:
    """UTF-8 that was read as Latin-1, read rightly; any other text as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:  # only a part of it is spoiled, or nothing
        return ftfy.fix_encoding(text)


def encodable(text: str) -> str:
    """With half pairs replaced: no JSON can carry them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
