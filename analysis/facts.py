"""Facts: what a fan says of themselves in plain phrases. Rules made to be right, not to find much.

`facts.json` has phrases by kind and language, each with a slot: "my birthday is on {date}". The
words before the slot (the longest part, where it stands between words) are terms of the lexicon, so
a text without any costs nothing. A text with one is read once more here, phrase by phrase.

| Slot | Takes | Value |
|---|---|---|
| `date` | day and month, in words or without doubt which is which | `MM-DD` |
| `name` | one or two words that begin large; one in small letters ends a clause | itself |
| `Name` | the same, begun large | itself |
| `place` | up to three words that begin large, or a name of `places` | itself |
| `work` | up to three words, up to the end of the clause | itself |
| `thing` | up to six words, up to the end of the clause | the whole phrase |

Nothing is taken of a question, of what stands in quotation marks, or behind a word that makes it a
wish, a denial or somebody else's (`before`); a `limit` begins a clause, but for a word of asking
(`ask`). A value is 2 to `VALUE_LENGTH_MAX` characters of one line, none
of them invisible. What is found is what was said, not what is so.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import islice
from typing import Final, NamedTuple
from unicodedata import normalize

import msgspec

from analysis.lexicon import Term
from analysis.text import SCANNED_MAX
from schemas.characters import has_hidden
from schemas.text_features import FACT_VALUE_LENGTH_MAX as VALUE_LENGTH_MAX
from schemas.text_features import Fact, FactKind

FACTS_MAX: Final = 8
"""Of one text; the first."""
WORDS_MAX: Final = 6
_SPACE: Final = r"[ \t\u00a0]{1,3}"
_WINDOW: Final = 96
"""Characters behind a phrase that are looked at."""
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_slots: Final = re.compile(r"\{(\w+)\}").findall
_clause: Final = re.compile(
    '[.!?,;:\n\r\u2026()"\u201c\u201d\u00ab\u00bb\u2600-\u27bf\U0001f000-\U0001faff]'
)
_word: Final = re.compile(r"[^\W\d_][\w'’.-]*").match
_words: Final = re.compile(r"[\w'’.-]+").finditer
_quote: Final = frozenset('"“«„')
_day: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|ª|°|\.)?"
_digits: Final = re.compile(
    r"(?:the |dia )?(\d{1,2})([./-])(\d{1,2})(?:\2(?:\d{4}|\d\d))?(?![./-]?\d)"
).match


class Cue(NamedTuple):
    """What a term of the lexicon stands for: there may be a fact of this kind, in this language."""

    kind: FactKind
    language: str


class _Rule(NamedTuple):
    before: Callable[[str, int], "re.Match[str] | None"]
    """Searches a folded text for the words in front of the slot."""
    slot: str
    after: Callable[[str, int], "re.Match[str] | None"] | None
    animal: str


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    animals: dict[str, list[str]]
    months: dict[str, list[str]]
    articles: dict[str, list[str]]
    phrases: dict[FactKind, dict[str, list[str]]]
    before: list[str]
    ask: list[str]
    not_: dict[str, list[str]] = msgspec.field(name="not")
    ends: dict[str, list[str]]
    empty: list[str]
    places: list[str]


class Facts:
    """The phrases, ready to be looked for."""

    def __init__(self, content: bytes) -> None:
        self.version = hashlib.sha256(content).hexdigest()[:12]
        lists = msgspec.json.decode(content, type=_Lists)
        self._rules: dict[Cue, list[_Rule]] = {}
        terms: dict[tuple[str, str, Cue], None] = {}
        for kind, languages in lists.phrases.items():
            for language, phrases in languages.items():
                cue = Cue(kind, language)
                for phrase, animal in _spelled(phrases, lists.animals[language]):
                    rule, trigger = _compiled(phrase, animal)
                    self._rules.setdefault(cue, []).append(rule)
                    terms[language, trigger, cue] = None
        self.terms: Sequence[Term[Cue]] = [Term(*one) for one in terms]
        self._dates = {language: _dates(months) for language, months in lists.months.items()}
        self._articles = lists.articles
        self._before = frozenset(map(folded, lists.before))
        common = frozenset(lists.not_["all"])
        self._ask = frozenset(map(folded, lists.ask))
        self._not = {one: common | set(map(folded, words)) for one, words in lists.not_.items()}
        self._ends = {one: frozenset(map(folded, words)) for one, words in lists.ends.items()}
        self._empty = frozenset(map(folded, lists.empty))
        self._places = frozenset(map(folded, lists.places))

    def find(self, text: str, cues: Iterable[Cue]) -> tuple[Fact, ...]:
        """What the text says of these, each once, in its order; linear in the text."""
        text = text[:SCANNED_MAX]
        plain = folded(text)
        found: dict[tuple[int, FactKind], Fact] = {}
        for cue in dict.fromkeys(cues):
            for rule in self._rules[cue]:
                for end, value in self._by(rule, cue, text, plain):
                    # Of two phrases with one end that which says more stands in front of the slot.
                    known = found.get((end, cue.kind))
                    if known is None or (len(known.value) < len(value)) == (rule.slot == "thing"):
                        found[end, cue.kind] = Fact(cue.kind, value)
        ordered = dict.fromkeys(found[place] for place in sorted(found))
        return tuple(ordered)[:FACTS_MAX]

    def _by(self, rule: _Rule, cue: Cue, text: str, plain: str) -> Iterator[tuple[int, str]]:
        """(where the value ends, value)."""
        at = 0
        while (match := rule.before(plain, at)) is not None:
            at = match.end()
            if self._is_not_said(plain, match.start(), cue.kind):
                continue
            taken = self._take(rule, cue.language, text, plain, at)
            if taken is None:
                continue
            value, end = taken
            if rule.after is not None and rule.after(plain, end) is None:
                continue
            rest = _clause.search(plain, end)
            if rest is not None and rest[0] == "?":
                continue
            if rule.slot == "thing":
                value = text[match.start() : end]
            if rule.animal:
                value = f"{rule.animal} {value}"
            value = " ".join(value.split())
            if 2 <= len(value) <= VALUE_LENGTH_MAX and has_hidden(value) is None:
                yield end, value

    def _is_not_said(self, plain: str, start: int, kind: FactKind) -> bool:
        before = plain[max(0, start - 24) : start].rstrip()
        if not before or before[-1] in _quote:
            return bool(before)
        word = before.split()[-1]
        if kind == "limit" and not _clause.match(word[-1]):
            return word not in self._ask
        return word.strip(",") in self._before

    def _take(
        self, rule: _Rule, language: str, text: str, plain: str, at: int
    ) -> tuple[str, int] | None:
        if rule.slot == "date":
            return self._dates[language](plain[: at + _WINDOW], at)
        if rule.slot in ("name", "Name"):
            return self._name(language, text, plain, at, rule.slot == "Name")
        if rule.slot == "place":
            return self._place(language, text, plain, at)
        return self._rest(language, text, plain, at, 3 if rule.slot == "work" else WORDS_MAX)

    def _name(
        self, language: str, text: str, plain: str, at: int, strict: bool
    ) -> tuple[str, int] | None:
        first = _token(text, at)
        if first is None or len(first[0]) < 2 or folded(first[0]) in self._not[language]:
            return None
        word, end = first
        capitals = _begins_large(word) and not _shouted(text, at)
        if not capitals:
            alone = _clause.match(plain, end) or end >= len(text.rstrip())
            return None if strict or not alone else (word, end)
        second = _token(text, end + 1) if text[end : end + 1] == " " else None
        if (
            second is not None
            and _begins_large(second[0])
            and len(second[0]) > 1
            and folded(second[0]) not in self._not[language]
        ):
            end = second[1]
        if plain[end : end + 2] == "'s":
            return None
        return text[at:end], end

    def _place(self, language: str, text: str, plain: str, at: int) -> tuple[str, int] | None:
        articles = (one for one in self._articles[language] if plain.startswith(one, at))
        start = at + len(next(articles, ""))
        end, words = start, 0
        shouted = _shouted(text, at)
        while words < 3 and (token := _token(text, end + 1 if words else start)) is not None:
            if words and text[end : end + 1] != " ":
                break
            if not _begins_large(token[0]) or shouted or len(token[0]) < 2:
                break
            if folded(token[0]) in self._not[language]:
                break
            end, words = token[1], words + 1
        if not words:
            end = self._listed(plain, start)
        if end == start or plain[end : end + 2] == "'s":
            return None
        return text[at:end].strip(".-'"), end

    def _listed(self, plain: str, start: int) -> int:
        """Where the longest name of a known place ends; `start` where none stands."""
        ends = [one.end() for one in islice(_words(plain, start, start + _WINDOW), 3)]
        known = (end for end in reversed(ends) if plain[start:end].strip(".") in self._places)
        return next(known, start)

    def _rest(
        self, language: str, text: str, plain: str, at: int, words_max: int
    ) -> tuple[str, int] | None:
        """Up to the end of the clause."""
        clause = _clause.search(plain, at)
        last = min(len(plain), clause.start() if clause else len(plain), at + _WINDOW)
        end, words = at, 0
        for word in _words(plain, at, last):
            apart = plain[end : word.start()]
            if word[0] in self._ends[language] or (apart if words == 0 else apart.strip()):
                break
            end, words = word.end(), words + 1
        value = text[at:end].strip()
        if not 0 < words <= words_max or folded(value) in self._empty:
            return None
        if words == 1 and folded(value) in self._not["all"]:
            return None
        return value, end


@cache
def default_facts() -> Facts:
    """The phrases that come with the analyser: `facts.json`."""
    return Facts(resources.files(__package__).joinpath("facts.json").read_bytes())


def folded(text: str) -> str:
    """In small letters without accents, each character in its place."""
    if text.isascii():
        return text.lower()
    return "".join(map(_folded, text))


@cache
def _table() -> dict[str, str]:
    return {"’": "'", "ʼ": "'", "`": "'", "ß": "s"}


def _folded(character: str) -> str:
    known = _table().get(character)
    return known if known is not None else normalize("NFD", character.lower())[0]


def _token(text: str, at: int) -> tuple[str, int] | None:
    found = _word(text, at, at + _WINDOW)
    if found is None:
        return None
    word = found[0].rstrip(".-'’")
    for possessive in ("'s", "’s"):
        word = word.removesuffix(possessive)
    return (word, at + len(word)) if word else None


def _begins_large(word: str) -> bool:
    return word[0].isupper()


def _shouted(text: str, at: int) -> bool:
    """Whether the words before are in capitals, so that one more says nothing."""
    return text[max(0, at - 12) : at].isupper()


def _spelled(phrases: Iterable[str], animals: Sequence[str]) -> Iterator[tuple[str, str]]:
    for phrase in phrases:
        if "{animal}" not in phrase:
            yield phrase, ""
            continue
        for animal in animals:
            yield phrase.replace("{animal}", animal), animal


def _compiled(phrase: str, animal: str) -> tuple[_Rule, str]:
    """The rule, and the term of the lexicon that it waits for."""
    phrase = phrase.replace("{number}", "#")
    (slot,) = _slots(phrase)
    before, after = (part.strip() for part in phrase.split(f"{{{slot}}}"))
    pattern = r"(?<![\w'])" + _literal(before) + _SPACE
    trigger = max(before.partition("#")[0].strip(), after, key=len)
    search = re.compile(pattern).search
    behind = re.compile(_SPACE + _literal(after) + r"(?!\w)").match if after else None
    return _Rule(search, slot, behind, animal), trigger


def _literal(words: str) -> str:
    return _SPACE.join(
        r"\d{1,2}" if word == "#" else re.escape(folded(word)) for word in words.split()
    )


def _dates(months: Sequence[str]) -> Callable[[str, int], tuple[str, int] | None]:
    numbers = {
        folded(name): number for number, names in enumerate(months, 1) for name in names.split()
    }
    named = "|".join(sorted(numbers, key=len, reverse=True))
    first = re.compile(rf"(?:the |dia )?{_day}(?: ?of | ?de | ?di | )(?P<month>{named})\b").match
    second = re.compile(rf"(?P<month>{named})\.? (?:the )?{_day}(?!\d)").match
    english = "may" in numbers

    def read(plain: str, at: int) -> tuple[str, int] | None:
        match = first(plain, at) or second(plain, at)
        if match is not None:
            return _date(int(match["day"]), numbers[match["month"]], match.end())
        digits = _digits(plain, at)
        if digits is None:
            return None
        day, month = int(digits[1]), int(digits[3])
        if english:  # of 5/6 nobody knows
            if day <= 12 and month > 12:
                day, month = month, day
            elif day <= 12 and day != month:
                return None
        return _date(day, month, digits.end())

    return read


def _date(day: int, month: int, end: int) -> tuple[str, int] | None:
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        return None
    return f"{month:02d}-{day:02d}", end
