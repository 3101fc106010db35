"""Settings: read once from FANMEMORY_* variables, frozen, and they keep their secrets."""

import pytest
from pydantic import ValidationError

from infra.settings import Settings


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANMEMORY_WORKERS", "7")
    monkeypatch.setenv("FANMEMORY_ACCEPT_DATA_LOSS", "1")
    monkeypatch.setenv("FANMEMORY_SOMETHING_ELSE", "x")
    settings = Settings()
    assert settings.workers == 7
    assert settings.accept_data_loss is True


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("SESSION_SECONDS", "1"),
        ("RETRY_SECONDS_MAX", "0"),
        ("API_PORT", "70000"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_nonsense_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FANMEMORY_{name}", value)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert refusal.value.errors()[0]["loc"] == (name.lower(),)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANMEMORY_KEYRING", "secret-keyring")
    monkeypatch.setenv("FANMEMORY_JWT_SECRET", "secret-jwt")
    shown = f"{Settings()!r} {Settings()} {Settings().model_dump()}"
    assert "secret-" not in shown
