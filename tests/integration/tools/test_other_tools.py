"""Other people's tools work: linters find nothing in the description, and generated clients do all of the work."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.db.batches import counts, lifecycle
from shared.db.models import Job
from shared.states import State
from tests.integration.tools import npm
from tests.support.api_server import Served, serving
from worker.jobs.context import WorkerContext
from worker.jobs.runner import run

pytestmark = [pytest.mark.process, pytest.mark.slow]

_FOLDER = Path(__file__).parent


@pytest.fixture
def served(settings, key, context) -> Iterator[Served]:
    """The API as it is served, and a worker that paints whatever is queued."""
    ending = threading.Event()
    worker = threading.Thread(target=paint_until, args=(ending, context))
    with serving(settings, key) as made:
        worker.start()
        try:
            yield made
        finally:
            ending.set()
            worker.join(60)


def paint_until(ending: threading.Event, context: WorkerContext) -> None:
    """Run what is queued, and count what has ended, as the worker and maintenance would."""
    queued = select(Job.id).where(Job.state == State.QUEUED)
    while not ending.wait(0.05):
        with context.database.reading() as session:
            found = list(session.scalars(queued))
        for job_id in found:
            run([job_id], context)
        with context.database.writing() as session:
            counts.fold(session)
            lifecycle.end_completed(session)


@pytest.fixture
def description(served) -> dict:
    """The description as the server sends it."""
    with served.client() as client:
        return client.get("/openapi.json").json()


@pytest.fixture
def picture_file(tmp_path, png) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png)
    return path


def assert_done(text: str) -> None:
    told = json.loads(text)
    assert (told["job"]["state"], told["refused"]) == ("succeeded", "invalid_params")
    assert (told["batch"]["state"], told["batch"]["counts"]["succeeded"]) == ("finished", 2)
    assert (told["batch"]["max_parallel"], told["batch"]["params"]) == (1, {"size": 32, "steps": 4})
    assert told["job"]["params"]["optimizer"] == "lbfgs", "what is left out is the preset's"


def test_linters_and_a_client_in_typescript_take_the_description(served, description, picture_file) -> None:
    npm.install()
    npm.copy("redocly.yaml", "spectral.js", "client.ts", "node.d.ts", "tsconfig.json")
    (npm.BUILD / "openapi.json").write_text(json.dumps(description))
    npm.run_tool("redocly", "lint", "openapi.json", "--config", "redocly.yaml", "--max-problems", "20")
    assert npm.run("node", "spectral.js", "openapi.json") == ""
    npm.run_tool("openapi-typescript", "openapi.json", "-o", "api.ts", "--default-non-nullable=false")
    npm.run_tool("tsc", "-p", ".", "--outDir", "out")
    assert_done(npm.run("node", "out/client.js", served.url, key_of(served), str(picture_file)))


def test_a_client_in_python_takes_the_description(served, description, picture_file, tmp_path) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(description))
    generator = Path(sys.executable).parent / "openapi-python-client"
    options = ["--config", str(_FOLDER / "openapi-python-client.yaml"), "--meta", "none"]
    out = tmp_path / "generated_client"
    run_command(str(generator), "generate", "--path", str(path), "--output-path", str(out), *options)
    program = str(_FOLDER / "generated_client_program.py")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert_done(run_command(sys.executable, program, served.url, key_of(served), str(picture_file), env=environment))


def key_of(served: Served) -> str:
    return served.headers["Authorization"].removeprefix("Bearer ")


def run_command(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
