"""Who answers a prompt: `openai`, `azure` and `template`, behind one small protocol.

template   deterministic, from the material alone; the only one while no key is set
openai     OpenAI's chat completions
azure      Azure OpenAI, in its classic form (deployments, api-version) and as v1
chat       what the last two share: one call under one deadline, and what became of it
failures   which of the classes an error of the SDK is, whether a retry helps, what a filter found

One call is one attempt: nothing here tries again. A filter, before or after the model, raises
`ProviderFailed` of code `content_filter`; a refusal and an answer that was cut by its length are
answers (`finish`) with a cost, because the model did its work.
"""

from typing import Literal, NamedTuple, Protocol

from infra.settings import Settings
from llm.prompts import Prompt
from schemas.usage import Usage

ProviderName = Literal["openai", "azure", "template"]
Finish = Literal["stop", "length", "refusal"]


class Completion(NamedTuple):
    """One answer, whole or not."""

    text: str
    model: str
    """As the reply names it."""
    usage: Usage
    finish: Finish
    request_id: str | None


class Provider(Protocol):
    """Belongs to one event loop; `close` it there."""

    @property
    def name(self) -> ProviderName: ...
    @property
    def model(self) -> str:
        """The one that is asked for; for Azure, what the deployment runs."""
        ...

    @property
    def seconds_max(self) -> float:
        """The total deadline of an attempt."""
        ...

    async def complete(
        self, prompt: Prompt, *, deadline_seconds: float | None = None
    ) -> Completion:
        """One attempt, with `seconds_max` if no deadline is given. Raises `ProviderFailed`."""
        ...

    async def close(self) -> None: ...


def open_providers(settings: Settings) -> dict[ProviderName, Provider]:
    """Those that have a key, else the template; what they need is imported only here."""
    found: dict[ProviderName, Provider] = {}
    if settings.openai_api_key.get_secret_value():
        from llm.providers.openai import OpenAI

        found["openai"] = OpenAI(settings)
    if settings.azure_api_key.get_secret_value():
        from llm.providers.azure import Azure

        found["azure"] = Azure(settings)
    if not found:
        from llm.providers.template import Template

        found["template"] = Template()
    return found
