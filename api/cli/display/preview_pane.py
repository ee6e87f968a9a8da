"""The picture as it forms, above a bar on a terminal: fetched when there is a new one, drawn over the one before.

It has a thread of its own, so that fetching holds up no event, and Ctrl-C never falls into the middle of a drawing.
Whatever goes wrong with a frame, the next may be right: it is not worth a word.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from api.client.models import ClientError

if TYPE_CHECKING:
    from api.cli.display.terminal_images import Box, Draw

#: Least time between two drawings, in seconds.
_INTERVAL_S = 0.5
#: How long the last picture is waited for, in seconds.
_LAST_S = 2.0


class Pane:
    """Room for a picture above whatever is alive on the console; it is there from the first picture on."""

    def __init__(self, console: Console, draw: Draw, fetch: Callable[[], bytes]) -> None:
        """Show on `console` what `fetch` brings; it may raise `ClientError`."""
        self._console, self._draw, self._fetch = console, draw, fetch
        self._box: Box | None = None
        #: The terminal's size when the room was made.
        self._size = console.size
        self._news, self._ending = threading.Event(), threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw what has been announced, unless we leave in a hurry; then nothing more."""
        if kind is not None:
            self._news.clear()
        self._ending.set()
        self._thread.join(_LAST_S if kind is None else 0.0)
        with self._lock:
            self._closed = True

    def announce(self) -> None:
        """Say that there is a new picture."""
        self._news.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._show_news()
            self._ending.wait(_INTERVAL_S)
        self._show_news()

    def _show_news(self) -> None:
        if self._news.is_set():
            self._news.clear()
            with contextlib.suppress(ClientError, OSError, ValueError):  # no frame yet, or one that cannot be read
                self.show(self._fetch())

    def show(self, picture: bytes) -> None:
        """Draw a picture, over the one before unless the terminal has changed its size."""
        from api.cli.display.terminal_images import Drawing, box_for  # with it comes Pillow

        with self._lock:
            if self._closed:
                return
            if self._box is None or self._size != self._console.size:
                self._size, self._box = self._console.size, box_for(picture, self._console)
                if self._box:
                    self._console.print("\n" * (self._box.rows - 1))
            if self._box:
                self._console.print(Drawing(picture, self._box, self._draw), end="", crop=False)
