"""What the README says is so."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from api.cli import main
from shared.painting.params import PRESETS
from shared.settings import Settings
from shared.states import State

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented_in_its_own_words(name: str) -> None:
    text = Settings.model_fields[name].description
    assert re.search(rf"^\| `ATELIER_{name.upper()}` \| `.+` \| {re.escape(text or '')} \|$", README, re.MULTILINE)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = {name.lower() for name in re.findall(r"^\| `ATELIER_(\w+)`", README, re.MULTILINE)}
    assert documented == set(Settings.model_fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_documented_in_its_own_words(preset: str) -> None:
    assert f"| `{preset}` | {PRESETS[preset][0]} |" in README


def test_the_states_are_documented() -> None:
    assert " ".join(State) in README


def test_each_target_of_make_and_each_picture_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^(?:\$ )?make (\w+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()


def test_each_command_and_option_that_is_documented_exists() -> None:
    documented = set(re.findall(r"`atelier ([a-z]+)", README))
    assert documented <= set(main.commands)
    for line in re.findall(r"^atelier (.+?)(?:  +#.*)?$", README, re.MULTILINE):
        name, *words = line.split()
        command = main.commands[name]
        while isinstance(command, click.Group):
            name, *words = words
            command = command.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line
