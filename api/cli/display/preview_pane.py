"""The picture as it forms, above the progress bar: each new frame is fetched and drawn over the one before.

A thread of its own does this, so that fetching delays no event and Ctrl-C never interrupts a drawing. A frame that
fails is skipped silently, because the next one may succeed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rich.console import Console

from api.client.models import ClientError

if TYPE_CHECKING:
    from api.cli.display.terminal_images import Box, Draw

#: Minimum time between two drawings, in seconds.
_INTERVAL_S = 0.5
#: Longest wait for the last frame, in seconds.
_LAST_S = 2.0


class PreviewPane:
    """Space for a picture above whatever is live on the console, reserved when the first frame arrives."""

    def __init__(self, console: Console, draw: Draw, fetch: Callable[[], bytes]) -> None:
        """Show on `console` the frames that `fetch` returns; it may raise `ClientError`."""
        self._console, self._draw, self._fetch = console, draw, fetch
        self._box: Box | None = None
        #: The terminal's size when the space was reserved.
        self._size = console.size
        self._new_frame, self._ending = threading.Event(), threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Draw the last announced frame, unless an error is raised; then draw nothing more."""
        if kind is not None:
            self._new_frame.clear()
        self._ending.set()
        self._thread.join(_LAST_S if kind is None else 0.0)
        with self._lock:
            self._closed = True

    def announce(self) -> None:
        """Say that there is a new frame."""
        self._new_frame.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._show_new_frame()
            self._ending.wait(_INTERVAL_S)
        self._show_new_frame()

    def _show_new_frame(self) -> None:
        if self._new_frame.is_set():
            self._new_frame.clear()
            with contextlib.suppress(ClientError, OSError, ValueError):  # no frame yet, or an unreadable one
                self.show(self._fetch())

    def show(self, picture: bytes) -> None:
        """Draw a frame over the one before, or in a new place if the terminal was resized."""
        from api.cli.display.terminal_images import Drawing, box_for  # imports Pillow

        with self._lock:
            if self._closed:
                return
            if self._box is None or self._size != self._console.size:
                self._size, self._box = self._console.size, box_for(picture, self._console)
                if self._box:
                    self._console.print("\n" * (self._box.rows - 1))
            if self._box:
                self._console.print(Drawing(picture, self._box, self._draw), end="", crop=False)
