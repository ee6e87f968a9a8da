from typing import Any

import click
import pytest
from click.testing import CliRunner

from shared.painting.cli_options import chosen_params, params_options
from shared.painting.params import StyleParams


@click.command()
@params_options
def probe(**options: Any) -> None:
    """Print what was chosen."""
    click.echo(repr(chosen_params(options)))


def chosen(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(probe, arguments)
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = eval(result.stdout)  # a repr of plain values
    return value


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(probe, arguments)
    assert result.exit_code == 2
    return result.stderr


def test_nothing_given_is_nothing_chosen() -> None:
    assert chosen() == {}


def test_every_parameter_has_an_option_with_its_declared_help() -> None:
    help_text = " ".join(CliRunner().invoke(probe, ["--help"], terminal_width=200).stdout.split())
    for name, field in StyleParams.model_fields.items():
        assert f"--{name.replace('_', '-')} " in help_text
        assert " ".join(str(field.description).split()) in help_text
    assert "[0 to 16383 px]" in help_text
    assert "[above 0 to 1]" in help_text  # the learning rate


@pytest.mark.parametrize("field", ["size", "steps", "beta_1", "pooling", "antialias", "style_layers"])
def test_an_option_and_an_assignment_mean_the_same(field: str) -> None:
    default = getattr(StyleParams(), field)
    text = ",".join(f"{k}={v}" for k, v in default.items()) if isinstance(default, dict) else str(default).lower()
    assert chosen(f"--{field.replace('_', '-')}", text) == chosen("--param", f"{field}={text}") == {field: default}


def test_null_is_a_value_and_not_the_same_as_silence() -> None:
    assert chosen("--final-learning-rate", "null") == {"final_learning_rate": None}


def test_layers_may_be_json() -> None:
    assert chosen("--content-layers", '{"block4_conv2": 2}') == {"content_layers": {"block4_conv2": 2.0}}


def test_an_option_wins_over_an_assignment() -> None:
    assert chosen("--param", "size=64", "--size", "32", "--param", "size=65") == {"size": 32}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "8"), "must be 0 or at least 16"),
        (("--size", "big"), "valid integer"),
        (("--pooling", "median"), "'max', 'average' or 'l2'"),
        (("--epsilon", "NaN"), "less than or equal to 10"),
        (("--style-layers", "block1_conv1=heavy"), "valid number"),
        (("--param", "size"), "not name=value"),
        (("--param", "brush=3"), "choose from size"),
    ],
)
def test_a_bad_value_is_refused_with_its_reason(arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*arguments)
