"""Shows a job being painted: a live bar on a terminal, a line now and then elsewhere.

Everything goes to stderr, so that stdout holds only what a program may want to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from api.client_models import Event, Job
from shared.states import State

#: Least time between two lines where there is no terminal, in seconds.
_LINE_EVERY_S = 5.0

_WAITING_FOR = {
    "turn": "waiting for its turn",
    "no_worker": "waiting for a worker",
    "paused": "the queue is paused",
}


class JobBar:
    """The progress of one job; give `show` each of its events."""

    def __init__(self, job: Job, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to show `job`; nothing is drawn before the `with` block."""
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._live = self._console.is_terminal
        self._bar = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._live,
        )
        self._beginning = waiting_text(job)
        self._row = self._bar.add_task(self._beginning, total=None, figures="")
        self._line_at = float("-inf")
        self._scale: object = None

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._live:
            self._console.print(self._beginning, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Draw what an event says; `preview` and unknown ones say nothing here."""
        if event.name == "step":
            self._step(event.data)
        elif event.name in ("state", "end") and "state" in event.data:
            self._state(str(event.data["state"]))

    def _step(self, step: dict[str, Any]) -> None:
        figures = step_text(step)
        if self._live:
            self._bar.update(
                self._row, description="painting", completed=step["step"], total=step["total"], figures=figures
            )
            return
        now = self._clock()
        news = step["step"] == step["total"] or step.get("scale") != self._scale
        if news or now - self._line_at >= _LINE_EVERY_S:
            self._line_at, self._scale = now, step.get("scale")
            self._console.print(f"painting {figures}", highlight=False, soft_wrap=True)

    def _state(self, state: str) -> None:
        if state == State.QUEUED:
            return
        text = "painting" if state == State.RUNNING else state
        if self._live:
            self._bar.update(self._row, description=text)
        elif state != State.RUNNING:
            self._console.print(text, highlight=False)


def waiting_text(job: Job) -> str:
    """Say why a job is not being painted yet."""
    if job.state != State.QUEUED:
        return "painting" if job.state == State.RUNNING else str(job.state)
    text = _WAITING_FOR.get(job.queue.waiting_for or "", "waiting") if job.queue else "waiting"
    return f"{text}, number {job.queue.position} in line" if job.queue and job.queue.position else text


def step_text(step: dict[str, Any]) -> str:
    """Write the figures of a step in one short line."""
    parts = [f"{step['step']}/{step['total']}"]
    if (step.get("scales") or 1) > 1:
        parts.append(f"scale {step['scale']} of {step['scales']}")
    losses = step.get("losses") or {}
    if "total" in losses:
        parts.append(f"loss {losses['total']:.4g}")
    if step.get("step_ms") is not None:
        parts.append(f"{step['step_ms']:.0f} ms a step")
    if (step.get("eta_s") or 0) >= 0.5:
        parts.append(f"{duration_text(step['eta_s'])} left")
    return " · ".join(parts)


def duration_text(seconds: float) -> str:
    """Write a duration the way people say it: `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
