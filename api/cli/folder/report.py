"""What `atelier batch` tells of a folder: what it leaves out and why, and at the end which pictures have no result."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.cli.display.output import say
from api.cli.display.tables import FailedPicture
from api.cli.folder.walk import Found
from api.cli.outputs import listed
from shared.texts import printable


def say_left_out(found: Found) -> None:
    """Say how many pictures of each unreadable kind there are, and name everything else that is left out."""
    kinds = [f"{count:,} {suffix}" for suffix, count in sorted(found.unreadable_kinds.items())]
    if kinds:
        plural = "these kinds of pictures" if len(kinds) > 1 else "this kind of picture"
        noun = "file" if found.unreadable_kinds.total() == 1 else "files"
        say(f"Left out {_joined(kinds)} {noun}: Atelier cannot read {plural}.")
    if found.left_out:
        say(f"Left out:{listed(f'{printable(path)}: {what}' for path, what in found.left_out)}")


def named(failed: Sequence[FailedPicture], paths: Mapping[str, str]) -> list[FailedPicture]:
    """Name failed pictures, which have keys, by their paths in the folder."""
    return [each._replace(key=paths.get(each.key, each.key)) for each in failed]


def as_json(batch_id: str | None, found: Found, failed: Sequence[FailedPicture]) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "batch": batch_id,
        "pictures": len(found.pictures),
        "failures": [each._asdict() for each in failed],
        "left_out": [each._asdict() for each in found.left_out],
        "unreadable_kinds": dict(sorted(found.unreadable_kinds.items())),
    }


def _joined(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
