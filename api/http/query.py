"""Parameters of queries that several lists take: moments."""

from __future__ import annotations

import math
import re
from datetime import datetime

from flask import request
from pydantic import TypeAdapter, ValidationError

from api.schemas.jobs import Moment
from shared import errors
from shared.errors import InvalidParams
from shared.states import State

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def moment(name: str) -> datetime | None:
    """Read the moment that a request gives by `name`; raise `InvalidParams` for what is none."""
    text = request.args.get(name)
    try:
        return _MOMENT.validate_python(text) if text is not None else None
    except ValidationError:
        detail = "an RFC 3339 time with its zone, such as 2030-01-31T12:00:00Z"
        raise InvalidParams(f"{name} is {detail}.", errors=[{"pointer": name, "detail": detail}]) from None


#: Longest wait that a request may ask for, in seconds.
MAX_WAIT_S = 60.0


_PREFERRED_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)


def wait_s() -> float:
    """Read how long a request wishes to wait, in seconds: by `?wait=` or by `Prefer: wait=`; 0 if it does not.

    Raises `InvalidParams` for a wait that is no number of seconds up to `MAX_WAIT_S`.
    """
    text = request.args.get("wait")
    if text is None:
        return preferred_wait_s()
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT_S:
        mistake = {"pointer": "wait", "detail": "a number of seconds", "ge": 0, "le": MAX_WAIT_S}
        raise InvalidParams(f"wait is a number of seconds from 0 to {MAX_WAIT_S:g}.", errors=[mistake])
    return seconds


def preferred_wait_s() -> float:
    """Read `Prefer: wait=`, in seconds, which is cut to what is allowed, as preferences are; 0 without it."""
    found = _PREFERRED_WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


def flag(name: str) -> bool:
    """Read a query parameter that is true or false; raise `InvalidParams` for anything else."""
    value = request.args.get(name, "false")
    if value not in ("true", "false"):
        mistake = {"pointer": name, "detail": "one of true, false"}
        raise InvalidParams(f"{name} is true or false.", errors=[mistake])
    return value == "true"


def wanted_states() -> list[State]:
    """Read the states that a listing is asked for; raise `InvalidParams`."""
    wanted = request.args.getlist("state")
    try:
        return [State(name) for name in wanted]
    except ValueError:
        mistake = {"pointer": "state", "detail": f"one of {', '.join(State)}"}
        raise errors.InvalidParams(f"state is one of {', '.join(State)}.", errors=[mistake]) from None
