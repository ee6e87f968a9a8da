"""Schema migrations, by Alembic: one file in `versions` for each change of `shared.db.models`; a test compares both.

Versions import no models, since these change later. Each has a downgrade, and none is edited once it is released.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config

from shared.db.base import connect


def _run(url: str, action: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    database = connect(url)
    try:
        with database.engine.connect() as connection:
            config.attributes["connection"] = connection
            getattr(command, action)(config, revision)
    finally:
        database.engine.dispose()


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database at `url` to `revision`, unless it is there already."""
    _run(url, "upgrade", revision)


def downgrade(url: str, revision: str) -> None:
    """Downgrade the database at `url` to `revision`; `base` is an empty database."""
    _run(url, "downgrade", revision)
