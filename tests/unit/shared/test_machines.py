"""Where Atelier can be set up, and what is said where it cannot."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from api.local import doctor
from shared import machines
from shared.machines import MACHINES, PYTHONS, Machine

ROOT = Path(__file__).parents[3]
OLDEST = {"Linux": machines.LEAST_GLIBC, "Darwin": machines.LEAST_MACOS}


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@pytest.mark.parametrize("machine", [Machine(python, *at, OLDEST[at[0]]) for python in PYTHONS for at in MACHINES])
def test_nothing_is_said_against_what_is_promised(machine) -> None:
    assert machines.unsupported_reason(machine) == ""


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine((3, 10), "Linux", "x86_64", (2, 36)), r"Use Python 3\.11 to 3\.13"),
        (Machine((3, 14), "Linux", "x86_64", (2, 36)), r"3\.14 is not supported before TensorFlow 2\.22"),
        (Machine((3, 12), "Darwin", "x86_64", (13, 0)), "Intel Macs"),
        (Machine((3, 12), "Darwin", "arm64", (11, 7)), "macOS 12"),
        (Machine((3, 12), "Linux", "x86_64", ()), "Alpine"),
        (Machine((3, 12), "Linux", "aarch64", (2, 27)), r"glibc 2\.28"),
        (Machine((3, 12), "Linux", "riscv64", (2, 39)), "not on Linux on riscv64"),
        (Machine((3, 12), "Windows", "AMD64", ()), "not on Windows"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(machine, said) -> None:
    against = machines.unsupported_reason(machine)
    assert re.search(said, against)
    assert re.fullmatch(r"[^\n]+\.", against)


def test_make_asks_before_it_installs_anything() -> None:
    steps = (ROOT / "Makefile").read_text(encoding="utf-8").partition("$(READY):")[2]
    assert steps.index("shared/machines.py") < steps.index("venv") < steps.index("install")
    run = subprocess.run([sys.executable, "-I", ROOT / "shared" / "machines.py"], capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


def test_doctor_says_the_same(monkeypatch) -> None:
    assert doctor._python().ok is True
    strange = Machine((3, 14), "Linux", "x86_64", (2, 36))
    monkeypatch.setattr(machines, "current_machine", lambda: strange)
    assert (doctor._python().ok, doctor._python().mend) == (False, machines.unsupported_reason(strange))


def test_the_package_asks_for_the_same_pythons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor = PYTHONS[-1]
    assert project["requires-python"] == f">={dotted(PYTHONS[0])},<{major}.{minor + 1}"


def test_the_images_are_built_on_one_of_them() -> None:
    for name in ("api", "worker"):
        given = re.search(r"^ARG PYTHON_VERSION=(.+)$", (ROOT / name / "Dockerfile").read_text(), re.MULTILINE)
        assert given
        assert given[1] in map(dotted, PYTHONS)


def test_the_readme_names_each_pair_and_what_is_left_out() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| ((?:Linux|macOS) [^|]+) \| ([0-9., ]+) \|", readme, re.MULTILINE))
    assert documented == dict.fromkeys(MACHINES.values(), ", ".join(map(dotted, PYTHONS)))
    assert f"Python {dotted(PYTHONS[0])} to {dotted(PYTHONS[-1])}" in readme
    assert machines._NEXT in readme
    assert f"glibc {dotted(machines.LEAST_GLIBC)}" in readme
    assert f"macOS {machines.LEAST_MACOS[0]}" in readme
