"""The locks can be installed from wheels alone, with no compiler, wherever Atelier is promised.

Each is resolved as it would be there, against the package index, and nothing is installed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import machines

ROOT = Path(__file__).parents[2]
CI = os.environ.get("CI") == "true"
#: The locks that have to be installed on a machine: TensorFlow has CUDA's wheels for one.
LOCKS = ("uv", "api", "cpu", "dev")
LOCKS_OF = {("Linux", "x86_64"): (*LOCKS, "gpu")}
_MAC = "aarch64-apple-darwin"  # what uv calls arm64
_TIMEOUT_S = 90

pytestmark = pytest.mark.slow


def resolve(folder: Path, requirements: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Have uv choose a wheel for each of the requirements, and install none."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--dry-run", "--quiet", *options]
    command += ["--only-binary", ":all:", "--target", str(folder), "--requirements", str(requirements)]
    bounds = {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "2"}
    env = {**os.environ, **bounds, "MACOSX_DEPLOYMENT_TARGET": dotted(machines.LEAST_MACOS)}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=_TIMEOUT_S)


def as_on(python: tuple[int, ...], system: str, processor: str) -> list[str]:
    """Write the options of uv that have it choose for another machine."""
    platform = f"{processor}-manylinux_{dotted(machines.LEAST_GLIBC, '_')}" if system == "Linux" else _MAC
    return ["--python-version", dotted(python), "--python-platform", platform]


def dotted(version: tuple[int, ...], dot: str = ".") -> str:
    return dot.join(map(str, version))


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> None:
    """The package index, without which nothing can be said; in CI it has to be there."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "small.txt").write_text("click\n")
    asked = resolve(folder, folder / "small.txt", "--no-deps", "--no-cache")
    if asked.returncode:
        why = f"no package index can be reached: {asked.stderr.strip()[-300:]}"
        pytest.fail(why) if CI else pytest.skip(why)


@pytest.mark.parametrize("python", machines.PYTHONS, ids=dotted)
@pytest.mark.parametrize("place", machines.MACHINES, ids="-".join)
def test_a_promised_machine_finds_a_wheel_of_everything(index, tmp_path, place, python) -> None:
    for name in LOCKS_OF.get(place, LOCKS):
        found = resolve(tmp_path, ROOT / "requirements" / f"{name}.txt", *as_on(python, *place))
        assert found.returncode == 0, f"{name}.txt: {found.stderr}"


def test_a_wheel_that_is_missing_is_found_out(index, tmp_path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("tensorflow-cpu==2.21.0\n")  # which has none for macOS
    found = resolve(tmp_path, lock, *as_on((3, 12), "Darwin", "arm64"))
    assert found.returncode != 0
    assert "no wheels" in found.stderr


@pytest.mark.parametrize("name", ["api", "cpu", "gpu"])
def test_an_image_has_what_builds_this_project(name) -> None:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "\nsetuptools==" in lock


@pytest.mark.parametrize("name", [*LOCKS, "gpu"])
def test_a_lock_names_no_index(name) -> None:
    assert "://" not in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["Makefile", "api/Dockerfile", "worker/Dockerfile"])
def test_nothing_is_built_when_a_lock_is_installed(path) -> None:
    joined = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in joined.splitlines() if "pip install" in line and "--require-hashes" in line]
    assert installs
    assert [line for line in installs if "--only-binary :all:" not in line] == []


def test_the_lock_of_npm_names_no_registry_and_a_hash_of_everything() -> None:
    packages = json.loads((ROOT / "tests/integration/tools/package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert len(installed) > 100
    assert [name for name, package in installed.items() if "resolved" in package] == []
    assert [name for name, package in installed.items() if not package["integrity"].startswith("sha512-")] == []
