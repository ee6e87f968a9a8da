"""The texts of a request: any with a character that terminals and pages would not show as text is refused.

`shared.texts` says which characters these are. Queries, JSON bodies and forms all pass through here, so that a new
field is covered without saying so. Names of uploaded files are cleaned instead, where they become keys and names.

Invariant: no text that a client sends is stored, logged or shown with a control character; values of `metadata` alone
may have tabs and line breaks.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from werkzeug.datastructures import MultiDict

from shared.errors import InvalidParams
from shared.texts import find_unprintable, printable

#: The field whose values may have several lines.
_IN_LINES = "metadata"
#: Most mistakes that a refusal names.
_MOST_NAMED = 20
#: A place in a body: the name or index, and the place around it; None is the body itself.
_Place = tuple[str | int, Any] | None


def mistakes_in_body(body: object) -> list[dict[str, Any]]:
    """Return the mistake of each text in a parsed body, or of each name of a field, that has such a character."""
    return [_mistake(place, character) for place, character in islice(_unprintable(body), _MOST_NAMED)]


def pointer(parts: Iterable[str | int]) -> str:
    """Write the names and indices that lead to a place in a body as a JSON pointer. Source: RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def check_fields(fields: MultiDict[str, str], *, several_lines: bool = False) -> None:
    """Raise `InvalidParams` if a field of a query or of a form has such a character."""
    found = []
    for name, value in fields.items(multi=True):
        character = find_unprintable(value, several_lines=several_lines)
        if character is not None:
            found.append(_mistake(name, character))
    if found:
        raise InvalidParams(f"{found[0]['detail']}", errors=found[:_MOST_NAMED])


def _unprintable(body: object) -> Iterator[tuple[str, str]]:
    """Yield where such a character is, and the character; without recursion, since a body may be nested deeply."""
    waiting: deque[tuple[object, _Place, bool]] = deque([(body, None, False)])
    while waiting:
        value, place, several_lines = waiting.popleft()
        if isinstance(value, str):
            character = find_unprintable(value, several_lines=several_lines)
            if character is not None:
                yield _pointer_to(place), character
        elif isinstance(value, dict):
            for name, inner in value.items():
                character = find_unprintable(str(name))
                if character is not None:
                    yield _pointer_to((name, place)), character
                waiting.append((inner, (name, place), several_lines or (place is None and name == _IN_LINES)))
        elif isinstance(value, list):
            waiting.extend((inner, (index, place), several_lines) for index, inner in enumerate(value))


def _pointer_to(place: _Place) -> str:
    parts: list[str | int] = []
    while place is not None:
        name, place = place
        parts.append(name)
    return pointer(reversed(parts))


def _mistake(place: str, character: str) -> dict[str, Any]:
    reason = f"It has the control character U+{ord(character):04X}, which no text may have."
    return {"pointer": place, "detail": f"{printable(place) or 'The body'}: {reason}"}
