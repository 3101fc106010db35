"""Settings: read once from FANMEMORY_* variables, frozen, and they keep their secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import Settings
from schemas.errors import Misconfigured


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANMEMORY_WORKERS", "7")
    monkeypatch.setenv("FANMEMORY_KAFKA_SECURITY", "SSL")
    settings = Settings()
    assert settings.workers == 7
    assert settings.kafka_security == "SSL"


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("SESSION_SECONDS", "0.5"),
        ("RETRY_SECONDS_MAX", "0"),
        ("API_PORT", "70000"),
        ("LOG_LEVEL", "LOUD"),
        ("POSTGRES_URL", "mysql://somebody@db/d"),
        ("POSTGRES_URL", "postgresql://post gres["),
        ("REDIS_URL", "memcached://cache"),
        ("REDIS_URL", "redis://[x"),
        ("KAFKA_URL", "kafka://broker:9092"),
        ("KAFKA_URL", "broker"),
        ("KAFKA_URL", "broker:9092,other"),
    ],
)
def test_nonsense_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FANMEMORY_{name}", value)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert refusal.value.errors()[0]["loc"] == (name.lower(),)
    assert "input_value" not in str(refusal.value)  # an address may carry a password


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANMEMORY_KEYRING", "secret-keyring")
    monkeypatch.setenv("FANMEMORY_JWT_SECRET", "secret-jwt")
    shown = f"{Settings()!r} {Settings()} {Settings().model_dump()}"
    assert "secret-" not in shown


@pytest.mark.parametrize(
    ("name", "advice"),
    [("POSTGRES_UR", "FANMEMORY_POSTGRES_URL"), ("NOTHING_LIKE_IT", "docs/operations.md")],
)
def test_a_variable_that_names_no_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, advice: str
) -> None:
    monkeypatch.setenv(f"FANMEMORY_{name}", "some-value")
    with pytest.raises(Misconfigured) as refusal:
        Settings()
    assert str(refusal.value) == f"FANMEMORY_{name} is not a setting."
    assert advice in refusal.value.advice
    assert "some-value" not in f"{refusal.value} {refusal.value.advice}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_URL", "postgres://fanmemory@db/fanmemory"),
        ("REDIS_URL", "rediss://cache:6380/1"),
        ("KAFKA_URL", "broker-1:9092, [::1]:9093"),
    ],
)
def test_addresses_of_the_right_kind_are_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FANMEMORY_{name}", value)
    assert getattr(Settings(), name.lower()) == value


def test_a_secret_may_stand_in_a_file_and_the_variable_itself_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\n")
    monkeypatch.setenv("FANMEMORY_KAFKA_PASSWORD_FILE", str(file))
    assert Settings().kafka_password.get_secret_value() == "from the file"
    monkeypatch.setenv("FANMEMORY_KAFKA_PASSWORD", "")
    assert Settings().kafka_password.get_secret_value() == "from the file"
    monkeypatch.setenv("FANMEMORY_KAFKA_PASSWORD", "itself")
    assert Settings().kafka_password.get_secret_value() == "itself"


def test_a_secrets_file_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FANMEMORY_KEYRING_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match="FANMEMORY_KEYRING_FILE"):
        Settings()
