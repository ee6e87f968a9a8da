"""Command-line options that the CLI and the engine share; those of `StyleParams` are declared once, there.

`--start-size 128` and `--param start_size=128` mean the same. Layer weights are written
`block1_conv1=1,block2_conv1=0.5`, or as JSON.
"""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import click
from click.core import ParameterSource
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shared.painting.params import StyleParams
from shared.paths import kind_text

Command = TypeVar("Command", bound=Callable[..., Any])

_FIELDS = StyleParams.model_fields

#: The formats that can have sixteen bits per channel.
DEEP_FORMATS = ("png", "tiff")
depth_option = click.option(
    "--depth", type=click.Choice([8, 16]), help="Bits per channel of the result, as PNG and as TIFF [8]."
)
metadata_option = click.option(
    "--keep-metadata", is_flag=True, default=None, help="Keep the photograph's date, camera, place and resolution."
)
#: Where a shell puts the open files that it passes as arguments.
_OPEN_FILES = (Path("/dev/fd"), Path("/proc/self/fd"))


class PictureFile(click.Path):
    """An existing file to read a picture from: a regular one, or what the shell passes for `<(command)`."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a named pipe or a device, which would be waited for."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or path.parent in _OPEN_FILES):
            self.fail(f"{path} is {kind_text(mode)}, not a regular file.", param, ctx)
        return path


class Parameter(click.ParamType[Any]):
    """The value of one parameter, validated by its declaration."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._adapter = _adapter(_FIELDS[name])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and validate the text; an invalid value is a usage error."""
        try:
            return self._adapter.validate_python(read_value(value) if isinstance(value, str) else value)
        except ValidationError as error:
            self.fail(f"{value!r}: {error.errors()[0]['msg']}.", param, ctx)


class Assignment(click.ParamType[tuple[str, Any]]):
    """`name=value` for any parameter, validated by its declaration."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Split at the first equals sign."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f"{value!r} is not name=value.", param, ctx)
        if name not in _FIELDS:
            self.fail(f"there is no parameter {name!r}; choose from {', '.join(_FIELDS)}.", param, ctx)
        return name, Parameter(name).convert(text, param, ctx)


def params_options(command: Command) -> Command:
    """Add one option per parameter to a command, and `--param` for any of them."""
    for name, field in reversed(_FIELDS.items()):
        flag = "--" + name.replace("_", "-")
        metavar = _metavar(field)
        command = click.option(flag, name, type=Parameter(name), metavar=metavar, help=_help(field))(command)
    return click.option(
        "--param", "assignments", type=Assignment(), multiple=True, help="Any parameter by its name; repeatable."
    )(command)


def chosen_params(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given; an option wins over `--param`."""
    source = click.get_current_context().get_parameter_source  # None can be a value
    named = {name: options[name] for name in _FIELDS if source(name) is not ParameterSource.DEFAULT}
    return {**dict(options["assignments"]), **named}


def read_value(text: str) -> Any:
    """Parse JSON or `layer=weight,…`, or return the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pairs = [part.partition("=") for part in text.split(",")]
        return {name.strip(): weight for name, _, weight in pairs} if all(pair[1] for pair in pairs) else text


def _metavar(field: FieldInfo) -> str:
    schema = _schema(field)
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    names = {"integer": "N", "number": "X", "boolean": "true|false", "object": "LAYER=WEIGHT,..."}
    return names[schema["type"]]


def _help(field: FieldInfo) -> str:
    schema = _schema(field)
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if (low is None and above is None) or (high is None and below is None):
        return str(field.description)
    start = _number(low) if above is None else f"above {_number(above)}"
    end = f"to {_number(high)}" if below is None else f"to below {_number(below)}"
    return f"{field.description} [{start} {end} {schema.get('x-unit', '')}".rstrip() + "]"


def _number(number: Any) -> str:
    """Write a bound: whole numbers in full, unless they are as long as 1e12."""
    return f"{number:.10g}".replace("e+", "e")


def _schema(field: FieldInfo) -> dict[str, Any]:
    """Return the JSON schema of a field; for an optional field, that of its value."""
    schema = _adapter(field).json_schema()
    return {**schema, **schema["anyOf"][0]} if "anyOf" in schema else schema


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    """Return the validator of a single value of the field, with its bounds."""
    declared: Any = Annotated[field.annotation, field]
    return TypeAdapter(declared)
