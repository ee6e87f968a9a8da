"""`atelier weights`: have the network's weights on this machine before the first job asks for them.

The worker's package knows where they come from, so it is asked, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import click

from api.cli.exits import Failure, WeightsUnreachable
from api.cli.following import say
from shared.settings import Settings


@click.group()
def weights() -> None:
    """Look after the weights of VGG19."""


@weights.command()
def fetch() -> None:
    """Fetch the ImageNet weights, 80 MB, unless they are here; print where they lie."""
    Settings.load()  # a setting that cannot be used is told in our words, before anything starts
    say("Fetching the ImageNet weights, 80 MB, unless they are here.")
    command = [sys.executable, "-P", "-m", "worker", "weights"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own module
    said = answer.stdout.strip()
    if not said:
        raise Failure(f"`python -m worker weights` broke off (exit code {answer.returncode}).")
    if answer.returncode:
        raise WeightsUnreachable(said)
    click.echo(said)
