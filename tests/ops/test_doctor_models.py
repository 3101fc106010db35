"""What `doctor` says of the models that the settings name."""

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from ops.doctor import models
from ops.doctor.findings import Problem
from schemas.errors import Misconfigured

OPENAI = Settings(openai_api_key=SecretStr("SENTINEL"))


def test_without_a_key_the_template_drafts() -> None:
    assert "template" in models.models(Settings())


def test_each_provider_is_named_with_its_model_and_no_key() -> None:
    both = OPENAI.model_copy(
        update={
            "azure_api_key": SecretStr("SENTINEL"),
            "azure_endpoint": "https://x.example",
            "azure_deployment": "d",
            "azure_deployments": "d=gpt-4o",
        }
    )
    said = models.models(both)
    assert said.startswith("openai gpt-4o-mini, azure gpt-4o: priced")
    assert "SENTINEL" not in said


def test_what_a_start_would_refuse_is_a_problem() -> None:
    with pytest.raises(Misconfigured, match="no known price"):
        models.models(OPENAI.model_copy(update={"openai_model": "made-up-9"}))


def test_a_machine_that_trusts_nobody_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "authorities", lambda: 0)
    with pytest.raises(Problem, match="trust store is empty"):
        models.models(OPENAI)
