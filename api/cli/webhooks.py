"""`atelier webhooks`: the secret that signs what the server tells you, and how the telling went."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.text import Text

from api.cli.display.layout import Column, age, coloured, print_sheet, print_table
from api.cli.follow import json_option, print_json, say
from api.cli.options import connect, url_option
from api.client.webhooks import Delivery, WebhookSecret
from shared.states import DeliveryState

_COLUMNS: tuple[Column, ...] = (
    ("ID", 36),
    ("STATE", 9),
    ("EVENT", 13),
    ("TRIES", 5, "right"),
    ("AGE", 6, "right"),
    ("URL", 0),
)
_delivery_id = click.argument("delivery_id", metavar="ID")


@click.group()
def webhooks() -> None:
    """Look after what the server tells you by itself: `submit --webhook URL` asks for it."""


@webhooks.command()
@json_option
@url_option
def secret(url: str | None, *, as_json: bool) -> None:
    """Print what your webhooks are signed with."""
    with connect(url) as client:
        _tell_secret(client.webhook_secret(), as_json=as_json)


@webhooks.command()
@json_option
@url_option
def rotate(url: str | None, *, as_json: bool) -> None:
    """Sign with a new secret from now on, for a day with the one before too."""
    with connect(url) as client:
        _tell_secret(client.rotate_webhook_secret(), as_json=as_json)


@webhooks.command()
@click.argument("address", metavar="URL")
@json_option
@url_option
def test(address: str, url: str | None, *, as_json: bool) -> None:
    """Have an event that says nothing told to URL, and print the delivery's id."""
    with connect(url) as client:
        _tell_id(client.test_webhook(address), as_json=as_json)


@webhooks.command()
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most deliveries shown.")
@json_option
@url_option
def deliveries(state: str | None, limit: int, url: str | None, *, as_json: bool) -> None:
    """List what was told and what is still to be told, newest first."""
    with connect(url) as client:
        found = list(client.deliveries(state=state, limit=limit))
    if as_json:
        print_json([delivery.raw() for delivery in found])
    else:
        _print_deliveries(found)


@webhooks.command()
@_delivery_id
@json_option
@url_option
def show(delivery_id: str, url: str | None, *, as_json: bool) -> None:
    """Show a delivery with all its attempts."""
    with connect(url) as client:
        found = client.delivery(delivery_id)
    if as_json:
        print_json(found.raw())
    else:
        _print_delivery(found)


@webhooks.command()
@_delivery_id
@json_option
@url_option
def redeliver(delivery_id: str, url: str | None, *, as_json: bool) -> None:
    """Have an event told once more, and print the new delivery's id."""
    with connect(url) as client:
        _tell_id(client.redeliver(delivery_id), as_json=as_json)


def _tell_secret(found: WebhookSecret, *, as_json: bool) -> None:
    if as_json:
        print_json(found.raw())
        return
    click.echo(found.secret)
    if found.previous_until:
        say(f"The one before signs along until {found.previous_until}.")


def _tell_id(found: Delivery, *, as_json: bool) -> None:
    if as_json:
        print_json(found.raw())
    else:
        click.echo(found.id)


def _print_deliveries(found: Iterable[Delivery]) -> None:
    rows = [
        (each.id, coloured(each.state), each.event or "", str(each.attempts), age(each.created_at), each.url or "")
        for each in found
    ]
    print_table(_COLUMNS, rows, nothing="No deliveries.")


def _print_delivery(found: Delivery) -> None:
    facts = {
        "delivery": found.id,
        "state": coloured(found.state),
        "event": found.event,
        "about": found.subject_id,
        "url": found.url,
        "made": found.created_at,
        "next try": found.next_at,
        "ended": found.ended_at,
    }
    tries = [
        (f"try {number}", Text(f"{entry.get('at')}  {entry.get('status') or entry.get('error')}  {entry.get('ms')} ms"))
        for number, entry in enumerate(found.log, start=1)
    ]
    print_sheet([*((name, value) for name, value in facts.items() if value), *tries])
