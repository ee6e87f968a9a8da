"""The result of a job as its row keeps it: facts of the picture, and the storage keys of its files.

A `Result` is the JSON itself, as a dictionary with declared keys: rows of earlier jobs have them, so rename none.
Retention removes the files' keys; the facts stay.
"""

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict, cast


class ResultFacts(TypedDict):
    """The picture's size in pixels and bytes, its format, and whether painting stopped before the last step."""

    width: int
    height: int
    bytes: int
    format: str
    partial: bool


class Result(ResultFacts):
    """The facts and, until the files expire, their keys; a film strip and a timelapse are not always made."""

    key: NotRequired[str]
    losses_key: NotRequired[str]
    manifest_key: NotRequired[str]
    film_key: NotRequired[str]
    timelapse_key: NotRequired[str]


FileKey = Literal["key", "losses_key", "manifest_key", "film_key", "timelapse_key"]
#: Each file's name in storage, below its attempt's prefix.
FILE_NAMES: dict[FileKey, str] = {
    "key": "result.png",
    "losses_key": "losses.json",
    "manifest_key": "manifest.json",
    "film_key": "film.webp",
    "timelapse_key": "timelapse.webp",
}


def facts_of(result: Result) -> ResultFacts:
    """Return the result without its files."""
    return cast("ResultFacts", {name: value for name, value in result.items() if name in ResultFacts.__annotations__})


def with_files(facts: ResultFacts, keys: Mapping[FileKey, str]) -> Result:
    """Return the result whose files have these storage keys."""
    return cast("Result", {**facts, **keys})
