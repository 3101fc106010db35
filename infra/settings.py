"""All settings: one frozen object, read once at start from `FANMEMORY_*` variables.

It stands in the lowest room because every room is handed it. `docs/operations.md` shows the same
table, and a test holds the two equal. View constants are not settings: they belong to the
version of the view.
"""

import difflib
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from schemas.errors import InvalidInput, Misconfigured
from schemas.money import DEFAULT_CURRENCY, currency_code

PREFIX: Final = "FANMEMORY_"
SCHEMES: Final = {
    "postgres_url": ("postgresql://", "postgres://"),
    "postgres_owner_url": ("postgresql://", "postgres://"),
    "postgres_reader_url": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "jwt_jwks_url": ("https://", "http://"),
    "send_url": ("https://", "http://"),
    "key_service_url": ("https://", "http://"),
    "openai_base_url": ("https://", "http://"),
    "azure_endpoint": ("https://", "http://"),
}
"""What an address must begin with: anything else is another kind of server."""


class SecretFiles(PydanticBaseSettingsSource):
    """A secret can stand in a file that `FANMEMORY_<NAME>_FILE` names; the variable itself wins."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE", "")
        if field.annotation is not SecretStr or not path:
            return None, field_name, False
        try:
            return Path(path).read_text("utf-8").strip(), field_name, False
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"{PREFIX}{field_name.upper()}_FILE: the file can't be read"
                f" ({type(error).__name__}).",
                hint="Name a file that this user may read.",
            ) from None

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
            if not os.environ.get(f"{PREFIX}{name.upper()}")
        }
        return {name: value for name, value in found.items() if value is not None}


JWT_SECONDS_MAX: Final = 31_622_400
"""A year: no token lives longer, whatever the settings say (s)."""


class Settings(BaseSettings):
    """Every field's description gives its unit and the reason for its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data: Path = Field(
        Path(".fanmemory"), description="data directory of the embedded services, and their name"
    )
    kafka_url: str = Field("", description="host:port list of the brokers; empty: embedded")
    postgres_url: str = Field(
        "", description="postgresql:// URL, as the role that writes; empty: embedded"
    )
    postgres_owner_url: str = Field(
        "",
        description="the same as the tables' owner, for `migrate` and `rebuild` only; empty: the"
        " one URL",
    )
    postgres_reader_url: str = Field(
        "",
        description="the same as the role that may only read, a creator's rows in a request of that"
        " creator: the API reads with it; empty: the one URL",
    )
    redis_url: str = Field("", description="redis:// URL, rediss:// for TLS; empty: embedded")
    kafka_topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="before every topic's name on the brokers, for a cluster that is shared; for"
        " good: other names are other logs",
    )
    kafka_group: str = Field(
        "",
        max_length=200,
        description="consumer group of the workers; empty: `fanmemory`, behind the prefix",
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the brokers are reached, in Kafka's own words; SSL is TLS"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how user and password are proved, with a SASL security"
    )
    kafka_user: str = Field("", description="user of SASL")
    kafka_password: SecretStr = Field(SecretStr(""), description="password of SASL")
    kafka_ca_file: str = Field(
        "", description="PEM of the authorities that sign the brokers; empty: the system's"
    )
    kafka_cert_file: str = Field("", description="PEM of this client's certificate, for mTLS")
    kafka_key_file: str = Field("", description="PEM of its key; empty: in the same file")
    kafka_key_password: SecretStr = Field(SecretStr(""), description="password of that key")
    postgres_password: SecretStr = Field(
        SecretStr(""), description="instead of one in the URL; SCRAM is what the server asks for"
    )
    postgres_owner_password: SecretStr = Field(SecretStr(""), description="of the owner's URL")
    postgres_reader_password: SecretStr = Field(SecretStr(""), description="of the reader's URL")
    postgres_tls: bool = Field(
        False, description="encrypt, and check certificate and host name (`verify-full`)"
    )
    postgres_ca_file: str = Field(
        "", description="PEM of the authorities that sign the server; empty: the system's"
    )
    postgres_cert_file: str = Field("", description="PEM of this client's certificate")
    postgres_key_file: str = Field("", description="PEM of its key")
    postgres_key_password: SecretStr = Field(SecretStr(""), description="password of that key")
    redis_password: SecretStr = Field(
        SecretStr(""), description="instead of one in the URL, which names the ACL user"
    )
    redis_ca_file: str = Field(
        "",
        description="PEM of the authorities that sign the server of a rediss:// URL; empty: the"
        " system's",
    )
    redis_cert_file: str = Field("", description="PEM of this client's certificate")
    redis_key_file: str = Field("", description="PEM of its key")
    redis_key_password: SecretStr = Field(SecretStr(""), description="password of that key")
    keyring: SecretStr = Field(
        SecretStr(""),
        description="`id:base64` key-encryption keys, comma separated, newest first;"
        " empty: one made in the data directory",
    )
    receipt_key: SecretStr = Field(
        SecretStr(""),
        description="Ed25519 keys that sign receipts of erasures, 32 bytes in base64, comma"
        " separated, newest first; empty: one made in the data directory",
    )
    key_service_url: str = Field(
        "",
        description="https:// URL of Vault's transit engine, `https://vault:8200/v1/transit`: opens"
        " keys of the keyring that are written `id:vault:…`",
    )
    key_service_token: SecretStr = Field(
        SecretStr(""), description="its token: may encrypt and decrypt with that one key"
    )
    key_service_key: str = Field("fanmemory", description="name of the key there")
    key_service_ca_file: str = Field(
        "", description="PEM of the authorities that sign its server; empty: the system's"
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""),
        description="HS256 secret of API tokens; empty: one made in the data directory",
    )
    jwt_former_secret: SecretStr = Field(
        SecretStr(""),
        description="a secret that tokens may still be signed with, until all have expired; none"
        " is issued with it",
    )
    jwt_seconds_max: int = Field(
        2_592_000,
        ge=60,
        le=JWT_SECONDS_MAX,
        description="longest time from `iat` to `exp` of a token (s): one of a longer life is"
        " refused",
    )
    jwt_jwks_url: str = Field(
        "",
        description="https:// URL of the issuer's public keys: tokens are RS256, ES256 or EdDSA"
        " then, and the secret counts for nothing; empty: the secret",
    )
    jwt_issuer: str = Field("fanmemory", description="the only accepted `iss`")
    jwt_audience: str = Field("fanmemory-api", description="the only accepted `aud`")

    currency: str = Field(
        DEFAULT_CURRENCY,
        description="ISO 4217 code of amounts that name none, and of `totalRevenue`",
    )

    interactions_partitions: int = Field(4, ge=1, le=256, description="partitions of a new topic")
    journal_partitions: int = Field(4, ge=1, le=256, description="partitions of a new topic")
    replication_factor: int = Field(1, ge=1, le=7, description="of new topics; 3 in production")

    workers: int = Field(2, ge=1, le=64, description="worker processes of `up`; one per core")
    fetch_records_max: int = Field(1000, ge=1, description="records of one partition in one fetch")
    batch_records_max: int = Field(8000, ge=1, description="records in one transaction")
    subject_cache_max: int = Field(100_000, ge=1, description="subjects with keys kept per process")
    session_seconds: float = Field(
        10.0,
        ge=1,
        le=30,
        description="a worker silent this long loses its partitions; brokers refuse less than 6"
        " unless told otherwise, as the embedded one is",
    )
    fail_at: str = Field("", description="named fail point, for the fault suite only")
    stall_seconds_max: float = Field(
        60.0, gt=0, description="a worker with lag whose position stands still this long exits"
    )
    retry_seconds_max: float = Field(2.0, gt=0, description="longest pause between attempts")
    accept_missing_keys: bool = Field(
        False,
        description="start without keys of some fans: their new events become dead letters",
    )

    rewritten_megabytes_max: int = Field(
        64,
        ge=0,
        le=1_048_576,
        description="after erasures the tables with fans' ids and keys are written anew, and"
        " stand still meanwhile (about 1 s for 64), if they are not larger together; 0: never",
    )
    cache_ttl_seconds: int = Field(86_400, ge=1, description="of cached documents")
    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    api_port: int = Field(8080, ge=0, le=65535, description="0: any free port")
    request_seconds_max: float = Field(5.0, gt=0, description="deadline of one HTTP request")
    body_bytes_max: int = Field(
        262_144, ge=1024, description="largest request body; an event may be this large"
    )
    requests_in_flight_max: int = Field(
        512,
        ge=1,
        description="requests served at once by one API process, and as many that wait for a"
        " minPosition; of each a quarter for one creator; more get 503",
    )
    streams_max: int = Field(
        1_000,
        ge=1,
        description="streams of updates open at once in one API process; of them a quarter for one"
        " creator; more get 503",
    )
    user_requests_per_minute: int = Field(
        1_200, ge=0, description="of one user (`sub`), over all API processes; more get 429; 0: any"
    )
    creator_requests_per_minute: int = Field(
        12_000, ge=0, description="of one creator's users together; more get 429; 0: any number"
    )
    history_entries_max: int = Field(
        20_000,
        ge=1,
        description="interactions of a fan that asOf, explain and a correction fold at once;"
        " rebuild after a change",
    )
    history_bytes_max: int = Field(
        16_777_216, ge=1024, description="sealed bytes of these interactions; they take five times"
    )
    history_seconds_max: float = Field(
        3.0, gt=0, description="budget of reading them, and of each statement; below the deadline"
    )
    own_write_seconds_max: float = Field(
        0.3,
        ge=0,
        description="how long a read that names no position waits for what was written to its fan"
        " in the last 10 s; 0: not at all",
    )
    tokens_cached_max: int = Field(10_000, ge=1, description="verified tokens kept per process")
    cache_fills_max: int = Field(
        64, ge=1, description="writes to the cache after a miss in flight; more are dropped"
    )
    cache_seconds_max: float = Field(
        3.0, gt=0, description="budget of one cache read with its retries; then it has failed"
    )
    cache_overtaken_seconds: float = Field(
        0.05,
        ge=0,
        description="a cache read without an answer this long is overtaken by one of Postgres, 32"
        " at once at the most; 0: never",
    )
    cache_failures_max: int = Field(3, ge=1, description="failed reads that open its circuit")
    cache_window_seconds: float = Field(5.0, gt=0, description="window of those failures")
    cache_reset_seconds: float = Field(30.0, gt=0, description="until an open circuit is tried")
    database_seconds_max: float = Field(
        5.0, gt=0, description="budget of one database read with its retries, and of a statement"
    )
    database_failures_max: int = Field(5, ge=1, description="failed reads that open its circuit")
    database_window_seconds: float = Field(10.0, gt=0, description="window of those failures")
    database_reset_seconds: float = Field(60.0, gt=0, description="until an open circuit is tried")
    ping_seconds: float = Field(
        1.0,
        ge=0,
        description="between pings of a dependency whose circuit is open; also their limit; 0: no"
        " pings, and an open circuit is tried after its reset, by a request",
    )
    degraded_reads: Literal["minimal", "refuse"] = Field(
        "minimal",
        description="what a context is while both circuits are open: one without memories, marked"
        " as such, or 503",
    )
    openai_api_key: SecretStr = Field(
        SecretStr(""),
        description="key of OpenAI; without it and Azure's, drafts are made by a template",
    )
    openai_base_url: str = Field(
        "", description="https:// URL of a server that speaks OpenAI's form; empty: OpenAI"
    )
    openai_model: str = Field("gpt-4o-mini", description="the model that OpenAI is asked for")
    openai_seconds_max: float = Field(
        30.0, gt=0, le=600, description="deadline of one attempt at OpenAI, the whole of it"
    )
    azure_api_key: SecretStr = Field(SecretStr(""), description="key of Azure OpenAI")
    azure_endpoint: str = Field("", description="https:// URL of the Azure resource")
    azure_api_version: str = Field(
        "", description="api-version of Azure's classic form; empty: the v1 form, which has none"
    )
    azure_deployment: str = Field("", description="name of the Azure deployment that is asked")
    azure_deployments: str = Field(
        "",
        description="which model each Azure deployment runs, comma separated: `name=model`;"
        " `name=model*1.1` for a factor of the list price; `name=model:0.15/0.075/0.6` for dollars"
        " per million tokens of input, cached input and output",
    )
    azure_seconds_max: float = Field(
        45.0, gt=0, le=600, description="deadline of one attempt at Azure, the whole of it"
    )
    unpriced_models: Literal["refuse", "flat"] = Field(
        "refuse",
        description="a model without a known price: refused at start, or counted at the flat $0.01"
        " (Azure) and $0.002 (OpenAI) per 1,000 tokens",
    )
    provider_failures_max: int = Field(
        5, ge=1, description="failed attempts that open a provider's circuit"
    )
    provider_window_seconds: float = Field(30.0, gt=0, description="window of those failures")
    provider_reset_seconds: float = Field(60.0, gt=0, description="until an open circuit is tried")
    reply_quiet_seconds: float = Field(
        8.0,
        ge=0,
        le=60,
        description="a reply is composed when the fan has been silent this long, from all messages",
    )
    reply_quiet_seconds_max: float = Field(
        30.0, ge=0, le=600, description="and after this long at the latest"
    )
    send_url: str = Field(
        "",
        description="https:// URL that approved messages are posted to; empty: they are recorded as"
        " sent, and reach nobody",
    )
    send_token: SecretStr = Field(SecretStr(""), description="bearer token for it")
    send_seconds_max: float = Field(
        10.0, gt=0, le=30, description="deadline of one post; then nobody knows whether it was sent"
    )
    user_workflows_max: int = Field(
        20, ge=1, description="workflows of one user that are composed at once"
    )
    user_workflows_per_minute: int = Field(
        120, ge=0, description="workflows of one user that are begun in a minute; 0: any number"
    )
    campaign_members_max: int = Field(
        20_000, ge=1, le=200_000, description="fans whom one campaign may write to"
    )
    campaign_per_minute: int = Field(
        30, ge=1, le=600, description="messages of one campaign that are begun in a minute"
    )
    campaign_open_max: int = Field(
        200,
        ge=1,
        le=5_000,
        description="messages of one campaign that have not ended, drafts that nobody has approved"
        " included: beyond that no more are begun",
    )
    budget_user_day: Decimal = Field(
        Decimal(5), ge=0, description="US dollars that one user's calls may cost a day"
    )
    budget_user_month: Decimal = Field(Decimal(100), ge=0, description="and a month")
    budget_creator_day: Decimal = Field(
        Decimal(20), ge=0, description="US dollars that calls for one creator may cost a day"
    )
    budget_creator_month: Decimal = Field(Decimal(400), ge=0, description="and a month")
    budget_tokens_day: int = Field(
        5_000_000, ge=0, description="tokens of one user, and for one creator, a day"
    )
    budget_tokens_month: int = Field(100_000_000, ge=0, description="and a month")
    metrics_host: str = Field(
        "127.0.0.1", description="address on which each process answers Prometheus, not its clients"
    )
    metrics_port: int = Field(
        9464,
        ge=0,
        le=65535,
        description="its port, or where that is taken the next free one of 64; 0: none",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="logs are JSON lines on stderr"
    )

    @field_validator(*SCHEMES)
    @classmethod
    def _of_its_kind(cls, url: str, info: ValidationInfo) -> str:
        schemes = SCHEMES[info.field_name or ""]
        if url and not url.startswith(schemes):
            raise ValueError("must begin with " + " or ".join(schemes))
        try:
            urlsplit(url)
        except ValueError:  # its own text repeats the address
            raise ValueError("is not an address") from None
        return url

    @model_validator(mode="after")
    def _azure_is_whole(self) -> "Settings":
        if self.azure_api_key.get_secret_value() and not self.azure_endpoint:
            raise ValueError("azure_api_key needs azure_endpoint")
        return self

    @model_validator(mode="after")
    def _roles_are_of_a_server(self) -> "Settings":
        if not self.postgres_url and (self.postgres_owner_url or self.postgres_reader_url):
            raise ValueError("postgres_owner_url and postgres_reader_url need postgres_url")
        return self

    @field_validator("currency")
    @classmethod
    def _known(cls, code: str) -> str:
        try:
            return currency_code("currency", code)
        except InvalidInput as unknown:
            raise ValueError(unknown.reason) from None

    @field_validator("kafka_url")
    @classmethod
    def _brokers(cls, servers: str) -> str:
        for server in filter(None, servers.split(",")):
            host, colon, port = server.strip().rpartition(":")
            if not host or not colon or "/" in host or not port.isdecimal():
                raise ValueError("must be host:port, several separated by commas")
        return servers

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then files, then variables; a variable that names no setting is refused."""
        del dotenv_settings, file_secret_settings  # neither is read
        if isinstance(env_settings, EnvSettingsSource):
            _refuse_unknown(env_settings.env_vars, settings_cls)
        # Files before variables: a variable that is set to nothing leaves the word to its file.
        return init_settings, SecretFiles(settings_cls), env_settings


def _refuse_unknown(variables: Mapping[str, str | None], settings: type[BaseSettings]) -> None:
    """A misspelt setting would silently be its default. Raises `Misconfigured`."""
    known = {*settings.model_fields}
    known |= {f"{n}_file" for n, f in settings.model_fields.items() if f.annotation is SecretStr}
    for variable in sorted(variables):
        name = variable.lower().removeprefix(PREFIX.lower())
        if name == variable.lower() or name in known:
            continue
        close = difflib.get_close_matches(name, sorted(known), 1)
        raise Misconfigured(
            f"{PREFIX}{name.upper()} is not a setting.",
            hint=f"Did you mean {PREFIX}{close[0].upper()}?"
            if close
            else "Unset it; docs/operations.md has the table of settings.",
        )
