"""The main memory of this process, as Linux counts it; elsewhere 0, for unknown. Knows no TensorFlow."""

import ctypes
from pathlib import Path

#: glibc's function that returns free pages to the system; other C libraries have none.
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def resident_bytes() -> int:
    """Return what is held now."""
    return field(Path("/proc/self/status"), "VmRSS")


def peak_bytes() -> int:
    """Return the most that was held at once."""
    return field(Path("/proc/self/status"), "VmHWM")


def trim() -> None:
    """Return free memory to the system, in about a millisecond; glibc itself keeps what lies between used blocks."""
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def field(path: Path, name: str) -> int:
    """Read a line of the form `Name:  123 kB`, in bytes; 0 if there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
