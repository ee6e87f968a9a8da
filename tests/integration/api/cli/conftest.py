"""A real server, and the command that talks to it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from api.cli import main
from shared.imaging import codec
from tests.integration.api.cli.commands import Atelier
from tests.support.factories import picture
from worker.jobs.null_painter import NullPainter


@pytest.fixture
def url(app) -> Iterator[str]:
    """The address of a real server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with capture_logs():  # the server's, which would mix with what the command says
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def atelier(url, key, monkeypatch) -> Atelier:
    """Run the command against that server, with an operator's key."""
    monkeypatch.setenv("ATELIER_URL", url)
    monkeypatch.setenv("ATELIER_KEY", key)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(codec.encode(picture(), format="png"))
    return path


@pytest.fixture
def painter(settings) -> NullPainter:
    """One that takes its time, so that there is something to watch."""
    return NullPainter(settings.model_copy(update={"null_step_s": 0.001}))
