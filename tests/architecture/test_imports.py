"""Who may import whom; the contracts are in pyproject.toml, and `make lint` runs them too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras", "h5py", "worker")


def test_the_contracts_between_packages_hold() -> None:
    command = str(Path(sys.executable).with_name("lint-imports"))
    run = subprocess.run([command], capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("module", ["api.app", "api.cli", "api.local.stack", "api.client"])
def test_the_api_side_loads_nothing_of_the_worker(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert run.stdout.strip() == "[]", run.stderr


def test_the_runner_loads_no_tensorflow_and_no_celery() -> None:
    code = "import sys, worker.jobs.runner; print([n for n in ('tensorflow', 'keras', 'celery') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert run.stdout.strip() == "[]", run.stderr
