"""The Pythons and the machines that Atelier is promised on: all that it needs has a wheel for each pair of them.

`make` runs this file by whatever Python it is given, before anything is installed; so it imports nothing but the
standard library and is written for Python 3.6, which does not know the types that are quoted. To allow another Python,
add it here and to `requires-python`; tests then ask for a wheel of everything and for the README to say so.
"""

import platform
import sys
from typing import NamedTuple

PYTHONS = ((3, 11), (3, 12), (3, 13))
#: What the next Python waits for, told to whoever tries it.
_WAITING = "Python 3.14 waits for TensorFlow 2.22"
#: System and processor, as Python names them, to what people call them.
MACHINES = {
    ("Linux", "x86_64"): "Linux on x86-64",
    ("Linux", "aarch64"): "Linux on aarch64",
    ("Darwin", "arm64"): "macOS on Apple silicon",
}
#: The oldest C library and macOS that every wheel is made for.
LEAST_GLIBC = (2, 28)
LEAST_MACOS = (12, 0)


class Machine(NamedTuple):
    """A Python and what it runs on; `release` is that of glibc or of macOS, and empty for any other C library."""

    python: "tuple[int, ...]"
    system: str
    processor: str
    release: "tuple[int, ...]"

    @property
    def name(self) -> str:
        """Name the system and the processor as people do."""
        return MACHINES.get((self.system, self.processor), f"{self.system} on {self.processor}")


def here() -> Machine:
    """Describe this Python and this machine."""
    library, of_library = platform.libc_ver()
    of_linux = of_library if library == "glibc" else ""
    release = platform.mac_ver()[0] if platform.system() == "Darwin" else of_linux
    numbers = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    return Machine(tuple(sys.version_info[:2]), platform.system(), platform.machine(), numbers)


def objection(machine: Machine) -> str:
    """Say in one sentence why Atelier cannot be set up there, with the mend; empty if it can."""
    if machine.python not in PYTHONS:
        first, last = _dotted(PYTHONS[0]), _dotted(PYTHONS[-1])
        return f"Use Python {first} to {last}, as by make PYTHON=/path/to/python{last}; {_WAITING}."
    if (machine.system, machine.processor) == ("Darwin", "x86_64"):
        return "TensorFlow has no wheel for Intel Macs: use Linux, or Apple silicon with a Python built for it."
    if (machine.system, machine.processor) not in MACHINES:
        *most, last = MACHINES.values()
        return f"Atelier runs on {', '.join(most)} and {last}, not on {machine.name}."
    if machine.system == "Linux" and machine.release < LEAST_GLIBC:
        return f"Use a Linux with glibc {_dotted(LEAST_GLIBC)} or newer: TensorFlow has no wheel for others, as Alpine."
    if machine.system == "Darwin" and machine.release < LEAST_MACOS:
        return f"Use macOS {LEAST_MACOS[0]} or newer: TensorFlow has no wheel for older ones."
    return ""


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(objection(here()) or None)
