r"""Which characters a text may hold, and how any text is shown all the same.

Control characters move a terminal's cursor, change its colours and title, or end a line early. Bidirectional overrides
reverse what stands after them: `a<RLO>gpj.exe` would be shown as `aexe.jpg`. Lone surrogates, as which Python holds
bytes that are no UTF-8, cannot be encoded. Requests with any of them are refused (`api.http.texts`); what is shown to
people passes through here too, whoever wrote it.

Invariant: what `printable` returns takes one line, and every terminal, log and file can hold it.
"""

import re
from pathlib import Path

_CLASS = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
#: C0, DEL and C1, the line and paragraph separators, bidirectional overrides and isolates, and lone surrogates.
UNPRINTABLE = re.compile(rf"[{_CLASS}\ud800-\udfff]")
#: The same for a text of several lines.
_UNPRINTABLE_IN_LINES = re.compile(rf"(?![\t\n\r])[{_CLASS}\ud800-\udfff]")
#: The same to show: a lone carriage return would have a terminal write over the line.
_UNPRINTABLE_BUT_LINES = re.compile(rf"(?![\t\n])[{_CLASS}\ud800-\udfff]")
#: A text without any of them, as a pattern of JSON Schema, whose texts have no lone surrogates.
PRINTABLE_PATTERN = rf"^[^{_CLASS}]*$"


def find_unprintable(text: str, *, several_lines: bool = False) -> str | None:
    """Return the first character that a text must not hold, or None; `several_lines` allows tabs and line breaks."""
    found = (_UNPRINTABLE_IN_LINES if several_lines else UNPRINTABLE).search(text)
    return found[0] if found else None


def printable(text: str | Path) -> str:
    """Return a text that takes one line and is valid Unicode, with escapes for what cannot be shown."""
    return UNPRINTABLE.sub(_escaped, str(text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them `printable` but for tabs."""
    return _UNPRINTABLE_BUT_LINES.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()
