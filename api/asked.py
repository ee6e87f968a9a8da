"""Parameters of queries that several lists take: moments."""

from __future__ import annotations

from datetime import datetime

from flask import request
from pydantic import TypeAdapter, ValidationError

from api.schemas import Moment
from shared.errors import InvalidParams

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def moment(name: str) -> datetime | None:
    """Read the moment that a request gives by `name`; raise `InvalidParams` for what is none."""
    text = request.args.get(name)
    try:
        return _MOMENT.validate_python(text) if text is not None else None
    except ValidationError:
        detail = "an RFC 3339 time with its zone, such as 2030-01-31T12:00:00Z"
        raise InvalidParams(f"{name} is {detail}.", errors=[{"pointer": name, "detail": detail}]) from None
