"""Commands that start processes: the whole stack, one part of it, or a change of the database's schema.

The worker is started by replacing this process, never by import: this package knows nothing of TensorFlow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from api.cli.errors import Failure
from shared import logs
from shared.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Painting workers.")
def up(host: str | None, port: int | None, workers: int) -> None:
    """Start everything on this machine: Redis, API, worker, maintenance. Ctrl-C ends all of it."""
    from api.local.stack import run

    run(_settings(quiet=True, host=host, port=port), workers=workers)


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def api(host: str | None, port: int | None) -> None:
    """Start the HTTP server alone."""
    from api.wsgi import serve

    serve(_settings(host=host, port=port))


@click.command()
def worker() -> None:
    """Start one painting worker alone."""
    _become("paint")


@click.command()
def maintenance() -> None:
    """Start the maintenance process alone: it sends jobs to the workers."""
    _become("maintenance")


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the schema up to REVISION, the newest by default."""
    import migrations

    migrations.upgrade(_settings().database_url, revision)


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the schema back to REVISION; `base` drops everything."""
    import migrations

    migrations.downgrade(_settings().database_url, revision)


@db.command()
def current() -> None:
    """Print the revision that the database is at."""
    from alembic.runtime.migration import MigrationContext

    from shared.db.base import connect

    with connect(_settings().database_url).engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise Failure("The database has no schema yet: run `atelier db upgrade`.")
    click.echo(revision)


@click.command()
@click.argument("content", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.argument("style", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, metavar="FOLDER")
@click.option("--size", type=click.IntRange(64, 4096), default=384, show_default=True, help="Long side, in px.")
def demo(content: Path | None, style: Path | None, out: Path, size: int) -> None:
    """Start everything, paint one picture, write it to a folder, and stop everything.

    Without CONTENT and STYLE it draws its own.
    """
    from api.cli.demo import run

    if (content is None) != (style is None):
        raise click.UsageError("Give both CONTENT and STYLE, or neither.")
    run(content, style, out, size=size, settings=_settings(quiet=True))


def _settings(*, quiet: bool = False, **given: object) -> Settings:
    """Read the settings and set up the log; `quiet` where the terminal is for people and children log to files."""
    settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_format, "WARNING" if quiet else settings.log_level)
    return settings


def _become(kind: str) -> None:
    """Replace this process by a worker process of that kind, so that signals reach it directly."""
    _settings()  # a setting that cannot be used is told in our words, before anything starts
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", kind])  # noqa: S606 - our own module, no shell
