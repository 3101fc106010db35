"""OpenAI. Nothing that is sent is to be stored there (`store=False`)."""

from typing import Any, Final

from openai import AsyncOpenAI

from infra.settings import Settings
from llm.prompts import Prompt
from llm.providers import ProviderName
from llm.providers.chat import Chat, http_client
from schemas.errors import OpenAIExecutionError

BASE_URL: Final = "https://api.openai.com/v1"


class OpenAI(Chat):
    """Chat completions of OpenAI, or of whatever speaks its form at `openai_base_url`."""

    name: ProviderName = "openai"
    error = OpenAIExecutionError

    def __init__(self, settings: Settings) -> None:
        client = AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url or BASE_URL,
            max_retries=0,
            http_client=http_client(),
        )
        super().__init__(client, settings.openai_model, settings.openai_seconds_max)

    def options(self, prompt: Prompt) -> dict[str, Any]:
        return {"store": False, "max_completion_tokens": prompt.max_tokens}
