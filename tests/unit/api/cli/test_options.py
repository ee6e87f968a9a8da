"""The options that commands share: their order, and a server that cannot be asked beside other mistakes."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from api.cli import main
from shared.painting.params import StyleParams

_SHARED = ["limit", "preview", "no_wait", "dry_run", "as_json", "assignments", "url"]
_USAGE_ERRORS = [
    ["submit", __file__, __file__, "--no-wait", "-o", "a.png"],
    ["rerun", __file__, "--no-wait", "-o", "a.png"],
    ["timelapse", "ID", "-o", "a.mp4"],
    ["operations", "start", "cancel", "--reason", "r"],
    ["workers", "drain"],
]


def all_commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from all_commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(all_commands(main)), ids=lambda command: command.name)
def test_the_options_that_commands_share_come_last_and_in_one_order(command) -> None:
    options = [each.name for each in command.params if each.name not in StyleParams.model_fields]
    shared = [name for name in _SHARED if name in options]
    assert [name for name in options if name in shared] == shared
    assert options[len(options) - len(shared) :] == shared


@pytest.mark.parametrize("command", list(all_commands(main)), ids=lambda command: command.name)
def test_help_writes_bounds_as_people_do(command) -> None:
    text = command.get_help(click.Context(command))
    assert not re.search(r"\[.*[<>]=?.*\]|\de\+\d", text)


def test_ctrl_c_while_the_commands_are_imported_ends_the_process_without_a_word() -> None:
    """The signal comes when the last of them is imported."""
    script = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "api.cli.webhooks":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
import api.cli
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_after_the_commands_are_imported_is_reported_by_them() -> None:
    script = "import signal; import api.cli; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "True\n"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://ann:secret@127.0.0.1:9", "No answer from http://127.0.0.1:9"),
        ("ann:secret@127.0.0.1:9", "127.0.0.1:9 is not an address"),
        ("http://ann:secret@127.0.0.1:x", "http://127.0.0.1:x is not an address"),
    ],
)
def test_a_password_in_the_address_is_not_repeated(address, shown) -> None:
    refused = CliRunner().invoke(main, ["list", "--url", address])
    assert shown in refused.stderr
    assert "secret" not in refused.output


@pytest.mark.parametrize("arguments", _USAGE_ERRORS, ids=lambda arguments: arguments[0])
def test_a_mistake_in_the_command_is_reported_before_an_address_that_is_none(arguments) -> None:
    refused = CliRunner().invoke(main, [*arguments, "--url", "nonsense"])
    assert (refused.exit_code, "nonsense" in refused.stderr) == (2, False)


@pytest.mark.parametrize("arguments", [["list"], ["queue"], ["queue", "pause"], ["keys", "list"], ["batches", "list"]])
def test_an_address_that_is_none_exits_1_and_is_named(arguments) -> None:
    refused = CliRunner().invoke(main, [*arguments, "--url", "nonsense"])
    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: nonsense is not an address: write http://HOST:PORT.\n",
    )


def test_a_setting_that_is_invalid_is_reported_after_a_mistake_in_the_command(monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "none")
    assert CliRunner().invoke(main, ["workers", "drain"]).exit_code == 2
    refused = CliRunner().invoke(main, ["workers"])
    assert (refused.exit_code, "ATELIER_PORT" in refused.stderr) == (1, True)
