"""Behind nginx and Caddy as `docs/proxy.md` configures them, with TLS and a path prefix: in Chromium, by the command.

Skipped where a proxy is missing, but not in CI.
"""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from api.client import ApiProblem, Client, Job
from shared.imaging import codec
from tests.browser.watched import Watched
from tests.support import proxies
from tests.support.api_server import Served, serving
from tests.support.proxies import PROXIES, Certificate, Place
from tests.support.waiting import wait_until


class _EmptyPage(BaseHTTPRequestHandler):
    """Another site, whose scripts a test provides."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Elsewhere</title><link rel=icon href=data:,>")

    def log_message(self, *_: object) -> None:
        pass


class Proxied(NamedTuple):
    """A proxy, and the API behind it."""

    name: str
    place: Place
    api: Served
    key: str

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.place.certificate.file))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The origin of another site, whose scripts may call the API; on this machine, or Chromium would ask its user."""
    with HTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=list(PROXIES))
def proxied(request, stack, elsewhere, tmp_path_factory) -> Iterator[Proxied]:
    """The system behind a proxy, at a public URL with a prefix."""
    name = request.param
    proxies.required(name, "openssl")
    folder = tmp_path_factory.mktemp(name)
    with ExitStack() as opened:
        https, http = _free_ports()
        place = Place(folder, https, http, Certificate.make(folder), "")
        public = {"public_url": place.url, "trusted_proxies": "127.0.0.1", "cors_origins": elsewhere}
        api = opened.enter_context(serving(stack.settings, stack.key, **public))
        place = place._replace(upstream=api.url.removeprefix("http://"))
        opened.enter_context(PROXIES[name](place))
        yield Proxied(name, place, api, stack.key)


@pytest.fixture
def watched(chromium, proxied) -> Iterator[Watched]:
    opened = Watched(chromium, f"https://localhost:{proxied.place.https}", ignore_https_errors=True)
    yield opened
    opened.context.close()
    assert opened.faults == []


