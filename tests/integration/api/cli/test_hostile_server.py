"""What a server says controls no terminal: every command that talks to one, against answers full of escapes."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api import cli
from api.cli import main
from api.local.doctor import Check
from api.openapi.document import build
from shared.texts import find_unprintable
from tests.hostile.hostile_server import HOSTILE, serving_hostile

_ID = "01a20750-e506-729a-9bdf-2a44836107f2"
#: What the commands are given, by the names of their arguments and required options; the rest are ids.
_GIVEN = {"action": "cancel", "value": "0.5", "address": "https://a.example/", "name": "name", "key": "c1-s1"}
#: Further options: what a command needs, or what keeps it from waiting for what this server never says.
_OPTIONS = {
    "operations start": ["--label", "a", "--reason", "b"],
    "submit": ["--no-wait"],
    "rerun": ["--no-wait"],
    "batch": ["--no-wait", "--new"],
    "workers": ["pause", "w1"],
    "preview": ["-o", "preview.jpg"],
}


def commands(command: click.Command = main, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command that talks to a server, with its full name."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from commands(found, *path, name)
    elif any(parameter.name == "url" for parameter in command.params) and path != ("doctor",):  # which takes seconds
        yield " ".join(path), command


@pytest.fixture
def arguments(photo, tmp_path):
    """Complete the command line of a command."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")

    def complete(name: str, command: click.Command) -> list[str]:
        given = _GIVEN | {"folder": photo.parent, "manifest": manifest, "styles": photo, "content": photo}
        given |= {"contents": photo, "files": photo, "out": tmp_path / ("out" if name == "batch" else "out.webp")}
        line = [*name.split(), *_OPTIONS.get(name, [])]
        for parameter in command.params:
            if parameter.required:
                value = str(given.get(str(parameter.name), _ID))
                line += [value] if isinstance(parameter, click.Argument) else [parameter.opts[-1], value]
        return line

    return complete


@pytest.mark.parametrize("refusing", [False, True], ids=["answers", "refusals"])
def test_no_text_of_a_server_controls_the_terminal(app, arguments, monkeypatch, tmp_path, refusing) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_KEY", "key")
    hostile, ended_well = [], []
    with serving_hostile(build(app, "/"), refusing=refusing) as url:
        monkeypatch.setenv("ATELIER_URL", url)
        for name, command in commands():
            result = CliRunner().invoke(main, arguments(name, command))
            assert result.exception is None or isinstance(result.exception, SystemExit), (name, result.exception)
            assert result.exit_code != 2, (name, result.output)
            hostile += [(name, line) for line in result.output.split("\n") if find_unprintable(line) is not None]
            ended_well += [name] if result.exit_code == 0 else []
    assert hostile == []
    expected = set() if refusing else {"list", "show", "events", "workers", "audit", "keys list", "webhooks show"}
    assert set(ended_well) >= expected
    assert bool(ended_well) != refusing


def test_what_the_doctor_finds_controls_no_terminal(monkeypatch) -> None:
    checks = [Check("server", False, f"found{HOSTILE}", f"mend{HOSTILE}"), Check("redis", True, HOSTILE)]
    monkeypatch.setattr("api.local.doctor.examine", lambda *_: iter(checks))
    result = CliRunner().invoke(main, ["doctor"])
    assert r"found\x1b]0;evil" in result.output
    assert [line for line in result.output.split("\n") if find_unprintable(line) is not None] == []


def test_every_command_prints_by_the_functions_that_escape() -> None:
    folder = Path(cli.__file__).parent
    prints = re.compile(r"\bclick\.s?echo\(|(?<![\w.])print\(|sys\.stdout\.write\(")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if prints.search(path.read_text())}
    assert found == {"display/output.py", "machine/completion.py"}
