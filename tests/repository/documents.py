"""What the pages in `docs/` say of settings, presets and parameters, made of their declarations.

`python -m tests.repository.documents` writes those rows anew; `test_readme.py` asks that this changes nothing.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.painting.params import PRESETS, StyleParams, resolve
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
_SCHEMA = StyleParams.model_json_schema()["properties"]
_FIRST = "classic"


def setting_row(name: str) -> str:
    """Write the row of a setting: its variable, its default, its meaning."""
    field = Settings.model_fields[name]
    return f"| `ATELIER_{name.upper()}` | {_setting_default(name)} | {field.description} |"


def preset_row(name: str) -> str:
    """Write the row of a preset."""
    return f"| `{name}` | {PRESETS[name][0]} |"


def parameter_row(name: str) -> str:
    """Write the row of a parameter: its default, what presets make of it, its range, its meaning."""
    default = _value(getattr(resolve(_FIRST), name))
    return (
        f"| `{name}` | {default} | {_presets_of(name)} | {_range_of(_SCHEMA[name])} | {_SCHEMA[name]['description']} |"
    )


def rows() -> dict[Path, dict[str, str]]:
    """Return the rows of each page by their first cell."""
    settings = {f"ATELIER_{name.upper()}": setting_row(name) for name in Settings.model_fields}
    presets = {name: preset_row(name) for name in PRESETS}
    parameters = {name: parameter_row(name) for name in StyleParams.model_fields}
    return {ROOT / "docs/settings.md": settings, ROOT / "docs/painting.md": presets | parameters}


def rewritten(text: str, expected: Mapping[str, str]) -> str:
    """Return a page with its rows as they should be; those of no declaration stay."""
    return re.sub(r"^\| `(\w+)` \|.*$", lambda found: expected.get(found[1], found[0]), text, flags=re.MULTILINE)


def _setting_default(name: str) -> str:
    if name == "home":
        return "`~/.atelier`"
    if name == "worker_name":
        return "`HOST-PID`"
    factory: Callable[..., Any] | None = Settings.model_fields[name].default_factory
    default = (
        factory({"home": "$ATELIER_HOME", "host": "127.0.0.1", "public_url": ""})
        if factory
        else Settings.model_fields[name].default
    )
    return _value(default)


def _value(value: Any) -> str:
    """Write a value as it is written in an environment variable or an option."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.0f}`" if value.is_integer() else f"`{value:.4g}`"
    if isinstance(value, dict):
        return "`" + ",".join(f"{layer}={weight:g}" for layer, weight in value.items()) + "`"
    return f"`{value}`"


def _presets_of(name: str) -> str:
    default = getattr(resolve(_FIRST), name)
    others = {preset: getattr(resolve(preset), name) for preset in PRESETS if preset != _FIRST}
    apart = {preset: value for preset, value in others.items() if value != default}
    if len(apart) == len(others) and all(value == next(iter(apart.values())) for value in apart.values()):
        return _value(next(iter(apart.values())))
    return ", ".join(f"{preset} {_value(value)}" for preset, value in apart.items())


def _range_of(schema: Mapping[str, Any]) -> str:
    schema = {**schema, **next(iter(schema.get("anyOf", [{}])))}
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] in ("boolean", "object"):
        return {"boolean": "`true`, `false`", "object": "layers and weights"}[schema["type"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    above, below = ("above " if "minimum" not in schema else ""), ("below " if "maximum" not in schema else "")
    return f"{above}{low:g} to {below}{high:,.10g} {schema.get('x-unit', '')}".rstrip()


if __name__ == "__main__":
    for page, expected in rows().items():
        page.write_text(rewritten(page.read_text(encoding="utf-8"), expected), encoding="utf-8")
