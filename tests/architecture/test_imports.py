"""Who may import whom; the contracts are in pyproject.toml, and `make lint` runs them too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def test_the_client_imports_its_two_libraries_and_itself_alone() -> None:
    foreign = set()
    for path in (ROOT / "api/client").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                foreign |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level != 1:
                foreign.add("." * node.level + (node.module or "").partition(".")[0])
    assert foreign - sys.stdlib_module_names == {"httpx", "pydantic"}
