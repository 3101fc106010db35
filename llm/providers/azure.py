"""Azure OpenAI: v1 (`/openai/v1/`, bearer), or classic with an api-version in the settings.

The model is asked for by its deployment's name; which model that is says `azure_deployments`.
Azure stores nothing unless it is told to, and older api-versions refuse fields that they don't
know, so `store` is not sent.
"""

from typing import Any, Final

from openai import AsyncAzureOpenAI, AsyncOpenAI

from infra.settings import Settings
from llm.deployments import deployments
from llm.prompts import Prompt
from llm.providers import ProviderName
from llm.providers.chat import Chat, http_client
from schemas.errors import AzureExecutionError

OLDER: Final = ("gpt-3.5", "gpt-35", "gpt-4")
"""Models that take `max_tokens` with every api-version; the later ones take only the new name."""


class Azure(Chat):
    """One deployment of one resource."""

    name: ProviderName = "azure"
    error = AzureExecutionError

    def __init__(self, settings: Settings) -> None:
        deployment = settings.azure_deployment
        model = deployments(settings)[deployment].model
        super().__init__(_client(settings), model, settings.azure_seconds_max, asked_as=deployment)

    def options(self, prompt: Prompt) -> dict[str, Any]:
        name = "max_tokens" if self.model.startswith(OLDER) else "max_completion_tokens"
        return {name: prompt.max_tokens}


def _client(settings: Settings) -> AsyncOpenAI:
    key = settings.azure_api_key.get_secret_value()
    endpoint = settings.azure_endpoint.rstrip("/")
    if settings.azure_api_version:
        return AsyncAzureOpenAI(
            api_key=key,
            azure_endpoint=endpoint,
            api_version=settings.azure_api_version,
            max_retries=0,
            http_client=http_client(),
        )
    return AsyncOpenAI(
        api_key=key,
        base_url=f"{endpoint}/openai/v1",
        max_retries=0,
        http_client=http_client(),
    )
