"""`atelier keys`: create, list and revoke API keys; the first one is written directly to the database."""

from typing import Any

import click

from api.cli.display.layout import Column
from api.cli.display.output import echo, emit, emit_table, say
from api.cli.options import client_option, connect, json_option, url_option
from api.cli.ranges import FloatRange, IntRange
from api.client import Client, Key
from shared import logs
from shared.settings import Settings
from shared.states import Role

_COLUMNS: tuple[Column, ...] = (("ID", 8), ("NAME", 4), ("OWNER", 5), ("ROLE", 8), ("CREATED", 10), ("REVOKED", 10))


@click.group()
def keys() -> None:
    """Manage API keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="client",
    show_default=True,
    help="What the key may do.",
)
@click.option("--owner", help="Whose jobs it submits and sees [NAME].")
@click.option("--max-waiting", type=IntRange(min=1), help="Maximum number of its owner's jobs that wait.")
@click.option("--max-work-per-day", type=FloatRange(min=0, min_open=True), help="Maximum px·steps per day.")
@click.option("--max-requests-per-min", type=IntRange(min=1), help="Maximum number of requests per minute.")
@click.option("--max-retention-s", type=FloatRange(min=0, min_open=True), help="Longest retention, in seconds.")
@click.option("--max-stored-bytes", type=IntRange(min=1), help="Maximum bytes of its owner's uploads and results.")
@click.option("--database", is_flag=True, help="Write directly to this machine's database, for the first key.")
@json_option
@url_option
def create(name: str, url: str | None, *, database: bool, as_json: bool, **fields: Any) -> None:
    """Create a key for NAME and print it; it is shown only this once."""
    if database:
        created = _create_in_database(name, fields)
    else:
        with connect(url) as client:
            created = client.create_key(name, **fields)
    emit(created, _print_created, as_json=as_json)


@keys.command("list")
@json_option
@client_option
def list_keys(client: Client, *, as_json: bool) -> None:
    """List the keys, revoked ones included."""
    emit_table(client.keys(), _COLUMNS, _cells, nothing="No keys.", as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@client_option
def revoke(client: Client, key_id: str) -> None:
    """Revoke a key permanently."""
    client.revoke_key(key_id)
    say(f"Revoked key {key_id}.")


def _create_in_database(name: str, fields: dict[str, Any]) -> Key:
    # these import the database's libraries, which no other command needs
    from api.http.problems import validated
    from api.schemas.admin import KeyRequest
    from api.serializers.admin import serialize_new_key
    from api.usecases.keys import new_key
    from shared.db.access.keys import ensure_table
    from shared.db.admin.audit import Host
    from shared.db.base import connect as connect_database

    settings = Settings.load()
    logs.configure(settings.log_format, "WARNING")  # stdout is for the key alone
    request = validated(KeyRequest, {"name": name, **fields})
    database = connect_database(settings.database_url)
    try:
        with database.reading() as session:
            ensure_table(session)
        with database.writing("create_key") as session:
            key, token = new_key(session, Host(), request)
    finally:
        database.engine.dispose()
    return Key.model_validate(serialize_new_key(key, token).model_dump())


def _print_created(key: Key) -> None:
    say(f"Created a key with role {key.role} for {key.owner}. Store it now: it is not shown again.")
    echo(key.key)


def _cells(key: Key) -> tuple[str, ...]:
    return key.id, key.name, key.owner, key.role, _day(key.created_at), _day(key.revoked_at)


def _day(at: str | None) -> str:
    return (at or "")[:10]
