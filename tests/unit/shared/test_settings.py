"""Settings come from the environment and fail at start, all at once."""

import pytest

from shared.errors import Misconfigured
from shared.settings import Settings


def test_everything_follows_the_home_folder_unless_set_by_itself(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    monkeypatch.setenv("ATELIER_STORAGE_URL", "/elsewhere")
    settings = Settings.load()
    assert settings.database_url == f"sqlite:///{tmp_path}/atelier.db"
    assert settings.redis_url == f"unix://{tmp_path}/redis.sock"
    assert settings.storage_url == "/elsewhere"
    assert settings.weights_dir == tmp_path / "weights"


def test_every_problem_is_listed_at_once(monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "ninety")
    monkeypatch.setenv("ATELIER_ENGINE", "steam")
    with pytest.raises(Misconfigured, match=r"(?s)ATELIER_PORT.*ninety.*ATELIER_ENGINE.*steam"):
        Settings.load()


@pytest.mark.parametrize("name", ["database_url", "redis_url", "weights_mirror"])
def test_an_address_that_may_hold_a_password_is_not_repeated(name) -> None:
    with pytest.raises(Misconfigured, match=f"ATELIER_{name.upper()}") as refused:
        Settings.load(**{name: ["secret"]})
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(Settings(**{name: "https://secret.example"}))


def test_every_setting_says_what_it_does() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


@pytest.mark.parametrize("address", ["ftp://files.example/x", "files.example/x", "https://ann:secret@files.example/x"])
def test_a_mirror_of_weights_is_a_plain_web_address_or_a_folder(address) -> None:
    with pytest.raises(Misconfigured, match=r"ATELIER_WEIGHTS_MIRROR: .*without user name and password") as refused:
        Settings.load(weights_mirror=address)
    assert "secret" not in str(refused.value)
    assert Settings.load(weights_mirror="file:///srv/weights").weights_mirror == "file:///srv/weights"
