"""The search language, as in `state:failed code:out_of_memory owner:ann label:"in oils"`, parsed to a filter.

A word without a field is a job id. `before` and `after` take a day, in UTC, or an RFC 3339 time.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from api.schemas.jobs import Timestamp
from shared.clock import rfc3339
from shared.db.jobs.queries import Filter
from shared.errors import InvalidParams, subclasses
from shared.ids import is_uuid
from shared.states import State

FIELDS = ("state", "code", "owner", "label", "batch", "after", "before")
AnyState = TypeVar("AnyState", bound=StrEnum)
_TERM = re.compile(r'(?:(\w+):)?("[^"]*"|\S+)')
_TIMESTAMP: TypeAdapter[datetime] = TypeAdapter(Timestamp)
#: Short forms of error codes.
_ALIASES = {"oom": "out_of_memory"}


class Search(NamedTuple):
    """A parsed search: a filter, and the job id if one was typed."""

    filter: Filter
    job_id: str | None = None


def parse(text: str) -> Search:
    """Parse a search; raise `InvalidParams`."""
    given: dict[str, list[str]] = {}
    job_id = None
    for name, word in _TERM.findall(text):
        value = word.strip('"')
        if name in FIELDS:
            given.setdefault(name, []).append(value)
        elif is_uuid(word):
            job_id = word
        else:
            raise InvalidParams(f"{word!r} is not a job ID; the search fields are {', '.join(FIELDS)}.")
    for name, values in given.items():
        if name != "state" and len(values) > 1:
            raise InvalidParams(f"{name}: is given twice; only state: can be repeated.")
    return Search(_filter({name: values[0] for name, values in given.items()}, given.get("state", [])), job_id)


def to_text(job_filter: Filter) -> str:
    """Write the search that `parse` turns into this filter."""
    fields: dict[str, str | None] = {
        "code": job_filter.code,
        "owner": job_filter.owner,
        "label": job_filter.label,
        "batch": job_filter.batch_id,
        "after": rfc3339(job_filter.created_after),
        "before": rfc3339(job_filter.created_before),
    }
    terms = [("state", str(state)) for state in job_filter.states]
    terms += [(name, value) for name, value in fields.items() if value is not None]
    return " ".join(f'{name}:"{value}"' if " " in value or not value else f"{name}:{value}" for name, value in terms)


def _filter(one: Mapping[str, str], states: list[str]) -> Filter:
    return Filter(
        states=tuple(parse_state(name, State) for name in dict.fromkeys(states)),
        owner=one.get("owner"),
        label=one.get("label"),
        created_after=_moment("after", one),
        created_before=_moment("before", one),
        code=_code(one.get("code")),
        batch_id=one.get("batch"),
    )


def parse_state(name: str, states: type[AnyState]) -> AnyState:
    """Return the state of this name; raise `InvalidParams`."""
    try:
        return states(name)
    except ValueError:
        raise InvalidParams(f"{name!r} is not a state; the states are {', '.join(states)}.") from None


def _code(name: str | None) -> str | None:
    known = {kind.code for kind in subclasses()}
    found = _ALIASES.get(name or "", name)
    if found is not None and found not in known:
        raise InvalidParams(f"{name!r} is not an error code; the documentation lists them.")
    return found


def _moment(name: str, one: Mapping[str, str]) -> datetime | None:
    text = one.get(name)
    if text is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        pass
    try:
        return _TIMESTAMP.validate_python(text)
    except ValidationError:
        raise InvalidParams(f"{name}:{text} is neither a day such as 2026-11-01 nor an RFC 3339 time.") from None
