"""A Flask client and a worker without an engine, over a real database, storage and Redis."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from shared.imaging import codec
from shared.messaging.progress import RedisProgress
from tests.support.factories import add_key, picture
from tests.support.fakes import FakePainter
from tests.support.flask_clients import client_with
from worker.jobs.context import WorkerContext
from worker.jobs.painter import Painter


@pytest.fixture
def app(settings, database) -> Iterator[Flask]:
    """The app in a fresh home with a migrated database."""
    made = create_app(settings)
    yield made
    made.extensions["atelier"].hub.close(wait_s=10)
    made.extensions["atelier"].database.engine.dispose()  # else a whole run opens more files than a laptop allows


@pytest.fixture
def key(database) -> str:
    """An operator's key."""
    return add_key(database)


@pytest.fixture
def client(app, key) -> FlaskClient:
    """One that brings an operator's key."""
    return client_with(app, key)


@pytest.fixture
def png() -> bytes:
    return codec.encode(picture(), format="png")


@pytest.fixture
def image_id(client, png) -> str:
    """An image that has been uploaded."""
    return client.post("/v1/images", data=png, content_type="image/png").json["id"]


@pytest.fixture
def job_id(client, image_id) -> str:
    """A job that has been submitted."""
    return client.post(
        "/v1/jobs", json={"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8}}
    ).json["id"]


@pytest.fixture
def painter() -> Painter:
    """What the worker paints with; a folder may declare another."""
    return FakePainter()


@pytest.fixture
def context(settings, database, store, redis, painter) -> WorkerContext:
    """A worker in this process: `run` a job in it."""
    return WorkerContext("w1", settings, database, store, RedisProgress(redis), painter)
