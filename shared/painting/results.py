"""The result of a job as its row keeps it: facts of the picture, and the storage keys of its files.

A `Result` is the JSON itself, as a dictionary with declared keys: rows of earlier jobs have them, so rename none.
Retention removes the files' keys and the strength; the facts stay.
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
    #: Bits per channel; missing in rows of earlier versions, which had 8.
    depth: NotRequired[int]


class Result(ResultFacts):
    """The facts and, until the files expire, their keys; a film strip and a timelapse are not always made.

    `strength` says how strongly the painting shows, from 0 to 1, once that was saved. It belongs to this job alone: one
    that reuses the picture shows it as painted.
    """

    strength: NotRequired[float]
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


def strength_of(result: Result) -> float:
    """Return the saved strength, from 0 to 1; 1, as painted, if none was saved."""
    return result.get("strength", 1.0)


def with_files(facts: ResultFacts, keys: Mapping[FileKey, str]) -> Result:
    """Return the result whose files have these storage keys."""
    return cast("Result", {**facts, **keys})
