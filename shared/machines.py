"""The supported Python versions and platforms: every dependency has a wheel for each combination.

`make` runs this file with whatever Python it is given, before anything is installed. So it imports only the standard
library and runs on Python 3.6, hence the quoted annotations. To support another Python, add it here and to
`requires-python`; tests then require a wheel of every dependency and an updated README.
"""

import platform
import sys
from typing import NamedTuple

PYTHONS = ((3, 11), (3, 12), (3, 13))
#: Why the next Python is not supported yet.
_NEXT = "Python 3.14 is not supported before TensorFlow 2.22"
#: System and processor as `platform` reports them, and their common name.
MACHINES = {
    ("Linux", "x86_64"): "Linux on x86-64",
    ("Linux", "aarch64"): "Linux on aarch64",
    ("Darwin", "arm64"): "macOS on Apple silicon",
}
#: The oldest glibc and macOS that every wheel supports.
LEAST_GLIBC = (2, 28)
LEAST_MACOS = (12, 0)


class Machine(NamedTuple):
    """A Python and its platform; `release` is the version of glibc or macOS, empty for other C libraries."""

    python: "tuple[int, ...]"
    system: str
    processor: str
    release: "tuple[int, ...]"

    @property
    def name(self) -> str:
        """The common name of system and processor."""
        return MACHINES.get((self.system, self.processor), f"{self.system} on {self.processor}")


def current_machine() -> Machine:
    """Describe this Python and this machine."""
    library, of_library = platform.libc_ver()
    of_linux = of_library if library == "glibc" else ""
    release = platform.mac_ver()[0] if platform.system() == "Darwin" else of_linux
    numbers = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    return Machine(tuple(sys.version_info[:2]), platform.system(), platform.machine(), numbers)


def unsupported_reason(machine: Machine) -> str:
    """Return in one sentence why Atelier cannot be installed and what to do about it; empty if it can."""
    if machine.python not in PYTHONS:
        first, last = _dotted(PYTHONS[0]), _dotted(PYTHONS[-1])
        return f"Use Python {first} to {last}, as by make PYTHON=/path/to/python{last}; {_NEXT}."
    if (machine.system, machine.processor) == ("Darwin", "x86_64"):
        return "TensorFlow has no wheel for Intel Macs: use Linux, or Apple silicon with a Python built for it."
    if (machine.system, machine.processor) not in MACHINES:
        *most, last = MACHINES.values()
        return f"Atelier runs on {', '.join(most)} and {last}, not on {machine.name}."
    if machine.system == "Linux" and machine.release < LEAST_GLIBC:
        return (
            f"Use a Linux with glibc {_dotted(LEAST_GLIBC)} or newer: TensorFlow has no wheel for others, like Alpine."
        )
    if machine.system == "Darwin" and machine.release < LEAST_MACOS:
        return f"Use macOS {LEAST_MACOS[0]} or newer: TensorFlow has no wheel for older ones."
    return ""


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(unsupported_reason(current_machine()) or None)
