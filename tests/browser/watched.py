"""A browser in which everything that goes wrong is noted."""

from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

#: Where screenshots are kept: CI's artefacts.
SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


#: Longest wait for anything on a page, in milliseconds.
PATIENCE_MS = 60_000


class Watched:
    """A browser in which everything that goes wrong is noted."""

    def __init__(self, chromium: Browser, address: str, **options: object) -> None:
        self.context: BrowserContext = chromium.new_context(base_url=address, **options)  # type: ignore[arg-type]
        self.context.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("dialog", self._asked)

    def sign_in(self, key: str) -> Page:
        """Sign in, and be on the first page."""
        self.page.goto("/login")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/dashboard**")
        return self.page

    def shoot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _asked(self, dialog: object) -> None:
        self.faults.append("a dialog was opened")
        dialog.dismiss()  # type: ignore[attr-defined]
