"""What a running stack writes to its home folder for commands on this machine: its address and the operator's key."""

from pathlib import Path

ADDRESS_FILE = "address"
KEY_FILE = "operator.key"


def address(home: Path) -> str | None:
    """Return the address of the stack running in this home, or None if none is."""
    return _text(home / ADDRESS_FILE)


def operator_key(home: Path) -> str | None:
    """Return the operator's key of the stack in this home, or None if it was never started."""
    return _text(home / KEY_FILE)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
