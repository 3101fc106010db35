"""From material to what a model is asked, and nothing else comes in.

`compose` is pure. The system part is ours, one per type, and carries a canary: words of it in an
answer prove a leak. The user part is one JSON object between two marks; in it, `<`, `>` and `&` are
escapes, and so are line ends, so that no text in it can close it or look like a line of ours.
Texts are cleaned of what nobody sees and cut (`cleaned`); only ids that may be cited are kept.

A prompt has a `version`, made of everything that is the same for all material of its type: texts,
schema and bounds. Failures and filters are counted per version.
"""

import hashlib
import hmac
import secrets
from typing import Any, Final, NamedTuple

import msgspec

from llm.material import Material
from llm.prompts.cleaning import cleaned
from llm.prompts.fields import fields_of
from llm.prompts.texts import COMMON, TASKS
from llm.results import schema_of
from schemas.errors import InvalidInput
from schemas.intents import INTENT_TYPES, IntentType

OPENING: Final = "<material>"
CLOSING: Final = "</material>"
PROMPT_CHARACTERS_MAX: Final = 60_000
TOKENS_MAX: Final[dict[IntentType, int]] = {
    "content_planning": 2_000,
    "message_generation": 800,
    "content_validation": 1_000,
    "campaign_execution": 1_000,
}
"""Of an answer, with the tokens that a reasoning model thinks with."""
CANARY_LENGTH: Final = 20

_SECRET: Final = secrets.token_bytes(32)
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Prompt(NamedTuple):
    """What a provider is asked."""

    type: IntentType
    system: str
    user: str
    schema: dict[str, Any]
    version: str
    canary: str
    max_tokens: int

    @property
    def characters(self) -> int:
        """Of everything that is sent."""
        return len(self.system) + len(self.user) + self.schema_bytes

    @property
    def schema_bytes(self) -> int:
        return SCHEMA_BYTES[self.type]


def compose(material: Material, *, secret: bytes = _SECRET) -> Prompt:
    """The same prompt for the same material and secret.

    `secret` makes the canary, so that nobody can ask a model to leave it out; by default it is this
    process's own. Raises `InvalidInput` for `data` that is too large to ask about.
    """
    kind = material.type
    fields = fields_of(material)
    user = f"{OPENING}\n{guarded(fields)}\n{CLOSING}"
    if len(user) > PROMPT_CHARACTERS_MAX:
        raise InvalidInput(
            "data", f"makes a prompt of more than {PROMPT_CHARACTERS_MAX} characters"
        )
    if material.problems:
        listed = "\n".join(f"- {cleaned(one, 200)}" for one in material.problems)
        user += f"\nYour last answer was not of the schema:\n{listed}\nAnswer again, all of it."
    seed = "\0".join((VERSIONS[kind], material.creator_id, material.fan_id or "", user))
    canary = hmac.new(secret, seed.encode(), hashlib.sha256).hexdigest()[:CANARY_LENGTH]
    system = f"{COMMON.format(canary=canary)}\n{TASKS[kind]}"
    return Prompt(kind, system, user, schema_of(kind), VERSIONS[kind], canary, TOKENS_MAX[kind])


def guarded(fields: dict[str, Any]) -> str:
    """JSON of one line in which nothing can be taken for a mark of ours."""
    text = _encode(fields).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def material_in(prompt: Prompt) -> dict[str, Any]:
    """What a prompt says between its marks: all that a provider may know."""
    _, _, rest = prompt.user.partition(OPENING)
    found: dict[str, Any] = msgspec.json.decode(rest.partition(CLOSING)[0])
    return found


def _version(kind: IntentType) -> str:
    whole = (COMMON, TASKS[kind], schema_of(kind), TOKENS_MAX[kind])
    return f"{kind}-{hashlib.sha256(_encode(whole)).hexdigest()[:8]}"


SCHEMA_BYTES: Final = {kind: len(_encode(schema_of(kind))) for kind in INTENT_TYPES}
VERSIONS: Final[dict[IntentType, str]] = {kind: _version(kind) for kind in INTENT_TYPES}
