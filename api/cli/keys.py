"""Commands about keys: make, list, revoke. For operators; the very first key is written straight to the database."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from api.cli.follow import json_option, say
from api.cli.options import connect, url_option
from api.client.admin import Key
from shared import logs
from shared.settings import Settings
from shared.states import Role


@click.group()
def keys() -> None:
    """Look after the API's keys."""


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="client", show_default=True)
@click.option("--owner", help="Whose jobs it makes and sees; by default NAME.")
@click.option("--max-waiting", type=click.IntRange(min=1), help="Most jobs of its owner that may wait.")
@click.option("--max-work-per-day", type=click.FloatRange(min=0, min_open=True), help="Most work a day, in px·steps.")
@click.option("--max-requests-per-min", type=click.IntRange(min=1), help="Most requests in any minute.")
@click.option("--max-retention-s", type=click.FloatRange(min=0, min_open=True), help="Longest retention, in s.")
@click.option("--database", is_flag=True, help="Write to this machine's database itself: for the very first key.")
@json_option
@url_option
def create(name: str, url: str | None, *, database: bool, as_json: bool, **asked: Any) -> None:
    """Make a key for NAME and print it, this once."""
    if database:
        made = _create_in_database(name, asked)
    else:
        with connect(url) as client:
            made = client.create_key(name, **asked)
    if as_json:
        click.echo(json.dumps(made.raw(), indent=2))
        return
    say(f"A key of the role {made.role} for {made.owner}. Keep it: it is shown this once.")
    click.echo(made.key)


@keys.command("list")
@json_option
@url_option
def list_keys(url: str | None, *, as_json: bool) -> None:
    """List the keys, revoked ones too."""
    with connect(url) as client:
        found = list(client.keys())
    if as_json:
        click.echo(json.dumps([key.raw() for key in found], indent=2))
        return
    table = Table("ID", "NAME", "OWNER", "ROLE", "MADE", "REVOKED", box=None, header_style="bold")
    for key in found:
        table.add_row(key.id, key.name, key.owner, key.role, _day(key.created_at), _day(key.revoked_at))
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@url_option
def revoke(key_id: str, url: str | None) -> None:
    """Have a key open nothing any more, for good."""
    with connect(url) as client:
        client.revoke_key(key_id)
    say(f"Key {key_id} is revoked.")


def _create_in_database(name: str, asked: dict[str, Any]) -> Key:
    from api.http.problems import validated  # what follows needs the database's libraries, which no other command does
    from api.schemas.admin import KeyRequest
    from api.serializers.admin import serialize_new_key
    from api.usecases.keys import new_key
    from shared.db.access import keys as kept
    from shared.db.admin.audit import Host
    from shared.db.base import connect as connect_database

    settings = Settings.load()
    logs.configure(settings.log_format, "WARNING")  # stdout is the key's alone
    request = validated(KeyRequest, {"name": name, **asked})
    database = connect_database(settings.database_url)
    try:
        with database.reading() as session:
            kept.ensure_table(session)
        with database.writing("create_key") as session:
            key, token = new_key(session, Host(), request)
    finally:
        database.engine.dispose()
    return Key.model_validate(serialize_new_key(key, token).model_dump())


def _day(moment: str | None) -> str:
    return (moment or "")[:10]
