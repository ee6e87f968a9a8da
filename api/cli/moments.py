"""Moments on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click


class Moment(click.ParamType[datetime]):
    """A moment; one without a zone is in this machine's."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read ISO 8601."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time such as 2030-01-31T12:00 or 2030-01-31T12:00:00Z.", param, ctx)
