"""The client as it is installed by someone who has nothing else of this project."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.api_server import serving

SOURCE = Path(__file__).parents[4] / "api/client"
UV = Path(sys.executable).with_name("uv")

USE = """
import importlib, importlib.util, json, pkgutil, sys
from pathlib import Path

import atelier_client
from atelier_client import ApiProblem, Client

url, key, photo, folder = sys.argv[1:]
for module in pkgutil.iter_modules(atelier_client.__path__):
    importlib.import_module(f"atelier_client.{module.name}")
found = {"present": [n for n in ("api", "worker", "shared", "migrations", "flask") if importlib.util.find_spec(n)]}
with Client(url, key) as client:
    found["ready"] = client.readiness().parts["database"]["ok"]
    job = client.submit(Path(photo), [Path(photo)], params={"size": 32, "steps": 3}, label="installed")
    found["listed"] = [each.id for each in client.jobs(label="installed")] == [job.id]
    client.cancel(job.id)
    found["state"] = client.wait(job.id, 60).state
    client.download_image(job.raw()["content"], Path(folder, "back.png"))
    found["whole"] = Path(folder, "back.png").read_bytes() == Path(photo).read_bytes()
    try:
        client.job("nonsense")
    except ApiProblem as problem:
        found["code"] = problem.code
print(json.dumps(found))
"""


def uv(*arguments: str | Path) -> None:
    # --no-config: a wheel made here needs no index, whatever this machine is set up for
    done = subprocess.run([UV, *arguments, "--offline", "--no-config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the folder so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("built")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel and what its metadata asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv("venv", "--python", sys.executable, folder)
    interpreter = folder / "bin/python"
    uv("pip", "install", "--no-deps", "--python", interpreter, wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    (installed,) = metadata.distributions(name="atelier-client", path=[str(site)])
    for needed in dependencies(installed):
        copy(needed, site)
    uv("pip", "check", "--python", interpreter)
    return interpreter


def dependencies(root: metadata.Distribution) -> Iterator[metadata.Distribution]:
    """Yield what a distribution requires, and what that requires, as installed beside the tests."""
    seen, pending = set(), list(root.requires or ())
    while pending:
        requirement = Requirement(pending.pop())
        name = canonicalize_name(requirement.name)
        if name not in seen and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            seen.add(name)
            found = metadata.distribution(name)
            pending += found.requires or ()
            yield found


def copy(distribution: metadata.Distribution, site: Path) -> None:
    """Copy a distribution's own files into another environment, and no neighbour of theirs."""
    for file in distribution.files or ():
        if file.parts[0] != ".." and file.suffix != ".pyc":
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def test_it_is_typed_and_holds_every_module(wheel: Path, python: Path) -> None:
    (package,) = python.parent.parent.glob("lib/python*/site-packages/atelier_client")
    assert {path.name for path in package.iterdir() if path.is_file()} == {
        "py.typed",
        *(path.name for path in SOURCE.glob("*.py")),
    }


def test_it_works_where_nothing_else_of_the_project_can_be_imported(python, settings, key, png, tmp_path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with serving(settings, key) as server:
        command = [python, "-I", "-c", USE, server.url, key, photo, tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "present": [],
        "ready": True,
        "listed": True,
        "state": "canceled",
        "whole": True,
        "code": "not_found",
    }
