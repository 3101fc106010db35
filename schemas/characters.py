"""Characters that nobody sees: as patterns, for whoever must refuse or overlook them."""

import re
from typing import Final

CONTROL: Final = "\x00-\x1f\x7f-\x9f"
INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
"""Unicode's default-ignorable characters, directions and separators, and the blank of braille."""

has_control: Final = re.compile(f"[{CONTROL}]").search
has_hidden: Final = re.compile(f"[{CONTROL}{INVISIBLE}\ud800-\udfff]").search
"""Also half a pair: no text of ours may hold one."""
has_visible: Final = re.compile(rf"[^\s{CONTROL}{INVISIBLE}]").search
"""None for a text of which nothing would be seen."""

_PICTURES: Final = "\u203c-\u3299\U0001f000-\U0001faff"
without_joints: Final = re.compile(
    f"(?<=[\u00a9\u00ae{_PICTURES}])\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    f"|(?<=[\ufe0f{_PICTURES}])\u200d(?=[{_PICTURES}])"
).sub
"""`without_joints("", text)` drops what holds an emoji together, and is invisible anywhere else."""

_misread = re.compile("[\u00c2-\u00f4][\u00a0-\u00bf]{0,2}[\u0080-\u0084\u0086-\u009f]").search


def is_misread(text: str) -> bool:
    """Whether it holds UTF-8 that was read as Latin-1: two wrongs that no reader can tell apart.

    No text has a C1 control after a Latin letter by itself, but for U+0085, the end of a line.
    """
    return not text.isascii() and _misread(text) is not None