@pytest.fixture
def remote(proxied, monkeypatch) -> Iterator[Client]:
    """The client library at the public URL, which trusts the certificate as a user's would."""
    monkeypatch.setenv("SSL_CERT_FILE", str(proxied.place.certificate.file))
    with Client(proxied.place.url, proxied.key) as client:
        yield client


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> Path:
    """A photograph of more than a megabyte, which is more than nginx takes by default."""
    path = tmp_path_factory.mktemp("large") / "photo.png"
    noise = np.random.default_rng(1815).random((600, 800, 3), np.float32)
    path.write_bytes(codec.encode(noise, format="png"))
    assert path.stat().st_size > 2**20
    return path


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def test_a_browser_signs_in_submits_and_follows(watched, proxied, photograph, files) -> None:
    page = watched.page
    page.goto("/atelier/login")
    page.get_by_label("API key").fill(proxied.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/atelier/dashboard**")
    [cookie] = watched.context.cookies()
    assert (cookie["name"], cookie["path"], cookie["secure"]) == ("__Secure-atelier_session", "/atelier", True)
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Photograph").set_input_files(photograph)
    page.get_by_label("Painting").set_input_files(files[1])
    page.get_by_role("radio", name="classic").check()
    page.get_by_text("All parameters").click()
    page.get_by_label("size px", exact=True).fill("96")
    page.get_by_label("steps", exact=True).fill("4000")
    expect(page.locator("#estimate")).to_contain_text("96 ×")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/atelier/dashboard/jobs/*")
    shown, step = page.locator("#picture"), page.locator('[data-live="step"]')
    expect(shown).to_be_visible()
    first = shown.get_attribute("src")
    wait_until(lambda: shown.get_attribute("src") != first, "the picture is a newer one")
    reached = step.inner_text()
    expect(step).not_to_have_text(reached)
    expect(page.locator("#curves canvas")).to_be_visible()
    watched.shoot(f"{proxied.name}-job")
    page.get_by_role("link", name="Now", exact=True).click()
    expect(page.locator(".wall img").first).to_be_visible()
    watched.shoot(f"{proxied.name}-now")
    with page.expect_request_finished(lambda request: request.url.endswith("/dashboard/now")):
        pass  # htmx calls a request that leaving the page cuts off an error
    page.go_back()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state .badge")).to_have_text("canceled")
    expect(page.locator("#whole img")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    with Image.open(download.value.path()) as painted:
        assert painted.format == "PNG"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/atelier/login")


def test_the_command_paints_through_it(proxied, photograph, files, tmp_path) -> None:
    env = os.environ | {"ATELIER_URL": proxied.place.url, "ATELIER_KEY": proxied.key, "ATELIER_HOME": str(tmp_path)}
    env |= {"SSL_CERT_FILE": str(proxied.place.certificate.file)}
    command = [sys.executable, "-c", "from api.cli import main; main()", "submit", str(photograph), str(files[1])]
    command += ["--preset", "fast", "--size", "64", "--steps", "8", "-o", str(tmp_path / "painted.png")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "painted.png") as painted:
        assert max(painted.size) == 64
    stranger = subprocess.run(
        [*command[:3], "list"], env=env | {"SSL_CERT_FILE": ""}, capture_output=True, text=True, timeout=60, check=False
    )
    assert stranger.returncode == 4
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.stderr


def test_events_come_while_the_job_runs_and_a_page_of_a_listing_follows_another(remote, files) -> None:
    job = remote.submit(files[0], [files[1]], preset="classic", params={"size": 96, "steps": 4000})
    try:
        events = remote.events(job.id)
        steps = [event.data["step"] for event in (next(events) for _ in range(40)) if event.name == "step"]
        assert len(steps) > 2
        assert not remote.job(job.id).ended
    finally:
        with suppress(ApiProblem):
            remote.cancel(job.id)
    pages = remote._pages(Job, "/v1/jobs", "jobs", {"limit": 1})
    assert [len(next(pages)) for _ in range(2)] == [1, 1]


def test_addresses_are_the_public_ones_and_the_log_names_the_client(proxied, remote) -> None:
    place = proxied.place
    with httpx.Client(verify=proxied.trusted, trust_env=False) as http:
        assert http.get(f"{place.url}/").headers["Location"] == "/atelier/dashboard"
        moved = http.get(f"https://localhost:{place.https}/atelier")
        assert moved.headers["Location"].endswith(("/atelier/", "/atelier/dashboard"))
        document = http.get(f"{place.url}/openapi.json")
        assert document.json()["servers"] == [{"url": place.url}]
        assert document.headers["Strict-Transport-Security"]
        http.get(f"{place.url}/v1/nothing", headers={"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "asked"})
    lines = proxied.api.lines("request_answered")
    [logged] = [(line["path"], line["client"]) for line in lines if line["request_id"] == "asked"]
    # nginx adds to what the client says, whose own address is trusted for once; Caddy overwrites it
    assert logged == ("/v1/nothing", "192.0.2.7" if proxied.name == "nginx" else "127.0.0.1")
    if proxied.name == "nginx":
        plain = httpx.get(f"http://127.0.0.1:{place.http}/atelier/docs", trust_env=False)
        assert plain.headers["Location"] == f"{place.url}/docs"


def test_a_script_of_another_site_follows_with_a_token(watched, proxied, remote, elsewhere, files) -> None:
    job = remote.submit(files[0], [files[1]], preset="fast", params={"size": 64, "steps": 6})
    page = watched.page
    page.goto(elsewhere)
    page.add_script_tag(content=f"{proxies.block('js')}\nconst seen = [];")
    page.evaluate(
        "([base, key, job]) => follow(base, key, job, (name, data) => seen.push([name, data.step]))",
        [proxied.place.url, proxied.key, job.id],
    )
    page.wait_for_function("seen.some(([name]) => name === 'end')")
    steps = [step for name, step in page.evaluate("seen") if name == "step"]
    assert steps == list(range(1, 7))
    assert page.evaluate("document.cookie") == ""
    log = (proxied.place.folder / "access.log") if proxied.name == "nginx" else proxied.api.log
    assert "/events" in log.read_text()
    assert "token=" not in log.read_text() + proxied.api.log.read_text()
