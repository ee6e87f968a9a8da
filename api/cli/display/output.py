"""Where a command's output goes: data to stdout for programs, sentences to stderr for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from api.client.models import Resource


def emit(found: Any, draw: Callable[[Any], object], *, as_json: bool) -> None:
    """Print a resource, or a list of them, as JSON for programs or through `draw` for people."""
    if as_json:
        print_json(found.raw() if isinstance(found, Resource) else [each.raw() for each in found])
    else:
        draw(found)


def print_json(value: Any) -> None:
    """Print one value for programs."""
    click.echo(json.dumps(value, indent=2))


def print_id(found: Any) -> None:
    """Print only the id, which the next command needs."""
    click.echo(found.id)


def counted(number: int, noun: str) -> str:
    """Write a number before its noun: `1 picture`, `2 pictures`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say(sentence: str) -> None:
    """Tell people something on stderr, since stdout is for programs."""
    Console(stderr=True).print(sentence, highlight=False, markup=False, soft_wrap=True)
