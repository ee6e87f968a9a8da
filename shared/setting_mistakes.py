"""Says what is wrong with a setting: one line of plain words for each mistake, without the jargon of pydantic.

What a number, a switch or a choice must be follows from the field's type and bounds; a validator of the settings says
it in its own words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    str: "a text",
}


#: Type of pydantic's errors about defaults that follow a setting which is itself wrong.
_CONSEQUENCE = "default_factory_not_called"


def describe(error: ValidationError, fields: Mapping[str, FieldInfo]) -> list[str]:
    """Describe each mistake in settings with these `fields`, with the value unless that may hold a password."""
    return [_line(each, fields) for each in error.errors() if each["type"] != _CONSEQUENCE]


def _line(error: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> str:
    name = str(error["loc"][0])
    field = fields[name]
    got = f" (got {error['input']!r})" if field.repr else ""
    own_words = error.get("ctx", {}).get("error")
    return f"ATELIER_{name.upper()}: {own_words or f'must be {_wanted(field)}'}{got}"


def _wanted(field: FieldInfo) -> str:
    """Say what values a field takes, such as "a whole number from 0 to 65535"."""
    if get_origin(field.annotation) is Literal:
        *most, last = (str(value) for value in get_args(field.annotation))
        return f"{', '.join(most)} or {last}"
    return _KINDS.get(field.annotation, "another value") + _range(field)


def _range(field: FieldInfo) -> str:
    """Say a field's bounds; the settings have the upper one beside a lower one only."""
    least = next((f"{bound.ge:.15g}" for bound in field.metadata if isinstance(bound, Ge)), None)
    above = next((f" above {bound.gt:.15g}" for bound in field.metadata if isinstance(bound, Gt)), "")
    most = next((f"{bound.le:.15g}" for bound in field.metadata if isinstance(bound, Le)), None)
    if least is None:
        return above + (f", up to {most}" if most else "")
    return f" from {least} to {most}" if most else f" of at least {least}"
