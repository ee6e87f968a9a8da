"""Why the command itself cannot paint a picture; the server's reasons are the codes of its errors."""

from enum import StrEnum


class Reason(StrEnum):
    """A code in the table of failed pictures."""

    #: The file or folder cannot be read.
    UNREADABLE = "unreadable"
    #: The picture is no longer the one that the batch has under its name.
    CHANGED = "changed"
    #: The result cannot be written.
    UNWRITABLE = "unwritable"
    #: The result would have the name of a folder of other results.
    NAME_CLASH = "name_clash"
