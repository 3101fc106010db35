"""Who drafts: which models the settings name, whether they have a price, and who is trusted."""

import ssl

from infra.settings import Settings
from ops.doctor.findings import Problem


def models(settings: Settings) -> str:
    """Raises `Misconfigured` for what a start would refuse. No provider is asked anything."""
    openai, azure = (
        bool(key.get_secret_value()) for key in (settings.openai_api_key, settings.azure_api_key)
    )
    if not openai and not azure:
        return "no key is set: drafts are made by the template"
    from llm.deployments import deployments
    from llm.prices import Prices

    Prices(settings)
    asked = [f"openai {settings.openai_model}"] if openai else []
    if azure:
        asked.append(f"azure {deployments(settings)[settings.azure_deployment].model}")
    if not authorities():
        raise Problem(
            "The system's trust store is empty: no provider's certificate can be checked.",
            "Install ca-certificates, or name a bundle with SSL_CERT_FILE.",
        )
    return f"{', '.join(asked)}: priced, with a trust store of the system's"


def authorities() -> int:
    """Certificates in the system's trust store."""
    return ssl.create_default_context().cert_store_stats()["x509_ca"]
