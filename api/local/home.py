"""What a running stack leaves in its home folder for the commands on this machine: its address and its first key."""

from __future__ import annotations

from pathlib import Path

ADDRESS_FILE = "address"
KEY_FILE = "operator.key"


def address(home: Path) -> str | None:
    """Return the address of the stack that runs there, or None if none does."""
    return _text(home / ADDRESS_FILE)


def operator_key(home: Path) -> str | None:
    """Return the key that opens everything of the stack there, or None if it was never started."""
    return _text(home / KEY_FILE)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
