"""Commands that start processes, all of them or one, and those that change the database schema.

A worker replaces this process instead of being imported, because this package never loads TensorFlow.
"""

import os
import sys

import click

from api.cli.display.output import echo
from api.cli.errors import Failure
from api.cli.ranges import IntRange
from shared import logs
from shared.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=IntRange(min=1), default=1, show_default=True, help="Number of workers.")
def up(host: str | None, port: int | None, workers: int) -> None:
    """Start everything on this machine: Redis, API, workers and maintenance. Ctrl-C stops it all."""
    from api.local.stack import run

    run(_settings(quiet=True, host=host, port=port), workers=workers)


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=IntRange(0, 65535), help="Port to listen on.")
def api(host: str | None, port: int | None) -> None:
    """Start only the HTTP server."""
    from api.wsgi import serve

    serve(_settings(host=host, port=port))


@click.command()
def worker() -> None:
    """Start only one worker, which paints."""
    _settings().ensure_weights()
    _become("paint")


@click.command()
def maintenance() -> None:
    """Start only the maintenance process, which hands jobs to the workers."""
    _become("maintenance")


@click.group()
def db() -> None:
    """Manage the database schema."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Upgrade the schema to REVISION, by default the newest."""
    import migrations

    migrations.upgrade(_settings().database_url, revision)


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Downgrade the schema to REVISION; `base` drops everything."""
    import migrations

    migrations.downgrade(_settings().database_url, revision)


@db.command()
def current() -> None:
    """Print the schema's current revision."""
    from alembic.runtime.migration import MigrationContext

    from shared.db.base import connect

    with connect(_settings().database_url).engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise Failure("The database has no schema yet: run `atelier db upgrade`.")
    echo(revision)


def _settings(*, quiet: bool = False, **given: object) -> Settings:
    """Load the settings and configure the log; `quiet` keeps the terminal for people while processes log to files."""
    settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_format, "WARNING" if quiet else settings.log_level)
    return settings


def _become(kind: str) -> None:
    """Replace this process by a worker process of that kind, so that signals reach it directly."""
    _settings()  # an invalid setting is reported here, before anything starts
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", kind])  # noqa: S606 - our own module, no shell
