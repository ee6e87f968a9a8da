"""Chromium against the whole running system with the real engine; skipped where it is missing, but not in CI.

Invariant: every page that a test opens must leave the console without an error and the content policy unbroken.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from api.client import Client
from api.local.stack import Stack
from shared.imaging import codec
from shared.settings import Settings
from tests.browser.watched import PATIENCE_MS, Watched
from tests.support import trained_weights
from tests.support.factories import picture
from tests.support.waiting import wait_until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing; .ci/run installs it.")
        pytest.skip("Chromium is missing.")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which root cannot have
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="package")  # not longer: its worker would hold its memory beside other tests
def stack(tmp_path_factory: pytest.TempPathFactory, trained_dir: Path) -> Iterator[Stack]:
    """The whole system on this machine, with the real engine and trained weights."""
    home = tmp_path_factory.mktemp("browsed")
    own = {"weights": trained_weights.NAME, "weights_dir": trained_dir, "preview_interval_s": 0.2}
    with Stack(Settings.load(home=home / "home", port=0, **own)) as running:
        with Client(running.url, running.key) as client:
            wait_until(lambda: any(worker.device for worker in client.workers()), "it can paint", timeout_s=240)
        yield running


@pytest.fixture(scope="package")
def client(stack: Stack) -> Iterator[Client]:
    """An operator's client."""
    with Client(stack.url, stack.key) as opened:
        yield opened


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A content and a style on disk, of which the content's name is hostile."""
    folder = tmp_path_factory.mktemp("pictures")
    content, style = folder / "<img src=x onerror=alert(1)>.png", folder / "style.png"
    content.write_bytes(codec.encode(picture(96, 72), format="png"))
    style.write_bytes(codec.encode(picture(64, 64, seed=1), format="png"))
    return content, style


@pytest.fixture
def watched(chromium: Browser, stack: Stack) -> Iterator[Watched]:
    """A browser that nobody has signed in with."""
    opened = Watched(chromium, stack.url)
    yield opened
    opened.context.close()
    assert opened.faults == []


@pytest.fixture
def page(watched: Watched, stack: Stack) -> Page:
    """The first page, for an operator."""
    return watched.sign_in(stack.key)
