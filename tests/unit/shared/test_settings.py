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


def test_every_mistake_is_a_line_of_plain_words(monkeypatch) -> None:
    mistakes = {
        "PORT": ("ninety", "a whole number from 0 to 65535"),
        "LEASE_S": ("1", "a number of at least 2"),
        "DECODE_S": ("0", "a number above 0"),
        "RETENTION_S": ("1e99", "a number above 0, up to 3155760000"),
        "ENGINE": ("steam", "vgg19 or null"),
        "READ_ONLY": ("perhaps", "true or false"),
        "LOG_LEVEL": ("LOUD", "DEBUG, INFO, WARNING or ERROR"),
        "WORKER_NAME": ("a b", "up to 200 letters, digits, dots, hyphens and underscores"),
        "WEBHOOK_NETWORKS": ("10/99", "networks, separated by commas, such as 10.0.0.0/8,192.0.2.7/32"),
    }
    for name, (value, _) in mistakes.items():
        monkeypatch.setenv(f"ATELIER_{name}", value)
    with pytest.raises(Misconfigured) as refused:
        Settings.load()
    lines = {f"ATELIER_{name}: must be {wanted} (got {value!r})" for name, (value, wanted) in mistakes.items()}
    assert set(str(refused.value).split("\n")) == lines


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_refuses_nonsense_in_plain_words(name) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings.load(**{name: object()})
    (line,) = str(refused.value).split("\n")
    assert line.startswith(f"ATELIER_{name.upper()}: must be ")
    assert "another value" not in line
    assert "pydantic" not in line.lower()


@pytest.mark.parametrize("weights", ["nope", "/no/such/file.h5", ""])
def test_weights_are_a_name_or_a_file_that_exists(weights, tmp_path) -> None:
    with pytest.raises(Misconfigured, match="auto, imagenet, imagenet-8bit, patch or the path of an existing file"):
        Settings(weights=weights).ensure_weights()
    own = tmp_path / "own.h5"
    own.touch()
    for good in ("auto", "imagenet", "imagenet-8bit", "patch", str(own)):
        Settings(weights=good).ensure_weights()


def test_a_file_of_weights_may_be_on_the_workers_machines_but_a_name_is_known_everywhere() -> None:
    Settings(weights="/no/such/file.h5").ensure_weights(here=False)
    with pytest.raises(Misconfigured, match="got 'nope'"):
        Settings(weights="nope").ensure_weights(here=False)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("database_url", "postgresql://ann:secret@db.example/atelier"),
        ("redis_url", "redis://:secret@redis.example"),
        ("weights_mirror", "https://secret.example"),
    ],
)
def test_an_address_that_may_hold_a_password_is_not_repeated(name, address) -> None:
    with pytest.raises(Misconfigured, match=f"ATELIER_{name.upper()}") as refused:
        Settings.load(**{name: ["secret"]})
    assert "secret" not in str(refused.value)
    with pytest.raises(Misconfigured, match=f"ATELIER_{name.upper()}: must be an address that begins") as refused:
        Settings.load(**{name: "gopher://secret"})
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(Settings(**{name: address}))


def test_every_setting_says_what_it_does() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


@pytest.mark.parametrize("address", ["ftp://files.example/x", "files.example/x", "https://ann:secret@files.example/x"])
def test_a_mirror_of_weights_is_a_plain_web_address_or_a_folder(address) -> None:
    with pytest.raises(Misconfigured, match=r"ATELIER_WEIGHTS_MIRROR: .*without user name and password") as refused:
        Settings.load(weights_mirror=address)
    assert "secret" not in str(refused.value)
    assert Settings.load(weights_mirror="file:///srv/weights").weights_mirror == "file:///srv/weights"


@pytest.mark.parametrize(
    ("reach", "limit"),
    [
        ({}, 0),
        ({"host": "::1"}, 0),
        ({"host": "0.0.0.0"}, 6000),
        ({"public_url": "https://example.org"}, 6000),
        ({"host": "0.0.0.0", "requests_per_min": 0}, 0),
    ],
)
def test_requests_are_limited_by_default_where_others_can_reach_the_api(reach, limit) -> None:
    assert Settings.load(**reach).requests_per_min == limit
