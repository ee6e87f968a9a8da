"""`atelier webhooks`: the secret that signs webhooks, and their deliveries."""

import click
from rich.text import Text

from api.cli.display.layout import Column, age, coloured, print_facts
from api.cli.display.output import echo, emit, emit_table, print_id, say
from api.cli.options import client_option, json_option, limit_option
from api.client import Client
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
    """Manage webhooks; `atelier submit --webhook URL` requests one."""


@webhooks.command()
@json_option
@client_option
def secret(client: Client, *, as_json: bool) -> None:
    """Print the secret that signs your webhooks."""
    emit(client.webhook_secret(), _print_secret, as_json=as_json)


@webhooks.command()
@json_option
@client_option
def rotate(client: Client, *, as_json: bool) -> None:
    """Replace the secret; for a day, webhooks are signed with both."""
    emit(client.rotate_webhook_secret(), _print_secret, as_json=as_json)


@webhooks.command()
@click.argument("address", metavar="URL")
@json_option
@client_option
def test(client: Client, address: str, *, as_json: bool) -> None:
    """Send a test event to URL, and print the delivery's id."""
    emit(client.test_webhook(address), print_id, as_json=as_json)


@webhooks.command()
@click.option(
    "--state", type=click.Choice([state.value for state in DeliveryState]), help="Only deliveries in this state."
)
@limit_option("deliveries")
@json_option
@client_option
def deliveries(client: Client, state: str | None, limit: int, *, as_json: bool) -> None:
    """List deliveries, newest first."""
    found = client.deliveries(state=state, limit=limit)
    emit_table(found, _COLUMNS, _cells, nothing="No deliveries.", as_json=as_json)


@webhooks.command()
@_delivery_id
@json_option
@client_option
def show(client: Client, delivery_id: str, *, as_json: bool) -> None:
    """Show a delivery with all its attempts."""
    emit(client.delivery(delivery_id), _print_delivery, as_json=as_json)


@webhooks.command()
@_delivery_id
@json_option
@client_option
def redeliver(client: Client, delivery_id: str, *, as_json: bool) -> None:
    """Send an event again, and print the new delivery's id."""
    emit(client.redeliver(delivery_id), print_id, as_json=as_json)


def _print_secret(found: WebhookSecret) -> None:
    echo(found.secret)
    if found.previous_until:
        say(f"Until {found.previous_until}, webhooks are also signed with the previous secret.")


def _cells(found: Delivery) -> tuple[str | Text, ...]:
    tries = str(found.attempts)
    return found.id, coloured(found.state), found.event or "", tries, age(found.created_at), found.url or ""


def _print_delivery(found: Delivery) -> None:
    facts = {
        "delivery": found.id,
        "state": coloured(found.state),
        "event": found.event,
        "subject": found.subject_id,
        "url": found.url,
        "created": found.created_at,
        "next try": found.next_at,
        "ended": found.ended_at,
    }
    tries = {
        f"try {number}": f"{entry.get('at')}  {entry.get('status') or entry.get('error')}  {entry.get('ms')} ms"
        for number, entry in enumerate(found.log, start=1)
    }
    print_facts(facts | tries)
